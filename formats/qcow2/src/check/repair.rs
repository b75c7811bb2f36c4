//! Putting right what is wrong.
//!
//! ```text
//!  look at everything, write nothing ──► entries that lead nowhere ─► refcounts where they are ────────────────────► flags ─► snapshot
//!         │ (what speaks against it ends it here)                 └─► a new structure ─► header, one sector ─► leaks ┘    table ─► bits
//! ```
//!
//! Nothing that is written changes what the disk or a snapshot holds. A stop leaves an image with some of its damage repaired and no
//! new damage: refcounts and flags only ever become what they should be, a new refcount structure is complete before the header
//! leads to it, and clusters are given back to the filesystem when the counts that say so are on stable storage.

use instar_disk::job::Repair;
use instar_disk::report::{Checked, Report};
use instar_disk::{Fault, File, FileKind, Findings, Format, Preallocate, Result, align_up, fault};

use super::blocks::Fix;
use super::counted::Counted;
use super::frame::{errno, failed};
use super::run::{Run, Window};
use super::{Checker, cells};
use crate::edit::sector::Sector;
use crate::edit::{rebuild, snapshots, stale};
use crate::header::{Header, TableRange};
use crate::layout::Layout;
use crate::num::shl;
use crate::pieces::Pieces;

/// Looks an image through and repairs it.
///
/// # Errors
/// What makes a repair impossible, before anything is written; the host's.
pub(super) fn run(checker: &mut Checker<'_>, what: Repair, findings: &mut Findings<'_>) -> Result<Checked> {
    repaired(checker, what, false, findings)
}

fn repaired(
    checker: &mut Checker<'_>,
    what: Repair,
    all_flags: bool,
    findings: &mut Findings<'_>,
) -> Result<Checked> {
    let all = what == Repair::All;
    (checker.frame.repairs_all, checker.frame.zeroes) = (all, all);
    let begin = |run| Repairing {
        run,
        what,
        all_flags: all || all_flags,
    };
    let outcome = Run::start(checker, findings).and_then(|run| begin(run).run());
    (checker.frame.repairs_all, checker.frame.zeroes) = (false, false);
    outcome
}

/// Repairs an image that is about to be changed, if it is marked dirty, and says so. Gives the file and the header as they are now.
///
/// # Errors
/// `REPAIR_DIRTY` when that is not possible; the host's.
pub(crate) fn clean<'h>(file: File<'h>, header: Header) -> Result<(File<'h>, Header)> {
    if !header.features.dirty() {
        return Ok((file, header));
    }
    let file = dirty(file, header).map_err(|fault| fault.in_file(file.slot()))?;
    Ok((file, Header::parse(file)?))
}

fn dirty<'h>(file: File<'h>, header: Header) -> Result<File<'h>> {
    let mut checker = Checker::new(file, header, cells::BYTES)?;
    let mut findings = Findings::new(file.host());
    let outcome = run(&mut checker, Repair::All, &mut findings);
    findings.flush();
    let mut checked = outcome.map_err(|fault| match fault.code {
        fault::core::IO => Fault::new(fault::check::REPAIR_DIRTY).with([fault.numbers[0]]),
        _ => fault,
    })?;
    checked.left_out = findings.left_out();
    file.host().report(&Report::Checked(Format::Qcow2, checked));
    if checked.check_errors > 0 {
        return Err(Fault::new(fault::check::REPAIR_DIRTY).with([errno::IO]));
    }
    Ok(checker.frame.file)
}

/// Makes sure that nothing is wrong with an image but for clusters that nothing refers to, of which it gives the number. Writes nothing.
///
/// # Errors
/// `UNSOUND`; what keeps the image from being looked through.
pub(crate) fn expect_sound(file: File<'_>, header: &Header) -> Result<u64> {
    let mut checker = Checker::new(file, header.clone(), cells::BYTES)?;
    let mut findings = Findings::unheard(file.host());
    let checked = Run::start(&mut checker, &mut findings)?.look()?;
    match checked.corruptions.saturating_add(checked.check_errors) {
        0 => Ok(checked.leaks),
        wrong => Err(Fault::new(fault::compact::UNSOUND).with([wrong])),
    }
}

/// Frees the clusters that nothing refers to.
///
/// # Errors
/// What keeps the image from being looked through; the host's.
pub(crate) fn free_leaks(file: File<'_>, header: Header) -> Result<()> {
    let mut checker = Checker::new(file, header, cells::BYTES)?;
    repaired(
        &mut checker,
        Repair::Leaks,
        false,
        &mut Findings::unheard(file.host()),
    )
    .map(|_| ())
}

/// Takes back what a change that failed has left in the image: counts that are too high, and flags that do not agree with them. `end` is where the
/// file may end now. If this fails, too, the image stays as it is, marked dirty.
pub(crate) fn undo(file: File<'_>, end: u64) {
    let _ = try_to_undo(file, end);
}

fn try_to_undo(file: File<'_>, end: u64) -> Result<()> {
    let header = Header::parse_to_check(file)?;
    let mut checker = Checker::new(file, header, cells::BYTES)?;
    checker.frame.changed(end)?;
    let mut findings = Findings::unheard(file.host());
    let checked = repaired(&mut checker, Repair::Leaks, true, &mut findings)?;
    // What was added at the end is of no use to anybody.
    let old = align_up(file.size(), checker.frame.cluster_size())?;
    if end > old && checked.image_end_offset <= old && file.kind() != FileKind::Block {
        file.resize(file.size(), Preallocate::Off)?;
    }
    Ok(())
}

struct Repairing<'a, 'h, 'f> {
    run: Run<'a, 'h, 'f>,
    what: Repair,
    /// Copied flags are made right whatever else is wrong.
    all_flags: bool,
}

impl Repairing<'_, '_, '_> {
    fn run(mut self) -> Result<Checked> {
        let mut checked = self.run.counters();
        let window = self.run.compare_all(Fix::None, None, Some(&mut checked))?;
        let rebuild = self.run.needs_rebuild();
        self.judge(rebuild)?;
        // First, because reading a header that has it prints a warning.
        stale::forget(self.run.frame.file, &self.run.frame.header)?;
        self.shorten_snapshots()?;
        self.run.zeroed.write(self.run.frame)?;
        if rebuild && self.what == Repair::All {
            self.rebuild(window, &mut checked)?;
        } else {
            self.count(window, &mut checked)?;
        }
        self.flags(&mut checked)?;
        self.finish_snapshots(&mut checked)?;
        checked.image_end_offset = self.run.end();
        self.clear_marks(&checked)?;
        self.run.frame.changed(0)?;
        Ok(checked)
    }

    /// Takes the marks from the header of an image for which they are not true any more.
    fn clear_marks(&self, checked: &Checked) -> Result<()> {
        let (frame, compared) = (&self.run.frame, self.run.compared);
        let counts_are_right = compared.corruptions == 0 && compared.leaks == 0 && checked.check_errors == 0;
        if !counts_are_right {
            return Ok(());
        }
        let mut sector = Sector::read(frame.file, frame.header.version)?;
        sector.clear_marks(true, checked.corruptions == 0)
    }

    /// Whether everything that is to be written can be.
    fn judge(&mut self, rebuild: bool) -> Result<()> {
        if self.run.overhangs {
            return Err(Fault::new(fault::check::REPAIR_CUT));
        }
        if rebuild && self.what == Repair::Leaks {
            self.run.findings.say(Fault::new(fault::check::REBUILD_NEEDED));
            return Err(failed(errno::IO));
        }
        Ok(())
    }

    /// Makes the header say that there are no more snapshots than are kept.
    fn shorten_snapshots(&mut self) -> Result<()> {
        let (frame, snapshots) = (&mut *self.run.frame, &self.run.snapshots);
        if snapshots.discarded == 0 {
            return Ok(());
        }
        let mut sector = Sector::read(frame.file, frame.header.version)?;
        sector.set_snapshots(TableRange {
            offset: frame.header.snapshots.offset,
            entries: instar_disk::from_usize(snapshots.all.len()),
        })?;
        sector.write()?;
        frame.changed(0)
    }

    /// Makes refcounts what they should be, where they are.
    fn count(&mut self, window: Option<Window>, checked: &mut Checked) -> Result<()> {
        let found = self.run.compared;
        checked.check_errors = found.check_errors;
        let wrong = found.corruptions.saturating_add(found.leaks);
        if wrong.saturating_add(checked.corruptions) == 0 {
            return Ok(());
        }
        let fix = match self.what {
            Repair::Leaks => Fix::TooHigh,
            Repair::All => Fix::All,
        };
        self.run.forget();
        self.run.compare_all(fix, window, None)?;
        self.settle()?;
        let left = self.run.compared;
        checked.corruptions = checked.corruptions.saturating_add(left.corruptions);
        checked.leaks = left.leaks;
        checked.leaks_fixed = left.leaks_fixed;
        checked.corruptions_fixed = checked.corruptions_fixed.saturating_add(left.corruptions_fixed);
        Ok(())
    }

    /// Writes refcounts to a new place, and gives up the old ones.
    fn rebuild(&mut self, window: Option<Window>, checked: &mut Checked) -> Result<()> {
        let found = self.run.compared;
        self.run.findings.say(Fault::new(fault::check::REBUILDING));
        let (file, header) = (self.run.frame.file, &self.run.frame.header);
        let (layout, version) = (Layout::of(header), header.version);
        let clusters = self.run.used_clusters();
        let built = rebuild::build(file, layout, clusters, &mut Counted::new(&mut self.run, window))?;
        let mut sector = Sector::read(file, version)?;
        sector.set_refcount_table(built.table, layout.cluster_bits())?;
        sector.write()?;
        self.run
            .frame
            .changed(shl(built.clusters, layout.cluster_bits())?)?;
        self.run.forget();
        let mut again = self.run.counters();
        self.run.compare_all(Fix::TooHigh, None, Some(&mut again))?;
        self.settle()?;
        let left = self.run.compared;
        let old = checked.corruptions.saturating_add(found.corruptions);
        // What a table in the header's place refers to is another matter now; the second look counts it.
        let fixed = old.saturating_sub(again.corruptions);
        *checked = Checked {
            corruptions: again.corruptions.saturating_add(left.corruptions),
            corruptions_fixed: checked.corruptions_fixed.saturating_add(fixed),
            leaks: left.leaks,
            // The old structure became a leak by the repair itself.
            leaks_fixed: found.leaks,
            check_errors: left.check_errors,
            ..*checked
        };
        Ok(())
    }

    /// Refcounts are on stable storage before anything that follows; what they say is free is given back.
    fn settle(&mut self) -> Result<()> {
        let frame = &self.run.frame;
        frame.file.flush()?;
        self.run.freed.drop_all(frame.file, frame.header.cluster_bits);
        // Blocks were read before they were changed.
        self.run.reread_blocks();
        Ok(())
    }

    /// Makes copied flags what they should be. Where only leaks are repaired, refcounts must be right for that.
    fn flags(&mut self, checked: &mut Checked) -> Result<()> {
        let right = checked.check_errors == 0 && checked.corruptions == 0 && checked.leaks == 0;
        let wrong = self.run.flags(self.all_flags || right)?;
        checked.corruptions = checked.corruptions.saturating_add(wrong.left);
        checked.corruptions_fixed = checked.corruptions_fixed.saturating_add(wrong.fixed);
        if wrong.fixed == 0 {
            return Ok(());
        }
        self.run.frame.file.flush()
    }

    /// Writes the snapshot table anew where entries lack something or have too much.
    fn finish_snapshots(&mut self, checked: &mut Checked) -> Result<()> {
        let (frame, snapshots) = (&mut *self.run.frame, &self.run.snapshots);
        checked.corruptions_fixed = checked.corruptions_fixed.saturating_add(snapshots.discarded);
        let unfinished = snapshots.unfinished();
        if unfinished == 0 || self.what == Repair::Leaks {
            checked.corruptions = checked.corruptions.saturating_add(unfinished);
            return Ok(());
        }
        let (file, size) = (frame.file, frame.header.virtual_size());
        let mut pieces = Pieces::new(file);
        let mut bytes = 0;
        for snapshot in &snapshots.all {
            bytes = instar_disk::align_up(bytes, 8)?.saturating_add(snapshot.whole_bytes(&mut pieces)?);
        }
        let mut all = snapshots.all.iter();
        let end = snapshots::replace(file, frame.header.clone(), snapshots.bytes, bytes, &mut || {
            all.next()
                .map(|snapshot| snapshot.whole(&mut pieces, size))
                .transpose()
        })?;
        checked.corruptions_fixed = checked.corruptions_fixed.saturating_add(unfinished);
        frame.changed(end)
    }
}
