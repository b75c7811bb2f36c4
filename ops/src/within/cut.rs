//! A request on a part of a file, as requests on the file.

use alloc::sync::Arc;
use alloc::vec::Vec;

use instar_disk::{Action, CompareRange, CopyRange, Io, IoError, Slot, from_usize, to_usize};

use super::Part;

/// What became of a request.
pub(super) struct Cut {
    /// Requests that it was cut into.
    pub(super) pieces: usize,
    /// They are all of it.
    pub(super) is_whole: bool,
}

/// The result of one request.
pub(super) struct Done {
    outcome: core::result::Result<u64, IoError>,
    shared: u64,
    /// Where a smaller outcome means that what follows does not count.
    wanted: u64,
}

impl Done {
    pub(super) fn of(io: &Io<'_>) -> Self {
        Self {
            outcome: io.outcome,
            shared: io.shared,
            wanted: match &io.action {
                Action::Read { into, .. } => from_usize(into.len()),
                Action::Compare(compare) => compare.length,
                _ => 0,
            },
        }
    }
}

/// What the next `pieces` requests come to together.
pub(super) fn joined(
    done: &mut impl Iterator<Item = Done>,
    pieces: usize,
) -> (core::result::Result<u64, IoError>, u64) {
    let (mut sum, mut shared, mut counts) = (Ok(0_u64), 0_u64, true);
    for one in done.take(pieces) {
        shared = shared.saturating_add(one.shared);
        if let (Ok(so_far), true) = (sum, counts) {
            sum = one.outcome.map(|more| so_far.saturating_add(more));
            counts = one.outcome.is_ok_and(|more| more >= one.wanted);
        }
    }
    (sum, shared)
}

/// Adds what `action` comes to on the files themselves. Only what is read can be a part of a file.
pub(super) fn cut<'a>(parts: &[Arc<Part>], action: &'a mut Action<'_>, outside: &mut Vec<Io<'a>>) -> Cut {
    let before = outside.len();
    let is_whole = match action {
        Action::Read { slot, offset, into } => {
            read(parts, *slot, *offset, into, outside);
            true
        }
        Action::Copy(copy) => each(copy.length, outside, |at| {
            let (source_offset, run) = run(parts, copy.source, copy.source_offset, at)?;
            let length = run.min(copy.length.saturating_sub(at));
            let piece = CopyRange {
                source_offset,
                target_offset: copy.target_offset.saturating_add(at),
                length,
                ..*copy
            };
            Some((Action::Copy(piece), length))
        }),
        Action::Compare(compare) => each(compare.length, outside, |at| {
            let (offset, mut length) = run(parts, compare.slot, compare.offset, at)?;
            let other = match compare.other {
                None => None,
                Some((slot, start)) => {
                    let (offset, run) = run(parts, slot, start, at)?;
                    length = length.min(run);
                    Some((slot, offset))
                }
            };
            let length = length.min(compare.length.saturating_sub(at));
            let piece = CompareRange {
                offset,
                other,
                length,
                ..*compare
            };
            Some((Action::Compare(piece), length))
        }),
        Action::Extents {
            slot,
            offset,
            length,
            into,
        } => {
            // Who asks goes on where the answer ends.
            if let Some((offset, run)) = run(parts, *slot, *offset, 0) {
                outside.push(Io::new(Action::Extents {
                    slot: *slot,
                    offset,
                    length: run.min(*length),
                    into,
                }));
            }
            true
        }
        Action::Advise { slot, offset, length } => {
            let (slot, start, length) = (*slot, *offset, *length);
            // It is a hint: what lies behind the end is left out.
            each(length, outside, |at| {
                let (offset, run) = run(parts, slot, start, at)?;
                let length = run.min(length.saturating_sub(at));
                Some((Action::Advise { slot, offset, length }, length))
            });
            true
        }
        other => {
            outside.push(Io::new(again(other)));
            true
        }
    };
    Cut {
        pieces: outside.len().saturating_sub(before),
        is_whole,
    }
}

/// Where byte `start + at` of a file is in the host's, and how many bytes follow one another from there on.
fn run(parts: &[Arc<Part>], slot: Slot, start: u64, at: u64) -> Option<(u64, u64)> {
    let offset = start.saturating_add(at);
    match parts.iter().find(|part| part.slot == slot) {
        None => Some((offset, u64::MAX)),
        Some(part) => part.run(offset),
    }
}

/// Adds a request for each run of `length` bytes, and says whether there was one for each byte. An empty request stays one.
fn each<'a>(
    length: u64,
    outside: &mut Vec<Io<'a>>,
    piece: impl Fn(u64) -> Option<(Action<'a>, u64)>,
) -> bool {
    let mut at = 0_u64;
    while at < length {
        let Some((action, run)) = piece(at) else {
            return false;
        };
        outside.push(Io::new(action));
        at = at.saturating_add(run.max(1));
    }
    true
}

fn read<'a>(parts: &[Arc<Part>], slot: Slot, offset: u64, into: &'a mut [u8], outside: &mut Vec<Io<'a>>) {
    let (mut rest, mut at) = (into, 0_u64);
    while let Some((offset, run)) = run(parts, slot, offset, at).filter(|_| !rest.is_empty()) {
        let length = to_usize(run).unwrap_or(usize::MAX).min(rest.len());
        let (into, after) = rest.split_at_mut(length);
        outside.push(Io::new(Action::Read { slot, offset, into }));
        rest = after;
        at = at.saturating_add(from_usize(length));
    }
}

/// The same request once more, in its buffers.
pub(crate) fn again<'a>(action: &'a mut Action<'_>) -> Action<'a> {
    match action {
        Action::Write { slot, offset, from } => Action::Write {
            slot: *slot,
            offset: *offset,
            from,
        },
        Action::Zero {
            slot,
            offset,
            length,
            how,
        } => Action::Zero {
            slot: *slot,
            offset: *offset,
            length: *length,
            how: *how,
        },
        Action::Discard { slot, offset, length } => Action::Discard {
            slot: *slot,
            offset: *offset,
            length: *length,
        },
        Action::Resize {
            slot,
            length,
            preallocate,
        } => Action::Resize {
            slot: *slot,
            length: *length,
            preallocate: *preallocate,
        },
        Action::Flush { slot } => Action::Flush { slot: *slot },
        Action::Allocated { slot } => Action::Allocated { slot: *slot },
        Action::Sharable { source, target } => Action::Sharable {
            source: *source,
            target: *target,
        },
        Action::Receive { slot, into } => Action::Receive { slot: *slot, into },
        Action::Send { slot, from } => Action::Send { slot: *slot, from },
        Action::Read { slot, offset, into } => Action::Read {
            slot: *slot,
            offset: *offset,
            into,
        },
        Action::Copy(copy) => Action::Copy(*copy),
        Action::Extents {
            slot,
            offset,
            length,
            into,
        } => Action::Extents {
            slot: *slot,
            offset: *offset,
            length: *length,
            into,
        },
        Action::Advise { slot, offset, length } => Action::Advise {
            slot: *slot,
            offset: *offset,
            length: *length,
        },
        Action::Compare(compare) => Action::Compare(*compare),
    }
}
