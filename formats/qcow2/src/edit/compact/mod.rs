//! An image that takes less space, and is the same disk.
//!
//! ```text
//!  judge     nothing is wrong with it, and no cluster is a table and anything else
//!  trim      clusters that hold nothing but zeros become zero by their entries
//!  Pass      roots      tables of one piece, to the first places that are long enough
//!            round …    what stands behind the place where the file is to end, into holes before it
//!            counts     a new refcount structure, if the old one stands there
//!            cut        the file ends behind its last cluster
//! ```
//!
//! Each step is a transaction of its own, and leaves an image that is complete. A pass knows how many clusters are in use, and has the
//! file end behind as many; what does not fit so exactly is left to the next pass, and there are few.

mod bits;
mod copying;
mod counts;
mod holes;
mod moves;
mod roots;
mod round;
mod streams;
mod survey;
mod trim;

use instar_disk::report::Compacted;
use instar_disk::{Compacting, Fault, File, FileKind, Preallocate, Result, Sealing, fault};

use self::holes::Holes;
use self::round::Pass;
use self::survey::Survey;
use super::ledger::Ledger;
use super::transaction::Look;
use crate::check::repair;
use crate::header::Header;
use crate::num::{add, shl};

/// Has the image behind `header` give up space.
///
/// # Errors
/// What is wrong with the image, or more than is held in memory: before the first write. The host's.
pub(super) fn compact(
    file: File<'_>,
    header: &Header,
    sealing: Option<&Sealing>,
    how: &mut Compacting<'_>,
) -> Result<Compacted> {
    let faulty = |fault: Fault| fault.in_file(file.slot());
    if header.features.data_file() {
        return Err(faulty(Fault::new(fault::compact::DATA_FILE)));
    }
    let leaks = repair::expect_sound(file, header).map_err(faulty)?;
    Survey::of(&Look::open(file, header.clone())?)?;
    if leaks > 0 {
        repair::free_leaks(file, header.clone()).map_err(faulty)?;
    }
    let mut done = Compacted {
        before: file.size(),
        after: file.size(),
        ..Compacted::default()
    };
    if how.wanted.trim {
        let parts = if how.wanted.shorten { 2 } else { 1 };
        let progress = Progress { part: 0, parts };
        done.trimmed = trim::trim(file, Header::parse(file)?, sealing, how, progress)?;
    }
    if how.wanted.shorten {
        let part = u64::from(how.wanted.trim);
        let parts = part.saturating_add(1);
        let progress = Progress { part, parts };
        shorten(file, sealing, how.round, progress, &mut done)?;
    }
    Ok(done)
}

/// Which part of the work this is.
#[derive(Clone, Copy)]
struct Progress {
    part: u64,
    parts: u64,
}

impl Progress {
    /// Says how far it is.
    fn say(self, file: File<'_>, done: u64, all: u64) {
        let within = done.saturating_mul(WHOLE).checked_div(all).unwrap_or(WHOLE);
        let before = self.part.saturating_mul(WHOLE);
        file.host()
            .progress(before.saturating_add(within), self.parts.saturating_mul(WHOLE));
    }
}

/// Has the file end as soon as it can.
fn shorten(
    mut file: File<'_>,
    sealing: Option<&Sealing>,
    round: u64,
    progress: Progress,
    done: &mut Compacted,
) -> Result<()> {
    for number in 0..PASSES {
        // There is little left to be done by the others.
        let heard = (number == 0).then_some(progress);
        let (moved, now) = pass(file, sealing, round, heard)?;
        file = now;
        done.moved = add(done.moved, moved)?;
        let end = cut(file)?;
        let shorter = end < done.after;
        done.after = end;
        if moved == 0 || !shorter {
            break;
        }
    }
    Ok(())
}

/// Moves what stands behind as many clusters as are in use; gives the bytes that were moved.
fn pass<'h>(
    file: File<'h>,
    sealing: Option<&Sealing>,
    round: u64,
    progress: Option<Progress>,
) -> Result<(u64, File<'h>)> {
    let header = Header::parse(file)?;
    let mut look = Look::open(file, header.clone())?;
    let (used, end) = used(&mut look.ledger)?;
    let survey = Survey::of(&look)?;
    drop(look);
    let (mut header, mut moved) = roots::lower(file, header, &survey, used)?;
    let survey = Survey::of(&Look::open(file, header.clone())?)?;
    let mut pass = Pass {
        file,
        sealing,
        survey,
        high: used..end,
        holes: Holes::below(used),
        round,
        moved: 0,
    };
    while !pass.high.is_empty() {
        header = pass.round(header)?;
        if let Some(progress) = progress {
            let (at, all) = (pass.high.start.saturating_sub(used), end.saturating_sub(used));
            progress.say(file, at, all);
        }
    }
    moved = add(moved, pass.moved)?;
    let survey = Survey::of(&Look::open(file, header.clone())?)?;
    let (header, last) = roots::lower(file, header, &survey, used)?;
    Ok((add(moved, last)?, counts::lower(file, &header, used)?))
}

/// How many clusters are in use, and where the last of them ends.
fn used(ledger: &mut Ledger<'_>) -> Result<(u64, u64)> {
    let end = ledger.counted_end()?;
    let (mut at, mut used) = (0, 0);
    while at < end {
        let (count, run) = ledger.run(&(at..end))?;
        at = add(at, run)?;
        if count > 0 {
            used = add(used, run)?;
        }
    }
    Ok((used, end))
}

/// Has the file end behind its last cluster; gives where that is.
fn cut(file: File<'_>) -> Result<u64> {
    let look = Look::open(file, Header::parse(file)?)?;
    look.grow(false)?.release()?.finish_short()?;
    let header = Header::parse(file)?;
    let mut look = Look::open(file, header)?;
    // The last cluster may be cut short.
    let end = shl(look.ledger.used_end()?, look.layout.cluster_bits())?.min(file.size());
    if file.kind() != FileKind::Block {
        file.resize(end, Preallocate::Off)?;
        file.flush()?;
    }
    Ok(end)
}

/// All of one part of the work.
const WHOLE: u64 = 1000;
/// Times that a file is gone through. Ours: the second pass finds little, and a third hardly anything.
const PASSES: u32 = 4;
