//! One run over an image.

use instar_disk::report::Checked;
use instar_disk::{Budget, Findings, Result, from_usize};

use super::Checker;
use super::bitmaps::Bitmap;
use super::blocks::{Blocks, Compared, Comparison, Fix};
use super::cells::{Cells, Width};
use super::copied::{self, Flags, Wrong};
use super::frame::{Frame, errno, failed};
use super::overflows::Overflows;
use super::rest::Rest;
use super::snapshots::Snapshots;
use super::totals::Totals;
use super::zeroed::Zeroed;
use super::{ordered, walk};
use crate::edit::freed::Freed;

/// What a run knows.
pub(super) struct Run<'a, 'h, 'f> {
    pub(super) frame: &'a mut Frame<'h>,
    pub(super) snapshots: Snapshots,
    bitmaps: &'a [Bitmap],
    memory: u64,
    width: Width,
    pub(super) budget: &'a mut Budget<'h>,
    blocks: Blocks,
    pub(super) findings: &'a mut Findings<'f>,
    pub(super) compared: Compared,
    /// Copied flags have to be looked at one by one, whatever the refcounts are.
    suspicious: bool,
    /// What is referred to more often than a refcount can say.
    overflows: Overflows,
    /// The cluster behind the last one is in use.
    grown: bool,
    /// Not all that is in use inside the file is counted.
    pub(super) overhangs: bool,
    /// Refcounts cannot be put right where they are.
    rebuild: bool,
    /// L2 tables with entries that are to be put right.
    pub(super) zeroed: Zeroed,
    /// It is known whether they can be.
    zeroes_known: bool,
    /// What was freed, and may still be read after a power cut.
    pub(super) freed: Freed,
}

/// The references to some of the clusters.
pub(super) struct Window {
    pub(super) cells: Cells,
    /// The cluster behind the last one is in use.
    grown: bool,
}

impl<'a, 'h, 'f> Run<'a, 'h, 'f> {
    /// Reads the snapshot table.
    ///
    /// # Errors
    /// What makes the image one that cannot be looked through.
    pub(super) fn start(checker: &'a mut Checker<'h>, findings: &'a mut Findings<'f>) -> Result<Self> {
        let frame = &mut checker.frame;
        let snapshots = Snapshots::read(frame, findings)?;
        if frame.clusters > CLUSTERS_MAX {
            return Err(failed(errno::TOO_LARGE));
        }
        let references = from_usize(snapshots.all.len()).saturating_add(1);
        Ok(Self {
            width: Width::choose(frame.clusters.saturating_add(1), references, checker.memory),
            blocks: Blocks::new(frame),
            frame,
            snapshots,
            bitmaps: &checker.bitmaps,
            memory: checker.memory,
            budget: &mut checker.budget,
            findings,
            compared: Compared::default(),
            suspicious: false,
            overflows: Overflows::default(),
            grown: false,
            overhangs: false,
            rebuild: false,
            zeroed: Zeroed::default(),
            zeroes_known: false,
            freed: Freed::default(),
        })
    }

    /// Looks at everything and changes nothing.
    pub(super) fn look(mut self) -> Result<Checked> {
        let mut checked = self.counters();
        checked.corruptions = self.snapshots.incomplete;
        self.compare_all(Fix::None, None, Some(&mut checked))?;
        let wrong = self.flags(false)?;
        let corruptions = wrong.left.saturating_add(self.compared.corruptions);
        checked.corruptions = checked.corruptions.saturating_add(corruptions);
        checked.leaks = self.compared.leaks;
        checked.check_errors = self.compared.check_errors;
        checked.image_end_offset = self.end();
        Ok(checked)
    }

    /// Counters of which only the disk's size is known.
    pub(super) fn counters(&self) -> Checked {
        let header = &self.frame.header;
        Checked {
            total_clusters: header.virtual_size().div_ceil(header.cluster_size()),
            ..Checked::default()
        }
    }

    /// Where the last cluster in use ends.
    pub(super) fn end(&self) -> u64 {
        let end = self.compared.highest.saturating_add(1);
        end.saturating_mul(self.frame.cluster_size())
    }

    /// Whether refcounts can only be put right in a new structure.
    pub(super) const fn needs_rebuild(&self) -> bool {
        self.rebuild || self.compared.uncounted
    }

    /// Nothing is known any more of the refcounts in the file: they were changed, or others are in their place.
    pub(super) fn forget(&mut self) {
        self.blocks = Blocks::new(self.frame);
        self.compared = Compared::default();
        self.rebuild = false;
        self.budget.one_pass_more();
    }

    /// Blocks in memory are no longer those of the file.
    pub(super) fn reread_blocks(&mut self) {
        self.blocks = Blocks::new(self.frame);
    }

    /// The file's clusters, and one behind the last, which may be in use.
    pub(super) const fn clusters(&self) -> u64 {
        self.frame.clusters.saturating_add(1)
    }

    /// The file's clusters, and the one behind the last if that is in use.
    pub(super) fn used_clusters(&self) -> u64 {
        self.frame.clusters.saturating_add(u64::from(self.grown))
    }

    /// Compares references and refcounts, window by window; one is enough for most files. With `checked`, what is wrong in tables is
    /// said and counted. Gives the window, if one was enough; `known` is one that was given before.
    pub(super) fn compare_all(
        &mut self,
        fix: Fix,
        known: Option<Window>,
        mut checked: Option<&mut Checked>,
    ) -> Result<Option<Window>> {
        let (mut only, mut first) = (known, 0);
        while first < self.clusters() {
            let window = match only.take() {
                Some(window) => window,
                None => self.window(first, checked.as_deref_mut())?,
            };
            self.compare(&window, fix)?;
            self.budget.one_pass_more();
            let whole = first == 0 && window.cells.end() >= self.clusters();
            first = window.cells.end();
            only = whole.then_some(window);
        }
        Ok(only)
    }

    /// Counts the references to the clusters from `first` on, as many as there is memory for.
    pub(super) fn window(&mut self, first: u64, mut checked: Option<&mut Checked>) -> Result<Window> {
        loop {
            let left = self.clusters().saturating_sub(first);
            let mut cells = Cells::new(self.width, first, left, self.memory)?;
            let mut totals = walk::count(self.frame, &self.snapshots, self.budget, &mut cells)?;
            if cells.saturated {
                self.width = self.width.wider();
                self.budget.one_pass_more();
                continue;
            }
            if checked.is_some() && totals.zeroed.entries > 0 && !self.zeroes_known {
                drop(cells);
                self.learn_zeroes()?;
                continue;
            }
            if let Some(checked) = checked.as_deref_mut() {
                self.say_of_tables(&mut totals, &mut cells, checked)?;
            }
            let mut rest = Rest {
                frame: self.frame,
                cells: &mut cells,
                totals: &mut totals,
                findings: self.findings,
                aloud: checked.is_some(),
                first: first == 0,
                corruptions: 0,
                corruptions_fixed: 0,
                rebuild: false,
            };
            let outcome = rest.run(&self.snapshots, self.bitmaps, &mut self.blocks);
            self.rebuild |= rest.rebuild;
            if let Some(checked) = checked {
                checked.corruptions = checked.corruptions.saturating_add(rest.corruptions);
                checked.corruptions_fixed = checked.corruptions_fixed.saturating_add(rest.corruptions_fixed);
            }
            outcome?;
            self.overflows.meet(&cells, self.frame.most());
            self.overhangs |= totals.overhangs;
            self.suspicious |= totals.suspicious;
            self.grown |= totals.grown;
            self.zeroed.meet(&totals.zeroed, &cells, self.frame);
            return Ok(Window {
                cells,
                grown: totals.grown,
            });
        }
    }

    /// Finds out, before a word is said, whether entries that can lead nowhere can be written, too.
    fn learn_zeroes(&mut self) -> Result<()> {
        self.zeroes_known = true;
        let mut first = 0;
        while first < self.clusters() {
            first = self.window(first, None)?.cells.end();
            self.budget.one_pass_more();
        }
        self.frame.zeroes = self.zeroed.can_be_written();
        if !self.frame.zeroes {
            self.zeroed = Zeroed::default();
        }
        Ok(())
    }

    /// Says what is wrong in L1 and L2 tables.
    fn say_of_tables(&mut self, totals: &mut Totals, cells: &mut Cells, checked: &mut Checked) -> Result<()> {
        let excess = cells.excess(self.frame.most());
        let first = cells.start() == 0;
        let whole = first && cells.end() >= self.clusters();
        if first {
            self.say(totals, cells, excess, whole)?;
            totals.show_in(checked);
        }
        if !whole {
            checked.corruptions = checked.corruptions.saturating_add(excess);
            self.say_overflows(cells, excess);
        }
        Ok(())
    }

    /// In the order in which a walk meets it; afterwards `cells` are as before.
    fn say(&mut self, totals: &mut Totals, cells: &mut Cells, excess: u64, whole: bool) -> Result<()> {
        let overflows = if whole { excess } else { 0 };
        totals.findings = totals.findings.saturating_add(overflows);
        let wanted = totals.findings.saturating_add(totals.zeroed.entries);
        if wanted == 0 {
            return Ok(());
        }
        let before = self.findings.counted();
        if overflows > 0 {
            cells.clear();
            ordered::say(self.frame, &self.snapshots, Some(cells), self.findings)?;
            cells.clear();
            self.budget.one_pass_more();
            walk::count(self.frame, &self.snapshots, self.budget, cells)?;
        } else {
            ordered::say(self.frame, &self.snapshots, None, self.findings)?;
        }
        let met = self.findings.counted().saturating_sub(before);
        self.findings.leave_out(wanted.saturating_sub(met));
        Ok(())
    }

    /// Says which clusters of a window have more references than a refcount can say.
    fn say_overflows(&mut self, cells: &Cells, excess: u64) {
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

    fn compare(&mut self, window: &Window, fix: Fix) -> Result<()> {
        let clusters = self.frame.clusters.saturating_add(u64::from(window.grown));
        let cells = &window.cells;
        let mut comparison = Comparison {
            frame: self.frame,
            cells,
            findings: self.findings,
            found: &mut self.compared,
            fix,
            freed: &mut self.freed,
        };
        let end = cells.end().min(clusters);
        comparison.run(&mut self.blocks, self.budget, cells.start(), end)?;
        Ok(())
    }

    /// Looks at copied flags one by one, if any can be wrong.
    pub(super) fn flags(&mut self, repair: bool) -> Result<Wrong> {
        if !self.suspicious && !self.compared.suspicious {
            return Ok(Wrong::default());
        }
        copied::check(Flags {
            frame: self.frame,
            snapshots: &self.snapshots,
            blocks: &mut self.blocks,
            budget: self.budget,
            findings: self.findings,
            repair,
            overflows: &self.overflows,
        })
    }
}

/// Clusters of a file: qemu-img's.
const CLUSTERS_MAX: u64 = 0x7fff_ffff;
