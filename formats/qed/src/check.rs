//! Looking the tables through.

use alloc::boxed::Box;

use instar_disk::job::Repair;
use instar_disk::report::{Backing, Checked};
use instar_disk::{Check, File, Findings, Format, Result};

use crate::header::Header;
use crate::repair::clear_marks;
use crate::scan::{Tally, scan};

/// Opens a QED image to look it through.
///
/// # Errors
/// As [`crate::open`].
pub fn check<'h>(file: File<'h>) -> Result<Box<dyn Check + 'h>> {
    let (header, _) = Header::read(&file)?;
    Ok(Box::new(Checker { file, header }))
}

struct Checker<'h> {
    file: File<'h>,
    header: Header,
}

impl Check for Checker<'_> {
    fn format(&self) -> Format {
        Format::Qed
    }

    fn backing(&self) -> Option<Backing> {
        self.header.backing()
    }

    /// Only counts: the reference tool says nothing of single entries.
    fn run(&mut self, _: &mut Findings<'_>) -> Result<Checked> {
        scan(self.file, &self.header, false).map(|tally| self.checked(tally))
    }

    /// Entries that lead nowhere are removed, whatever is to be repaired. Leaks stay, and so do clusters that are used twice.
    fn repair(&mut self, _: Repair, _: &mut Findings<'_>) -> Result<Checked> {
        let tally = scan(self.file, &self.header, true)?;
        clear_marks(self.file, tally.shared == 0)?;
        Ok(self.checked(tally))
    }
}

impl Checker<'_> {
    fn checked(&self, tally: Tally) -> Checked {
        Checked {
            corruptions: tally
                .invalid
                .saturating_sub(tally.removed)
                .saturating_add(tally.shared),
            corruptions_fixed: tally.removed,
            leaks: tally.leaked,
            total_clusters: self.header.geometry.clusters(self.header.size),
            allocated_clusters: tally.allocated,
            fragmented_clusters: tally.fragmented,
            ..Checked::default()
        }
    }
}
