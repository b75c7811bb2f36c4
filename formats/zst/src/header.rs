//! The seek table's own two ends, valid by construction.

use instar_disk::fault::zst as faults;
use instar_disk::{Fault, File, Result};
use zerocopy::{FromZeros, IntoBytes};

use crate::raw::{FRAME, OF_TABLE, RawEntry, RawFooter, RawSkipped, SEEKABLE, SKIPPED, descriptor};

/// Where the seek table is, and how many entries it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Entries.
    pub frames: u32,
    /// Entries have a checksum.
    pub checksums: bool,
    /// Where the frames end, and the one that is the table begins.
    pub end: u64,
}

impl Header {
    /// Reads both ends of `file`.
    ///
    /// # Errors
    /// `MAGIC`, `NOT_SEEKABLE`, `FOOTER`; the host's.
    pub fn read(file: &File<'_>) -> Result<Self> {
        let mut magic = [0; FRAME.len()];
        file.read_padded(0, &mut magic)?;
        if !starts(&magic) {
            return Err(Fault::new(faults::MAGIC));
        }
        let mut footer = RawFooter::new_zeroed();
        let Some(footer_at) = file.size().checked_sub(FOOTER) else {
            return Err(Fault::new(faults::NOT_SEEKABLE));
        };
        file.read_exact(footer_at, footer.as_mut_bytes())?;
        let mut skipped = RawSkipped::new_zeroed();
        let start = start_of_table(file.size(), &footer);
        if let Some(start) = start {
            file.read_exact(start, skipped.as_mut_bytes())?;
        }
        Self::parse(&footer, start, &skipped)
    }

    /// Judges the end of the table, and what stands at `start`, where it should begin.
    ///
    /// # Errors
    /// As [`Header::read`].
    pub fn parse(footer: &RawFooter, start: Option<u64>, skipped: &RawSkipped) -> Result<Self> {
        if footer.magic.get() != SEEKABLE {
            return Err(Fault::new(faults::NOT_SEEKABLE));
        }
        let frames = footer.number_of_frames.get();
        let wrong = || Fault::new(faults::FOOTER).with([frames.into(), footer.descriptor.into()]);
        let end = start.ok_or_else(wrong)?;
        let bytes = table_bytes(footer);
        let whole = skipped.magic.get() == SKIPPED | OF_TABLE && u64::from(skipped.frame_size.get()) == bytes;
        if !whole || footer.descriptor & descriptor::RESERVED != 0 {
            return Err(wrong());
        }
        Ok(Self {
            frames,
            checksums: footer.descriptor & descriptor::CHECKSUM != 0,
            end,
        })
    }

    /// Bytes of an entry.
    #[must_use]
    pub fn entry_bytes(&self) -> u64 {
        entry_bytes(self.checksums)
    }

    /// Where the entries are.
    #[must_use]
    pub const fn entries(&self) -> u64 {
        self.end.saturating_add(SKIPPED_HEAD)
    }
}

/// Whether a frame, or one that is skipped, begins so.
pub(crate) fn starts(head: &[u8]) -> bool {
    head.first_chunk()
        .is_some_and(|magic| *magic == FRAME || u32::from_le_bytes(*magic) & !0xf == SKIPPED)
}

/// Where the table begins in a file of `size` bytes that ends in `footer`; none if there is no room for it.
fn start_of_table(size: u64, footer: &RawFooter) -> Option<u64> {
    size.checked_sub(table_bytes(footer))?.checked_sub(SKIPPED_HEAD)
}

/// Bytes of the table, its footer included.
fn table_bytes(footer: &RawFooter) -> u64 {
    let each = entry_bytes(footer.descriptor & descriptor::CHECKSUM != 0);
    u64::from(footer.number_of_frames.get())
        .saturating_mul(each)
        .saturating_add(FOOTER)
}

fn entry_bytes(checksums: bool) -> u64 {
    let each = instar_disk::from_usize(size_of::<RawEntry>());
    if checksums { each.saturating_add(4) } else { each }
}

/// Bytes of [`RawFooter`].
const FOOTER: u64 = 9;
/// Bytes of [`RawSkipped`].
const SKIPPED_HEAD: u64 = 8;
