//! Looking an image through: what each table refers to, beside the refcounts that the file has.
//!
//! ```text
//!  snapshot table ─┐
//!  L1 tables ──────┼─► walk ─► L2 tables ─► tally ─┐
//!                  │ (each table once, weighted)   ├─► cells ─► comparison ◄─ refcount blocks
//!  bitmaps, LUKS, refcount structures ─► rest ─────┘     a window of the file
//!                  └─► ordered, copied: what is wrong, in qemu-img's order, if anything is
//! ```
//!
//! A sound image is read once. Memory is bounded by the window: a file with more clusters than it has cells is gone through
//! window by window.

mod bitmaps;
mod blocks;
mod cells;
mod copied;
mod entry;
mod frame;
mod ordered;
mod rest;
mod snapshots;
mod tally;
mod totals;
mod walk;

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::report::{Backing, Checked};
use instar_disk::{Budget, Check, File, Findings, Format, Result, from_usize};

use bitmaps::Bitmap;
use blocks::{Blocks, Compared, Comparison};
use cells::{Cells, Width};
use frame::{Frame, errno, failed};
use rest::Rest;
use snapshots::Snapshots;
use totals::Totals;

use crate::header::Header;
use crate::read::image::open_data_file;

/// Opens a qcow2 image to look it through. An encrypted one too: its tables are plain.
///
/// # Errors
/// What is wrong with the header or the bitmaps; the gate's refusal of its data file; the host's.
pub fn check<'h>(file: File<'h>) -> Result<Box<dyn Check + 'h>> {
    check_within(file, cells::BYTES)
}

/// The same, with no more than `memory` bytes (a multiple of 64) for the counts: a small window makes many passes.
///
/// # Errors
/// As [`check`].
pub fn check_within<'h>(file: File<'h>, memory: u64) -> Result<Box<dyn Check + 'h>> {
    let header = Header::parse_to_check(file)?;
    open_data_file(file, &header)?;
    let frame = Frame::new(file, header);
    let mut budget = Budget::new(file);
    let bitmaps = bitmaps::open(&frame, &mut budget).map_err(|fault| fault.in_file(file.slot()))?;
    Ok(Box::new(Checker {
        frame,
        budget,
        bitmaps,
        memory,
    }))
}

struct Checker<'h> {
    frame: Frame<'h>,
    budget: Budget<'h>,
    bitmaps: Vec<Bitmap>,
    memory: u64,
}

impl Check for Checker<'_> {
    fn format(&self) -> Format {
        Format::Qcow2
    }

    fn backing(&self) -> Option<Backing> {
        let name = self.frame.header.backing_name.clone()?;
        Some(Backing {
            name,
            format: self.frame.header.extensions.backing_format.clone(),
        })
    }

    fn run(&mut self, findings: &mut Findings<'_>) -> Result<Checked> {
        let frame = &self.frame;
        let snapshots = Snapshots::read(frame, findings)?;
        if frame.clusters > CLUSTERS_MAX {
            return Err(failed(errno::TOO_LARGE));
        }
        let mut checked = Checked {
            total_clusters: frame.header.virtual_size().div_ceil(frame.cluster_size()),
            ..Checked::default()
        };
        checked.corruptions = snapshots.incomplete;
        let mut run = Run {
            frame,
            snapshots: &snapshots,
            bitmaps: &self.bitmaps,
            memory: self.memory,
            budget: &mut self.budget,
            blocks: Blocks::new(frame),
            findings,
            compared: Compared::default(),
            suspicious: false,
        };
        run.windows(&mut checked)?;
        if run.suspicious {
            let wrong = copied::check(frame, &mut run.blocks, run.budget, run.findings)?;
            checked.corruptions = checked.corruptions.saturating_add(wrong);
        }
        let compared = run.compared;
        checked.corruptions = checked.corruptions.saturating_add(compared.corruptions);
        checked.leaks = compared.leaks;
        checked.check_errors = compared.check_errors;
        let end = compared.highest.saturating_add(1);
        checked.image_end_offset = end.saturating_mul(frame.cluster_size());
        Ok(checked)
    }
}

/// One run over an image.
struct Run<'a, 'b, 'h, 'f> {
    frame: &'a Frame<'h>,
    snapshots: &'a Snapshots,
    bitmaps: &'a [Bitmap],
    memory: u64,
    budget: &'b mut Budget<'h>,
    blocks: Blocks,
    findings: &'b mut Findings<'f>,
    compared: Compared,
    suspicious: bool,
}

impl Run<'_, '_, '_, '_> {
    /// Window by window; one is enough for most files.
    fn windows(&mut self, checked: &mut Checked) -> Result<()> {
        // One behind the last may be in use.
        let clusters = self.frame.clusters.saturating_add(1);
        let references = from_usize(self.snapshots.all.len()).saturating_add(1);
        let mut width = Width::choose(clusters, references, self.memory);
        let mut first = 0;
        while first < clusters {
            let mut cells = Cells::new(width, first, clusters.saturating_sub(first), self.memory)?;
            let mut totals = walk::count(self.frame, self.snapshots, self.budget, &mut cells)?;
            if cells.saturated {
                width = width.wider();
                self.budget.one_pass_more();
                continue;
            }
            let excess = cells.excess(self.frame.most());
            let whole = first == 0 && cells.end() >= clusters;
            if first == 0 {
                self.say(&mut totals, &mut cells, excess, whole)?;
                totals.into_checked(checked);
            }
            if !whole {
                checked.corruptions = checked.corruptions.saturating_add(excess);
                self.overflows(&cells, excess);
            }
            let mut rest = Rest {
                frame: self.frame,
                cells: &mut cells,
                totals: &mut totals,
                findings: self.findings,
                first: first == 0,
                corruptions: 0,
            };
            let outcome = rest.run(self.snapshots, self.bitmaps, &mut self.blocks);
            checked.corruptions = checked.corruptions.saturating_add(rest.corruptions);
            outcome?;
            self.suspicious |= totals.suspicious;
            self.compare(&cells, &totals)?;
            first = cells.end();
            self.budget.one_pass_more();
        }
        Ok(())
    }

    /// Says what is wrong in L1 and L2 tables; afterwards `cells` are as before.
    fn say(&mut self, totals: &mut Totals, cells: &mut Cells, excess: u64, whole: bool) -> Result<()> {
        let overflows = if whole { excess } else { 0 };
        totals.findings = totals.findings.saturating_add(overflows);
        if totals.findings == 0 {
            return Ok(());
        }
        let before = self.findings.counted();
        if overflows > 0 {
            cells.clear();
            ordered::say(self.frame, self.snapshots, Some(cells), self.findings)?;
            cells.clear();
            self.budget.one_pass_more();
            walk::count(self.frame, self.snapshots, self.budget, cells)?;
        } else {
            ordered::say(self.frame, self.snapshots, None, self.findings)?;
        }
        let met = self.findings.counted().saturating_sub(before);
        self.findings.leave_out(totals.findings.saturating_sub(met));
        Ok(())
    }

    /// Says which clusters of a window have more references than a refcount can say.
    fn overflows(&mut self, cells: &Cells, excess: u64) {
        let mut left = excess;
        let most = self.frame.most();
        for cluster in cells.start()..cells.end() {
            if left == 0 {
                break;
            }
            for _ in most..cells.get(cluster).count.max(most) {
                if self.findings.is_full() {
                    self.findings.leave_out(left);
                    return;
                }
                self.findings.say(self.frame.overflow(cluster));
                left = left.saturating_sub(1);
            }
        }
    }

    fn compare(&mut self, cells: &Cells, totals: &Totals) -> Result<()> {
        let clusters = self.frame.clusters.saturating_add(u64::from(totals.grown));
        let mut comparison = Comparison {
            frame: self.frame,
            cells,
            findings: self.findings,
            found: &mut self.compared,
        };
        comparison.run(
            &mut self.blocks,
            self.budget,
            cells.start(),
            cells.end().min(clusters),
        )?;
        self.suspicious |= self.compared.suspicious;
        Ok(())
    }
}

/// Clusters of a file: qemu-img's.
const CLUSTERS_MAX: u64 = 0x7fff_ffff;
