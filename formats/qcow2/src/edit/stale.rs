//! Bitmaps that no longer agree with the data, since somebody wrote who does not know them.

use instar_disk::{File, Result};

use super::head::Head;
use crate::header::Header;
use crate::raw::extension;

/// Takes their extension out of the header. Where there is no room to do that so that a stop does no harm, it stays: it counts for nothing.
pub(crate) fn forget(file: File<'_>, header: &Header) -> Result<()> {
    if header.features.bitmaps() {
        return Ok(());
    }
    let mut head = Head::read(file, header)?;
    let before = head.clone();
    head.set_extension(extension::BITMAPS, None);
    if head == before || head.judge(file).is_err() {
        return Ok(());
    }
    head.write(file)
}
