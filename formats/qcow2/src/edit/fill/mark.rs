//! The mark on an existing image that is being written: one field of its header, set before the first change and cleared
//! after the last.
//!
//! The rest of the header stays. To salvage a marked image, clear the field: `incompatible_features` bit 63, or version 2
//! instead of `INCO`.

use instar_disk::{File, Result};
use zerocopy::{FromBytes, IntoBytes};

use crate::extensions::Extensions;
use crate::header::{Header, TableRange};
use crate::new::compose::{INCOMPLETE, INCOMPLETE_NAME, INCOMPLETE_VERSION};
use crate::num::{internal, shr};
use crate::pieces::Pieces;
use crate::raw::{RawFeatureName, RawHeader, autoclear};

/// An image that bears the mark.
pub(crate) struct Marked<'h> {
    file: File<'h>,
    header: RawHeader,
    version: u32,
    /// Its bitmaps agreed with the data, and still do.
    bitmaps: bool,
    /// The entry of the feature name table that was lent to the mark.
    lent: Option<(u64, RawFeatureName)>,
}

impl<'h> Marked<'h> {
    /// Marks the image in `file`, for good until [`Marked::clear`].
    pub(crate) fn set(file: File<'h>, header: &Header) -> Result<Self> {
        let mut raw = [0; size_of::<RawHeader>()];
        file.read_padded(0, &mut raw)?;
        let (raw, _) = RawHeader::read_from_prefix(&raw).map_err(|_| internal(line!()))?;
        let mut marked = Self {
            file,
            header: raw,
            version: header.version,
            bitmaps: header.extensions.bitmaps.is_some(),
            lent: None,
        };
        if header.version >= 3 {
            marked.lend(header)?;
            let features = raw.incompatible_features.get() | INCOMPLETE;
            file.write(FEATURES_AT, &features.to_be_bytes())?;
        } else {
            file.write(VERSION_AT, &INCOMPLETE_VERSION.to_be_bytes())?;
        }
        file.flush()?;
        Ok(marked)
    }

    /// The header leads to bitmaps now, and the backing file's name stands at `name_at`, if there is one.
    pub(crate) fn lead_to_bitmaps(&mut self, name_at: u64) {
        self.header.backing_file_offset.set(name_at);
        let features = self.header.autoclear_features.get() | autoclear::BITMAPS;
        self.header.autoclear_features.set(features);
        self.bitmaps = true;
    }

    /// Clears the mark, after all else is on disk. `table` is the refcount table now.
    pub(crate) fn clear(mut self, table: TableRange, cluster_bits: u32) -> Result<()> {
        if let Some((offset, name)) = &self.lent {
            self.file.write(*offset, name.as_bytes())?;
            self.file.flush()?;
        }
        self.header.refcount_table_offset.set(table.offset);
        let clusters = shr(table.entries, cluster_bits.saturating_sub(3));
        let clusters = u32::try_from(clusters).map_err(|_| internal(line!()))?;
        self.header.refcount_table_clusters.set(clusters);
        // Who does not know these bits must clear them when he writes.
        let mut known = autoclear::DATA_FILE_RAW;
        if self.bitmaps {
            known |= autoclear::BITMAPS;
        }
        let known = self.header.autoclear_features.get() & known;
        self.header.autoclear_features.set(known);
        let length = if self.version >= 3 { AUTOCLEAR_END } else { V2_END };
        let bytes = self.header.as_bytes();
        self.file.write(0, bytes.get(..length).unwrap_or(bytes))?;
        self.file.flush()
    }

    /// Puts the mark's name in place of the last one of the feature name table, so that readers say why they refuse.
    fn lend(&mut self, header: &Header) -> Result<()> {
        let mut head = Pieces::new(self.file);
        let end = match self.header.backing_file_offset.get() {
            0 => header.cluster_size(),
            name => name,
        };
        let area = u64::from(header.header_length)..end;
        let Some((offset, length)) = Extensions::find_feature_table(&mut head, area) else {
            return Ok(());
        };
        let entry = instar_disk::from_usize(size_of::<RawFeatureName>());
        let Some(number) = length
            .checked_div(entry)
            .and_then(|entries| entries.checked_sub(1))
        else {
            return Ok(());
        };
        let at = offset.saturating_add(number.saturating_mul(entry));
        let mut name = [0; size_of::<RawFeatureName>()];
        self.file.read_exact(at, &mut name)?;
        let old = RawFeatureName::read_from_bytes(&name).map_err(|_| internal(line!()))?;
        self.file.write(at, INCOMPLETE_NAME.as_bytes())?;
        self.lent = Some((at, old));
        Ok(())
    }
}

/// Where the fields that carry the mark stand, and where the fields that writing changes end.
const VERSION_AT: u64 = 4;
const FEATURES_AT: u64 = 72;
const AUTOCLEAR_END: usize = 96;
const V2_END: usize = 72;
const _: () = {
    assert!(core::mem::offset_of!(RawHeader, version) == 4);
    assert!(core::mem::offset_of!(RawHeader, incompatible_features) == 72);
    assert!(core::mem::offset_of!(RawHeader, refcount_order) == AUTOCLEAR_END);
};
