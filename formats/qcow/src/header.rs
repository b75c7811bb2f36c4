//! The header, valid by construction.

use core::ops::Range;

use instar_disk::errno::EIO;
use instar_disk::fault::qcow as faults;
use instar_disk::report::Backing;
use instar_disk::{Fault, File, ImageText, Result, align_down, fault, limits, to_usize};
use zerocopy::{FromZeros, IntoBytes};

use crate::geometry::Geometry;
use crate::raw::{HEADER_BYTES, MAGIC, RawHeader, SECTOR, VERSION, entry, limit};

/// What a valid header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Clusters and tables.
    pub geometry: Geometry,
    /// Bytes of the disk, a multiple of 512.
    pub size: u64,
    /// Entries of the L1 table.
    pub l1_entries: u64,
    /// Where the L1 table is.
    pub l1_offset: u64,
    /// What the disk holds is encrypted.
    pub encrypted: bool,
    /// Bytes of the file.
    pub file_size: u64,
    /// Where its name for the layer below is in the file.
    pub name_at: Range<u64>,
    /// The layer below.
    name: Option<ImageText>,
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
        let at = raw.backing_file_offset.get();
        if at != 0 {
            let length = u64::from(raw.backing_file_size.get());
            if length > limit::NAME {
                return Err(Fault::new(faults::NAME).in_file(file.slot()));
            }
            let mut name = alloc::vec![0; to_usize(length)?];
            file.read_padded(at, &mut name)?;
            header.name_at = at..at.saturating_add(length);
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            let name = name.get(..end).unwrap_or_default();
            header.name = (!name.is_empty()).then(|| ImageText::new(name));
        }
        Ok((header, raw))
    }

    /// Judges `raw` in qemu-img's order, so that the first complaint is the same.
    ///
    /// # Errors
    /// What is wrong, in qemu-img's words.
    pub fn parse(raw: &RawHeader, file_size: u64) -> Result<Self> {
        if raw.magic != MAGIC {
            return Err(Fault::new(faults::MAGIC));
        }
        let version = raw.version.get();
        if version != VERSION {
            let code = if matches!(version, 2 | 3) {
                faults::VERSION_2
            } else {
                faults::VERSION
            };
            return Err(Fault::new(code).with([version.into()]));
        }
        let size = raw.size.get();
        if size <= 1 {
            return Err(Fault::new(faults::SIZE_SMALL));
        }
        if !limit::CLUSTER_BITS.contains(&raw.cluster_bits) {
            return Err(Fault::new(faults::CLUSTER_SIZE));
        }
        if !limit::L2_BITS.contains(&raw.l2_bits) {
            return Err(Fault::new(faults::TABLE_SIZE));
        }
        let crypt = raw.crypt_method.get();
        if crypt > 1 {
            return Err(Fault::new(faults::CRYPT_METHOD));
        }
        let geometry = Geometry::new(raw.cluster_bits, raw.l2_bits);
        let l1_entries = geometry.l1_entries(size);
        if size > u64::MAX.saturating_sub(geometry.span()) || l1_entries > limit::L1_ENTRIES {
            return Err(Fault::new(faults::SIZE_LARGE));
        }
        let l1_offset = raw.l1_table_offset.get();
        let end = l1_offset.saturating_add(l1_entries.saturating_mul(entry::BYTES));
        if end >= limits::FILE_END {
            return Err(Fault::new(fault::core::IO).with([EIO]));
        }
        Ok(Self {
            geometry,
            size: align_down(size, SECTOR),
            l1_entries,
            l1_offset,
            encrypted: crypt == 1,
            file_size,
            name_at: 0..0,
            name: None,
        })
    }

    /// The layer below, as the image names it: its format is not remembered.
    #[must_use]
    pub fn backing(&self) -> Option<Backing> {
        let name = self.name.clone()?;
        Some(Backing { name, format: None })
    }

    /// Whether there can be a table, a cluster or a stream: in the file as a whole, and not in the header.
    #[must_use]
    pub fn can_be(&self, offset: u64, bytes: u64) -> bool {
        let end = offset.saturating_add(bytes);
        end <= self.file_size
            && !meets(&(offset..end), &(0..HEADER_BYTES))
            && !meets(&(offset..end), &self.name_at)
    }

    /// Whether there can be something beside the L1 table, too.
    #[must_use]
    pub fn can_be_beside(&self, offset: u64, bytes: u64) -> bool {
        let l1 = self.l1_offset..self.l1_end();
        self.can_be(offset, bytes) && !meets(&(offset..offset.saturating_add(bytes)), &l1)
    }

    /// Bytes of the L1 table.
    #[must_use]
    pub const fn l1_bytes(&self) -> u64 {
        self.l1_entries.saturating_mul(entry::BYTES)
    }

    /// Where the L1 table ends.
    #[must_use]
    pub const fn l1_end(&self) -> u64 {
        self.l1_offset.saturating_add(self.l1_bytes())
    }

    /// Whether the image shows another disk where it has no cluster.
    #[must_use]
    pub const fn has_backing(&self) -> bool {
        self.name.is_some()
    }
}

/// Whether two ranges have something in common.
const fn meets(one: &Range<u64>, other: &Range<u64>) -> bool {
    one.start < other.end && other.start < one.end
}
