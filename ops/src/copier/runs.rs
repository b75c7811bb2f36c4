//! Runs of zero and of data in a buffer, and the writes that a lane still owes.

use alloc::vec::Vec;

use instar_abi::report::Stage;
use instar_disk::{Action, Io, Result, Sealing, Slot, ZeroHow, align_down, from_usize, is_zero, to_usize};

use super::assemble::grow;
use crate::session::{At, Outcome, internal};

/// A stretch of a buffer that is all data, or all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Offset in the target.
    pub(crate) target: u64,
    /// Where it starts in the buffer.
    pub(crate) at: usize,
    /// Its length in bytes.
    pub(crate) length: usize,
    pub(crate) zero: bool,
}

/// Cuts `length` bytes at `at` of `buffer`, which go to `target`, into runs whose ends are multiples of `granule` in the
/// target. Without a granule everything is data.
pub(crate) fn cut(
    buffer: &[u8],
    at: usize,
    length: usize,
    target: u64,
    granule: Option<u64>,
    runs: &mut Vec<Run>,
) -> Result<()> {
    let Some(granule) = granule else {
        runs.push(Run {
            target,
            at,
            length,
            zero: false,
        });
        return Ok(());
    };
    let end = at.saturating_add(length);
    let first = runs.len();
    let (mut at, mut target) = (at, target);
    while at < end {
        let step = granule.saturating_sub(target.saturating_sub(align_down(target, granule)));
        let step = to_usize(step)?.clamp(1, end.saturating_sub(at));
        let stop = at.saturating_add(step);
        let bytes = buffer.get(at..stop).ok_or_else(|| internal(line!()))?;
        let run = Run {
            target,
            at,
            length: step,
            zero: is_zero(bytes),
        };
        match runs.get_mut(first..).and_then(<[Run]>::last_mut) {
            Some(last) if last.zero == run.zero => last.length = last.length.saturating_add(step),
            _ => runs.push(run),
        }
        at = stop;
        target = target.saturating_add(from_usize(step));
    }
    Ok(())
}

/// Adds a run; one that goes on where the last one ends makes it longer.
pub(super) fn extend(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        Some(last)
            if last.zero == run.zero
                && last.target.saturating_add(from_usize(last.length)) == run.target
                && (run.zero || last.at.saturating_add(last.length) == run.at) =>
        {
            last.length = last.length.saturating_add(run.length);
        }
        _ => runs.push(run),
    }
}

/// Leaves of the runs, which lie in `ours`, the units that differ from those at the same place in `theirs`; without `theirs` they are
/// compared with zeros.
pub(super) fn differing(runs: &mut Vec<Run>, ours: &[u8], theirs: Option<&[u8]>, unit: u64) -> Result<()> {
    let Some(theirs) = theirs else {
        runs.retain(|run| !run.zero);
        return Ok(());
    };
    let unit = to_usize(unit)?.max(1);
    for run in core::mem::take(runs) {
        let place = run.at..run.at.saturating_add(run.length);
        let pair = ours.get(place.clone()).zip(theirs.get(place));
        let (ours, theirs) = pair.ok_or_else(|| internal(line!()))?;
        let mut within = 0_usize;
        for (one, other) in ours.chunks(unit).zip(theirs.chunks(unit)) {
            if one != other {
                extend(
                    runs,
                    Run {
                        target: run.target.saturating_add(from_usize(within)),
                        at: run.at.saturating_add(within),
                        length: one.len(),
                        zero: run.zero,
                    },
                );
            }
            within = within.saturating_add(one.len());
        }
    }
    Ok(())
}

/// A write that waits for the next doorbell. Its bytes stay in the buffer until then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owed {
    pub(super) slot: Slot,
    /// Where in the file.
    pub(super) offset: u64,
    /// Where in the buffer.
    pub(super) at: usize,
    pub(super) length: usize,
    /// Offset in the target, for messages.
    pub(super) target: u64,
    /// The place is to be made zero, and no bytes stand in the buffer.
    pub(super) zeros: Option<ZeroHow>,
}

/// Adds a write; one that goes on where the last one ends, in file and buffer, makes it longer. `sealed`: on the disk, too, where a cipher
/// may count.
pub(super) fn owe(owed: &mut Vec<Owed>, write: Owed, sealed: bool) {
    if let Some(last) = owed.last_mut()
        && last.zeros.is_none()
        && write.zeros.is_none()
        && last.slot == write.slot
        && last.offset.checked_add(from_usize(last.length)) == Some(write.offset)
        && last.at.checked_add(last.length) == Some(write.at)
        && (!sealed || last.target.checked_add(from_usize(last.length)) == Some(write.target))
    {
        last.length = last.length.saturating_add(write.length);
        return;
    }
    owed.push(write);
}

/// Encrypts what is owed, in place. Zeros that no bytes of the buffer stand for become bytes behind the `used` ones.
pub(super) fn seal(owed: &mut [Owed], buffer: &mut Vec<u8>, used: usize, sealing: &Sealing) -> Result<()> {
    let mut used = used;
    for write in owed {
        let blank = write.zeros.take().is_some();
        if blank {
            write.at = used;
            used = used.saturating_add(write.length);
            grow(buffer, used)?;
        }
        let end = write.at.saturating_add(write.length);
        let bytes = buffer.get_mut(write.at..end).ok_or_else(|| internal(line!()))?;
        if blank {
            bytes.fill(0);
        }
        let position = sealing.position(write.target, write.offset);
        sealing.key.encrypt(position, bytes)?;
    }
    Ok(())
}

/// Turns what is owed into requests.
pub(super) fn requests<'b>(
    owed: &[Owed],
    buffer: &'b [u8],
    batch: &mut Vec<Io<'b>>,
    ats: &mut Vec<u64>,
) -> Result<()> {
    for write in owed {
        if let Some(how) = write.zeros {
            batch.push(Io::new(Action::Zero {
                slot: write.slot,
                offset: write.offset,
                length: from_usize(write.length),
                how,
            }));
            ats.push(write.target);
            continue;
        }
        let end = write.at.saturating_add(write.length);
        let from = buffer.get(write.at..end).ok_or_else(|| internal(line!()))?;
        batch.push(Io::new(Action::Write {
            slot: write.slot,
            offset: write.offset,
            from,
        }));
        ats.push(write.target);
    }
    Ok(())
}

/// The failure of a request that failed.
pub(super) fn check(io: &Io<'_>, stage: Stage) -> Outcome<()> {
    io.result().map(|_| ()).at(stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_end_on_granules_of_the_target() {
        let mut buffer = vec![0_u8; 10_000];
        buffer[700] = 1;
        let mut runs = Vec::new();
        cut(&buffer, 100, 9_000, 4_000, Some(512), &mut runs).unwrap();
        // Target 4000 is 416 bytes into a granule; byte 700 of the buffer is target 4600, in granule 4096+504..5120.
        let ends: Vec<u64> = runs.iter().map(|run| run.target).collect();
        assert_eq!(ends, [4000, 4096, 4608]);
        assert_eq!(
            runs.iter().map(|run| run.zero).collect::<Vec<_>>(),
            [true, false, true]
        );
        assert_eq!(runs.iter().map(|run| run.length).sum::<usize>(), 9_000);
        assert_eq!(runs[1].at, 196);
    }

    #[test]
    fn without_a_granule_zeros_are_data() {
        let mut runs = Vec::new();
        cut(&[0; 64], 0, 64, 0, None, &mut runs).unwrap();
        assert_eq!(
            runs,
            [Run {
                target: 0,
                at: 0,
                length: 64,
                zero: false
            }]
        );
    }
}
