//! The header, valid by construction.

use alloc::format;

use instar_disk::fault::qed as faults;
use instar_disk::report::Backing;
use instar_disk::{Fault, File, ImageText, Result, to_usize};
use zerocopy::{FromZeros, IntoBytes};

use crate::geometry::Geometry;
use crate::raw::{HEADER_BYTES, MAGIC, RawHeader, SECTOR, feature, limit};

/// What a valid header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Clusters and tables.
    pub geometry: Geometry,
    /// Bytes of the disk, a multiple of 512.
    pub size: u64,
    /// Bytes of the header, whole clusters, in which no table and no cluster can be.
    pub bytes: u64,
    /// Where the L1 table is. It is in the file.
    pub l1_offset: u64,
    /// Bytes of the file, whole clusters. A last sector that is cut short counts as whole, as with the reference tool.
    pub file_end: u64,
    /// A writer has not finished.
    pub need_check: bool,
    /// Somebody has put something into the file that a writer who does not know it must disown.
    pub autoclear: bool,
    /// The layer below.
    name: Option<ImageText>,
    backing_raw: bool,
}

impl Header {
    /// Reads and judges the header of `file`.
    ///
    /// # Errors
    /// What is wrong, in qemu-img's words; the host's.
    pub fn read(file: &File<'_>) -> Result<(Self, RawHeader)> {
        let mut raw = RawHeader::new_zeroed();
        file.read_padded(0, raw.as_mut_bytes())?;
        let mut header = Self::parse(&raw, file.size()).map_err(|fault| fault.in_file(file.slot()))?;
        if raw.features.get() & feature::BACKING_FILE != 0 {
            let mut name = alloc::vec![0; to_usize(raw.backing_filename_size.get().into())?];
            file.read_padded(raw.backing_filename_offset.get().into(), &mut name)?;
            // As the reference tool reads it: up to a zero.
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            let name = name.get(..end).unwrap_or_default();
            header.name = (!name.is_empty()).then(|| ImageText::new(name));
        }
        Ok((header, raw))
    }

    /// Judges `raw`, the header of a file of `file_size` bytes, in qemu-img's order, so that the first complaint is the same.
    ///
    /// # Errors
    /// What is wrong, in qemu-img's words.
    pub fn parse(raw: &RawHeader, file_size: u64) -> Result<Self> {
        if raw.magic != MAGIC {
            return Err(Fault::new(faults::MAGIC));
        }
        let features = raw.features.get();
        let unknown = features & !feature::KNOWN;
        if unknown != 0 {
            return Err(Fault::new(faults::FEATURES).named(format!("{unknown:x}").as_bytes()));
        }
        let (cluster, table) = (raw.cluster_size.get().into(), raw.table_size.get().into());
        if Geometry::new(cluster, *limit::TABLE.start()).is_none() {
            return Err(Fault::new(faults::CLUSTER_SIZE));
        }
        let geometry = Geometry::new(cluster, table).ok_or(Fault::new(faults::TABLE_SIZE))?;
        let size = raw.image_size.get();
        if !size.is_multiple_of(512) || size > geometry.most() {
            return Err(Fault::new(faults::IMAGE_SIZE));
        }
        let declared = u64::from(raw.header_size.get()).saturating_mul(cluster);
        let header = Self {
            geometry,
            size,
            // Whatever it says, it is there.
            bytes: declared.max(cluster),
            l1_offset: raw.l1_table_offset.get(),
            file_end: geometry.start_of(file_size.checked_next_multiple_of(SECTOR).unwrap_or(file_size)),
            need_check: features & feature::NEED_CHECK != 0,
            autoclear: raw.autoclear_features.get() != 0,
            name: None,
            backing_raw: features & feature::BACKING_RAW != 0,
        };
        if !header.can_be_table(header.l1_offset) {
            return Err(Fault::new(faults::TABLE_OFFSET));
        }
        if declared > u32::MAX.into() {
            return Err(Fault::new(faults::HEADER_SIZE));
        }
        if features & feature::BACKING_FILE != 0 {
            let at = u64::from(raw.backing_filename_offset.get());
            let bytes = u64::from(raw.backing_filename_size.get());
            if at.saturating_add(bytes) > declared {
                return Err(Fault::new(faults::NAME_OFFSET));
            }
            if bytes > limit::NAME {
                return Err(Fault::new(faults::NAME));
            }
        }
        Ok(header)
    }

    /// The layer below, as the image names it.
    #[must_use]
    pub fn backing(&self) -> Option<Backing> {
        let name = self.name.clone()?;
        let format = self.backing_raw.then(|| ImageText::new(b"raw"));
        Some(Backing { name, format })
    }

    /// Whether a cluster can be at byte `offset`: on the bound of one, behind the header, in the file as a whole.
    #[must_use]
    pub fn can_be_cluster(&self, offset: u64) -> bool {
        offset == self.geometry.start_of(offset) && offset >= self.bytes && offset < self.file_end
    }

    /// Whether a table can be at byte `offset`.
    #[must_use]
    pub fn can_be_table(&self, offset: u64) -> bool {
        let last = self
            .geometry
            .table_bytes()
            .saturating_sub(self.geometry.cluster());
        self.can_be_cluster(offset) && self.can_be_cluster(offset.saturating_add(last))
    }

    /// Whether the image shows another disk where it has no cluster.
    #[must_use]
    pub const fn has_backing(&self) -> bool {
        self.name.is_some()
    }
}

/// A new image's header, with the name of the layer below behind it.
pub(crate) fn compose(
    geometry: Geometry,
    size: u64,
    name: Option<&[u8]>,
    backing_raw: bool,
) -> Result<RawHeader> {
    let mut raw = RawHeader::new_zeroed();
    raw.magic = MAGIC;
    raw.cluster_size.set(narrow(geometry.cluster())?);
    raw.table_size.set(narrow(geometry.table_clusters())?);
    raw.header_size.set(1);
    raw.l1_table_offset.set(geometry.cluster());
    raw.image_size.set(size);
    if let Some(name) = name {
        set_name(&mut raw, name, HEADER_BYTES, backing_raw)?;
    }
    Ok(raw)
}

/// Names the layer below, whose name stands at byte `at`.
pub(crate) fn set_name(raw: &mut RawHeader, name: &[u8], at: u64, backing_raw: bool) -> Result<()> {
    let others = raw.features.get() & !(feature::BACKING_FILE | feature::BACKING_RAW);
    let is_raw = if backing_raw { feature::BACKING_RAW } else { 0 };
    raw.features.set(others | feature::BACKING_FILE | is_raw);
    raw.backing_filename_offset.set(narrow(at)?);
    raw.backing_filename_size
        .set(narrow(instar_disk::from_usize(name.len()))?);
    Ok(())
}

pub(crate) fn narrow(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Fault::new(instar_disk::fault::core::OVERFLOW).with([value]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> RawHeader {
        let geometry = Geometry::new(65536, 4).unwrap();
        compose(geometry, 1 << 30, Some(b"base"), true).unwrap()
    }

    const FILE: u64 = 5 << 16;

    fn refused(change: impl Fn(&mut RawHeader)) -> instar_disk::FaultCode {
        let mut raw = valid();
        change(&mut raw);
        Header::parse(&raw, FILE).unwrap_err().code
    }

    #[test]
    fn what_the_format_allows_at_most_is_read_and_no_more() {
        assert!(Header::parse(&valid(), FILE).is_ok());
        let largest = |raw: &mut RawHeader| raw.image_size.set(1 << 46);
        let mut raw = valid();
        largest(&mut raw);
        assert!(Header::parse(&raw, FILE).is_ok());
        assert_eq!(
            refused(|raw| raw.image_size.set((1 << 46) + 512)),
            faults::IMAGE_SIZE
        );
        assert_eq!(refused(|raw| raw.image_size.set(511)), faults::IMAGE_SIZE);
        assert_eq!(refused(|raw| raw.cluster_size.set(2048)), faults::CLUSTER_SIZE);
        assert_eq!(refused(|raw| raw.cluster_size.set(1 << 27)), faults::CLUSTER_SIZE);
        assert_eq!(refused(|raw| raw.table_size.set(32)), faults::TABLE_SIZE);
        assert_eq!(refused(|raw| raw.header_size.set(1 << 17)), faults::TABLE_OFFSET);
        assert_eq!(refused(|raw| raw.features.set(9)), faults::FEATURES);
        assert_eq!(refused(|raw| raw.backing_filename_size.set(4096)), faults::NAME);
        assert_eq!(
            refused(|raw| raw.backing_filename_offset.set(65533)),
            faults::NAME_OFFSET
        );
    }

    #[test]
    fn a_table_lies_in_the_file_as_a_whole() {
        for (offset, fits) in [
            (0, false),
            (1 << 16, true),
            (2 << 16, false),
            (65537, false),
            (!0xffff, false),
        ] {
            let mut raw = valid();
            raw.l1_table_offset.set(offset);
            assert_eq!(Header::parse(&raw, FILE).is_ok(), fits, "{offset:#x}");
        }
        // A last sector that is cut short counts as whole.
        assert!(Header::parse(&valid(), FILE - 511).is_ok());
        assert!(Header::parse(&valid(), FILE - 512).is_err());
    }

    #[test]
    fn a_header_that_claims_to_have_no_bytes_still_has_some() {
        let mut raw = valid();
        raw.features.set(0);
        raw.header_size.set(0);
        raw.l1_table_offset.set(0);
        assert_eq!(Header::parse(&raw, FILE).unwrap_err().code, faults::TABLE_OFFSET);
    }
}
