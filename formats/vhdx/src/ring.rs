//! The log as a ring of 4 KiB sectors, read through a window and within a budget.

use alloc::vec::Vec;

use instar_disk::fault::vhdx as faults;
use instar_disk::{Fault, File, Result, to_usize};

use crate::replayed::SECTOR;

/// Sectors read at a time. Ours.
const WINDOW: u64 = 16;

/// How often the log's length may be read before its entries are taken for a trap. Ours: once to find them, once to check
/// them, once to replay them, once for torn ones.
const PASSES: u64 = 4;

/// The log of a file.
#[derive(Debug)]
pub(crate) struct Ring<'h> {
    file: File<'h>,
    offset: u64,
    sectors: u64,
    window: Vec<u8>,
    /// First sector in the window.
    at: u64,
    /// Windows that may still be read.
    budget: u64,
}

impl<'h> Ring<'h> {
    /// The log of `length` bytes at `offset`.
    pub(crate) fn new(file: File<'h>, offset: u64, length: u64) -> Self {
        let sectors = length / SECTOR;
        Self {
            file,
            offset,
            sectors,
            window: Vec::new(),
            at: 0,
            budget: sectors.div_ceil(WINDOW).saturating_mul(PASSES),
        }
    }

    /// Sectors of the log.
    pub(crate) const fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Where in the file sector `index`, counted around the ring, is.
    pub(crate) fn place(&self, index: u64) -> u64 {
        let index = index.checked_rem(self.sectors).unwrap_or(0);
        self.offset.saturating_add(index.saturating_mul(SECTOR))
    }

    /// Sector `index`, counted around the ring: 4096 bytes.
    ///
    /// # Errors
    /// `LOG_LOOP` when the budget is used up; the host's.
    pub(crate) fn sector(&mut self, index: u64) -> Result<&[u8]> {
        let index = index.checked_rem(self.sectors).unwrap_or(0);
        let at = instar_disk::align_down(index, WINDOW);
        if self.window.is_empty() || self.at != at {
            let length = self.sectors.saturating_mul(SECTOR);
            self.budget = self
                .budget
                .checked_sub(1)
                .ok_or_else(|| Fault::new(faults::LOG_LOOP).with([length]))?;
            let mut window = core::mem::take(&mut self.window);
            let sectors = self.sectors.saturating_sub(at).min(WINDOW);
            window.clear();
            window.resize(to_usize(sectors.saturating_mul(SECTOR))?, 0);
            self.file.read_padded(self.place(at), &mut window)?;
            (self.window, self.at) = (window, at);
        }
        let start = to_usize(index.saturating_sub(at).saturating_mul(SECTOR))?;
        let sector = self.window.get(start..).unwrap_or_default();
        Ok(sector.get(..to_usize(SECTOR)?).unwrap_or_default())
    }
}
