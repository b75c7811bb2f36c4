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
//! window by window. [`repair`] does the same, and puts right what it may.

mod bitmaps;
mod blocks;
mod cells;
mod copied;
mod counted;
mod entry;
mod frame;
mod ordered;
mod overflows;
pub(crate) mod repair;
mod rest;
mod run;
mod snapshots;
mod tally;
mod totals;
mod walk;
mod zeroed;

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::job::Repair;
use instar_disk::report::{Backing, Checked};
use instar_disk::{Budget, Check, File, Findings, Format, Result};

use bitmaps::Bitmap;
use frame::Frame;
use run::Run;

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
    Ok(Box::new(Checker::new(file, header, memory)?))
}

/// An image, and what is needed to look through it.
struct Checker<'h> {
    frame: Frame<'h>,
    budget: Budget<'h>,
    bitmaps: Vec<Bitmap>,
    memory: u64,
}

impl<'h> Checker<'h> {
    fn new(file: File<'h>, header: Header, memory: u64) -> Result<Self> {
        let frame = Frame::new(file, header);
        let mut budget = Budget::new(file);
        let bitmaps = bitmaps::open(&frame, &mut budget).map_err(|fault| fault.in_file(file.slot()))?;
        Ok(Self {
            frame,
            budget,
            bitmaps,
            memory,
        })
    }
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
        Run::start(self, findings)?.look()
    }

    fn repair(&mut self, what: Repair, findings: &mut Findings<'_>) -> Result<Checked> {
        repair::run(self, what, findings)
    }
}
