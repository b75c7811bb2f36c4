//! Images inside a part of a file: their reader sees that part as a file of its own, and nothing else.
//!
//! ```text
//!  file    0 ───── start ═══════════════ start + size ───── end        an OVA, say
//!                    │   what the image is read from  │
//!                    0 ────────────────────────────  size
//! ```
//!
//! What can only be read from the front is a part of the temporary file that it was put into.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU32;

use instar_abi::job::{Source, Window};
use instar_abi::report::{Done, Failure, Stage};
use instar_abi::{Job, Report};
use instar_disk::{
    Action, Fault, FileFacts, FileKind, Host, Io, Result, Role, Slot, align_up, fault, to_usize,
};

use crate::session::{At, Outcome};
use crate::{spool, through};

/// A part of a file.
#[derive(Clone, Copy, Debug)]
struct Part {
    slot: Slot,
    /// The file that it is read from: itself, or a temporary one.
    of: Slot,
    start: u64,
    size: u64,
}

/// A host some of whose files are parts of those that it has opened.
pub(crate) struct Within<'h> {
    host: &'h dyn Host,
    parts: Vec<Part>,
}

impl<'h> Within<'h> {
    /// The host and the job as they look from inside the parts that the job names.
    ///
    /// # Errors
    /// A part that does not lie in its file; a file that cannot be unpacked.
    pub(crate) fn enter_all(host: &'h dyn Host, job: &Job) -> Outcome<Entered<'h>> {
        let mut within = Self {
            host,
            parts: Vec::new(),
        };
        let mut job = job.clone();
        let as_it_was = job.clone();
        for (index, source) in (0..).zip(as_it_was.verb.sources()) {
            let stage = Stage::OpenSource(index);
            if let Some(mut flow) = spool::flow(host, &as_it_was, source).at(stage)? {
                if let Some(done) = through::run(host, &as_it_was, &mut flow)? {
                    return Ok(Entered::Done(done));
                }
                let size = spool::fill(host, &as_it_was, source, &mut flow).at(stage)?;
                within.put(source, size, &mut job.files);
                let fault = Fault::new(fault::stream::SPOOLED).in_file(source.slot);
                host.report(&Report::Warning(Failure { stage, fault }));
            }
            within.enter(source, &mut job.files).at(stage)?;
        }
        Ok(Entered::Inside(within, Box::new(job)))
    }

    /// Notes that the file of `source` is in its temporary file, where it has so many bytes.
    fn put(&mut self, source: &Source, size: u64, files: &mut [FileFacts]) {
        let Some(spool) = source.spool else { return };
        for facts in files.iter_mut().filter(|facts| facts.slot == source.slot) {
            (facts.size, facts.kind) = (size, FileKind::Regular);
        }
        self.parts.push(Part {
            slot: source.slot,
            of: spool,
            start: 0,
            size,
        });
    }

    /// Whether nothing differs from what the host shows.
    pub(crate) const fn is_outside(&self) -> bool {
        self.parts.is_empty()
    }

    /// Where the parts begin in their files.
    pub(crate) fn starts(&self) -> Vec<(Slot, u64)> {
        self.parts.iter().map(|part| (part.slot, part.start)).collect()
    }

    fn enter(&mut self, source: &Source, files: &mut [FileFacts]) -> Result<()> {
        let mut layer = Some(source);
        while let Some(source) = layer {
            if let Some(facts) = files.iter_mut().find(|facts| facts.slot == source.slot)
                && !source.inside.is_empty()
            {
                let (start, size) =
                    resolve(&source.inside, facts.size).map_err(|fault| fault.in_file(facts.slot))?;
                facts.size = size;
                match self.parts.iter_mut().find(|part| part.slot == facts.slot) {
                    Some(part) => (part.start, part.size) = (start, size),
                    None => self.parts.push(Part {
                        slot: facts.slot,
                        of: facts.slot,
                        start,
                        size,
                    }),
                }
            }
            layer = source.below.given();
        }
        Ok(())
    }

    fn part(&self, slot: Slot) -> Option<Part> {
        self.parts.iter().find(|part| part.slot == slot).copied()
    }

    /// The place of a byte: its file and its offset there.
    fn moved(&self, slot: Slot, offset: u64) -> (Slot, u64) {
        self.part(slot).map_or((slot, offset), |part| {
            (part.of, part.start.saturating_add(offset))
        })
    }

    /// The same request as the host understands it. Only what is read can be a part of a file.
    fn outside<'a>(&self, action: &'a mut Action<'_>) -> Action<'a> {
        let mut action = again(action);
        match &mut action {
            Action::Read { slot, offset, into } => {
                if let Some(part) = self.part(*slot) {
                    let room = part.size.saturating_sub(*offset);
                    let length = to_usize(room).unwrap_or(usize::MAX).min(into.len());
                    *offset = part.start.saturating_add((*offset).min(part.size));
                    *slot = part.of;
                    *into = core::mem::take(into).get_mut(..length).unwrap_or_default();
                }
            }
            Action::Copy(copy) => {
                (copy.source, copy.source_offset) = self.moved(copy.source, copy.source_offset);
            }
            Action::Allocated { slot } => (*slot, _) = self.moved(*slot, 0),
            Action::Sharable { source, .. } => (*source, _) = self.moved(*source, 0),
            Action::Extents {
                slot, offset, length, ..
            } => {
                if let Some(part) = self.part(*slot) {
                    *length = part.size.saturating_sub(*offset).min(*length);
                    *offset = part.start.saturating_add(*offset);
                    *slot = part.of;
                }
            }
            Action::Advise { slot, offset, .. } => (*slot, *offset) = self.moved(*slot, *offset),
            Action::Compare(compare) => {
                (compare.slot, compare.offset) = self.moved(compare.slot, compare.offset);
                if let Some((slot, offset)) = &mut compare.other {
                    (*slot, *offset) = self.moved(*slot, *offset);
                }
            }
            _ => {}
        }
        action
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

impl Host for Within<'_> {
    fn submit(&self, batch: &mut [Io<'_>]) {
        let mut outside: Vec<Io<'_>> = batch
            .iter_mut()
            .map(|io| Io::new(self.outside(&mut io.action)))
            .collect();
        self.host.submit(&mut outside);
        let done: Vec<_> = outside.iter().map(|io| (io.outcome, io.shared)).collect();
        for (io, (outcome, shared)) in batch.iter_mut().zip(done) {
            io.outcome = outcome;
            io.shared = shared;
        }
    }

    fn open(&self, namer: Slot, role: Role, name: &[u8]) -> Result<FileFacts> {
        let facts = self.host.open(namer, role, name)?;
        if self.part(facts.slot).is_some() {
            // An image that names the file it stands in.
            return Err(Fault::new(fault::core::CHAIN_LOOP).named(name).in_file(namer));
        }
        Ok(facts)
    }

    fn lanes(&self) -> usize {
        self.host.lanes()
    }

    fn parallel(&self, work: &(dyn Fn(usize) + Sync)) {
        self.host.parallel(work);
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        self.host.wait(word, expected);
    }

    fn wake(&self, word: &AtomicU32) {
        self.host.wake(word);
    }

    fn report(&self, report: &Report) {
        self.host.report(report);
    }

    fn progress(&self, done: u64, total: u64) {
        self.host.progress(done, total);
    }

    fn is_remote(&self, slot: Slot) -> bool {
        self.host.is_remote(slot)
    }
}

/// The start and the length of a part of a file of `size` bytes.
///
/// # Errors
/// The part is not inside the file, or is not a whole number of sectors long.
pub(crate) fn part(window: Window, size: u64) -> Result<(u64, u64)> {
    let Some(rest) = size.checked_sub(window.offset) else {
        return Err(Fault::new(fault::core::WINDOW_OFFSET).with([window.offset, size]));
    };
    let length = match window.length {
        None => align_up(rest, 512)?,
        Some(length) if length > rest => {
            return Err(Fault::new(fault::core::WINDOW_LENGTH).with([window.offset, length, size]));
        }
        Some(length) if !length.is_multiple_of(512) => {
            return Err(Fault::new(fault::core::WINDOW_SECTORS).with([length]));
        }
        Some(length) => length,
    };
    Ok((window.offset, length))
}

/// Where the innermost of parts within parts starts in a file of `size` bytes, and how long it is.
fn resolve(inside: &[Window], size: u64) -> Result<(u64, u64)> {
    let (mut start, mut size) = (0_u64, size);
    for window in inside {
        let (offset, length) = part(*window, size)?;
        start = start.saturating_add(offset);
        // One that is not a whole number of sectors long is rounded up, with zeros.
        size = length.min(size.saturating_sub(offset));
    }
    Ok((start, size))
}

/// Where a job is carried out.
pub(crate) enum Entered<'h> {
    /// The host and the job as they look from inside.
    Inside(Within<'h>, Box<Job>),
    /// Nowhere: it was done on the way.
    Done(Done),
}

/// Whether the job names a part of a file, or a file that may have to be put into a temporary one.
pub(crate) fn is_needed(job: &Job) -> bool {
    job.verb.sources().into_iter().any(|source| {
        let mut layer = Some(source);
        while let Some(source) = layer {
            if !source.inside.is_empty() || source.spool.is_some() {
                return true;
            }
            layer = source.below.given();
        }
        false
    })
}
