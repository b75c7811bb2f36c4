//! What a check counted, as the counts of a new refcount structure.

use core::ops::Range;

use instar_disk::Result;

use super::run::{Run, Window};
use crate::edit::rebuild::Counts;

/// The references to all clusters, window by window.
pub(super) struct Counted<'r, 'a, 'h, 'f> {
    run: &'r mut Run<'a, 'h, 'f>,
    window: Option<Window>,
}

impl<'r, 'a, 'h, 'f> Counted<'r, 'a, 'h, 'f> {
    /// `window` is one that holds all clusters, if there is such a one.
    pub(super) const fn new(run: &'r mut Run<'a, 'h, 'f>, window: Option<Window>) -> Self {
        Self { run, window }
    }
}

impl Counts for Counted<'_, '_, '_, '_> {
    fn run(&mut self, clusters: &Range<u64>) -> Result<(u64, u64)> {
        let first = clusters.start;
        let window = match self.window.take().filter(|window| window.cells.holds(first)) {
            Some(window) => window,
            None => {
                self.run.budget.one_pass_more();
                self.run.window(first, None)?
            }
        };
        let window = self.window.insert(window);
        Ok(window.cells.alike(first, clusters.end))
    }
}
