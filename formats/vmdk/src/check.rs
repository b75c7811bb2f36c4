//! Looking grain directories and grain tables through.

use alloc::boxed::Box;

use instar_disk::report::{Backing, Checked};
use instar_disk::{Budget, Check, Fault, File, Findings, Format, Image, Result, fault};

use crate::extent::{Extent, ExtentKind};
use crate::image::Vmdk;
use crate::raw::SECTOR;
use crate::table::{Tables, Verdict};

/// Opens a VMDK to look it through.
///
/// # Errors
/// As [`crate::open`].
pub fn check<'h>(file: File<'h>) -> Result<Box<dyn Check + 'h>> {
    Ok(Box::new(Checker(Vmdk::open(file)?)))
}

struct Checker<'h>(Vmdk<'h>);

impl Check for Checker<'_> {
    fn format(&self) -> Format {
        Format::Vmdk
    }

    fn backing(&self) -> Option<Backing> {
        Image::backing(&self.0)
    }

    /// Ends with the first thing that is wrong, as qemu-img does.
    fn run(&mut self, findings: &mut Findings<'_>) -> Result<Checked> {
        // The tables stand in the extents, which are often files of their own: what the descriptor's file holds justifies none.
        let host = self.0.file.host();
        let files = Image::files(&self.0).into_iter();
        let mut budget = Budget::of(files.map(|facts| File::new(host, facts)).collect());
        for extent in &self.0.extents {
            let (code, offset, errno) = match look(extent, &mut budget)? {
                Verdict::Nothing => continue,
                Verdict::PastEnd(offset) => (fault::check::VMDK_PAST_END, offset, INVALID),
                Verdict::Unreadable(offset) => (fault::check::VMDK_NO_OFFSET, offset, NOT_PERMITTED),
            };
            let sector = extent
                .start
                .saturating_add(offset)
                .checked_div(SECTOR)
                .unwrap_or(0);
            findings.say(Fault::new(code).with([sector]));
            return Err(Fault::new(fault::core::IO).with([errno]));
        }
        Ok(Checked::default())
    }
}

fn look(extent: &Extent<'_>, budget: &mut Budget<'_>) -> Result<Verdict> {
    match extent.kind {
        ExtentKind::Flat { offset } if extent.bytes > 0 && offset >= extent.file.size() => {
            Ok(Verdict::PastEnd(0))
        }
        ExtentKind::Flat { .. } => Ok(Verdict::Nothing),
        ExtentKind::Sparse(sparse) => {
            let mut before = 0;
            Tables::new(extent.file, sparse).look(&mut |work| {
                if work.read > before {
                    budget.spend(work.read.saturating_sub(before))?;
                    before = work.read;
                }
                work.check_shared()
                    .map_err(|fault| fault.in_file(extent.file.slot()))
            })
        }
    }
}

/// qemu-img's errors of the system for the two.
const INVALID: u64 = 22;
const NOT_PERMITTED: u64 = 1;
