//! Another size of the disk.
//!
//! ```text
//!  grow      what an earlier change left behind the end is cleared
//!            a longer L1 table, L2 tables for what is added ─► entries behind the old end ─► size, L1 table ─► old L1 table
//!  shrink    a longer way round for an L2 table that a snapshot shares ─► size ─► entries behind the new end ─► their clusters
//! ```
//!
//! Nothing is taken from a live table before the size says that it does not count any more, and nothing is entered in one where the
//! size says that it counts. So no mark is needed: a stop leaves clusters that are counted too often, and what an entry behind the
//! end refers to is cleared when the disk next gets another size.

mod bitmaps;
mod cut;
mod fill;
mod grow;
mod shrink;
mod tail;

use instar_disk::fault::resize as faults;
use instar_disk::{Fault, File, Resizing, Result, Sealing, fault};

use super::head::Head;
use super::transaction::{Grow, Release, Switch};
use crate::extensions::BitmapDirectory;
use crate::header::{Header, TableRange};
use crate::layout::SECTOR;

/// The one moment. Where bitmaps change with the size, the header leads to them at once.
fn switch<'h>(
    grow: Grow<'h>,
    (file, header): (File<'h>, &Header),
    (size, l1): (u64, Option<TableRange>),
    bitmaps: Option<BitmapDirectory>,
) -> Result<Release<'h>> {
    let Some(bitmaps) = bitmaps else {
        return grow.switch(&Switch {
            l1,
            size: Some(size),
            ..Switch::default()
        });
    };
    let mut head = Head::read(file, header)?;
    head.set_size(size);
    if let Some(l1) = l1 {
        head.set_l1(l1)?;
    }
    head.set_directory(bitmaps);
    grow.switch_to(head, None)
}

/// Gives the disk another size; gives the length of the file as it is then, in bytes, at most.
///
/// # Errors
/// What speaks against it, before the first write; the host's.
pub(super) fn resize(
    file: File<'_>,
    header: Header,
    sealing: Option<&Sealing>,
    to: &mut Resizing<'_>,
) -> Result<u64> {
    judge_layout(file, &header, to)?;
    if to.size < header.virtual_size() {
        shrink::shrink(file, header, to)
    } else {
        grow::grow(file, header, sealing, to)
    }
}

/// Whether the disk of the image behind `header` can be given that size.
///
/// # Errors
/// As [`resize`].
pub(super) fn judge(
    file: File<'_>,
    header: Header,
    sealing: Option<&Sealing>,
    to: &mut Resizing<'_>,
) -> Result<()> {
    judge_layout(file, &header, to)?;
    if to.size < header.virtual_size() {
        shrink::judge(file, header, to)
    } else {
        grow::judge(file, header, sealing, to)
    }
}

fn judge_layout(file: File<'_>, header: &Header, to: &Resizing<'_>) -> Result<()> {
    let wrong = if !to.size.is_multiple_of(SECTOR) {
        faults::SECTORS
    } else if header.version < 3 && header.snapshots.entries > 0 {
        faults::V2_SNAPSHOTS
    } else if header.features.data_file() && to.apart.is_empty() {
        let name = header.extensions.data_file.as_ref();
        let name = name.map_or(&[][..], |name| name.as_bytes());
        let fault = Fault::new(fault::qcow2_write::TARGET_DATA_FILE).named(name);
        return Err(fault.in_file(file.slot()));
    } else {
        return Ok(());
    };
    Err(Fault::new(wrong).in_file(file.slot()))
}
