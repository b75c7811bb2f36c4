//! The header's first 512 bytes: what a disk writes as one, and hence what switches from one state of an image to the next.

use instar_disk::{File, Result};
use zerocopy::FromBytes;

use crate::header::TableRange;
use crate::num::{internal, shr};
use crate::raw::{RawHeader, autoclear, incompatible};

/// The first sector as it stands on disk. What this build does not know in it stays as it is.
pub(crate) struct Sector<'h> {
    file: File<'h>,
    bytes: [u8; BYTES],
    version: u32,
}

impl<'h> Sector<'h> {
    pub(crate) fn read(file: File<'h>, version: u32) -> Result<Self> {
        let mut bytes = [0; BYTES];
        file.read_padded(0, &mut bytes)?;
        Ok(Self { file, bytes, version })
    }

    /// Clears features that this build does not keep up, where there are such: the specification has a writer do so.
    pub(super) fn forget_unknown(&mut self) -> Result<()> {
        if self.version < 3 {
            return Ok(());
        }
        let raw = self.raw()?;
        let all = raw.autoclear_features.get();
        let known = all & KEPT_UP;
        raw.autoclear_features.set(known);
        if known == all { Ok(()) } else { self.write() }
    }

    /// Says that counts and flags may disagree, or that they do not, and clears features that this build does not keep up. Version 2
    /// can say neither.
    pub(super) fn set_dirty(&mut self, dirty: bool) -> Result<()> {
        if self.version < 3 {
            return Ok(());
        }
        let raw = self.raw()?;
        let others = raw.incompatible_features.get() & !incompatible::DIRTY;
        let bit = if dirty { incompatible::DIRTY } else { 0 };
        raw.incompatible_features.set(others | bit);
        let known = raw.autoclear_features.get() & KEPT_UP;
        raw.autoclear_features.set(known);
        Ok(())
    }

    /// [Says so](Self::set_dirty) at once. There is nothing to write in version 2.
    pub(super) fn write_dirty(&mut self, dirty: bool) -> Result<()> {
        self.set_dirty(dirty)?;
        if self.version < 3 { Ok(()) } else { self.write() }
    }

    /// Takes the mark of counts that may be wrong from the image, and that of anything else, if they are there. Version 2 has neither.
    pub(crate) fn clear_marks(&mut self, dirty: bool, corrupt: bool) -> Result<()> {
        if self.version < 3 {
            return Ok(());
        }
        let bit = |clear: bool, bit: u64| if clear { bit } else { 0 };
        let raw = self.raw()?;
        let old = raw.incompatible_features.get();
        let new = old & !bit(dirty, incompatible::DIRTY) & !bit(corrupt, incompatible::CORRUPT);
        if new == old {
            return Ok(());
        }
        raw.incompatible_features.set(new);
        self.write()
    }

    /// Leads to another L1 table.
    pub(crate) fn set_l1(&mut self, l1: TableRange) -> Result<()> {
        let entries = narrow(l1.entries)?;
        let raw = self.raw()?;
        raw.l1_size.set(entries);
        raw.l1_table_offset.set(l1.offset);
        Ok(())
    }

    /// Leads to another snapshot table.
    pub(crate) fn set_snapshots(&mut self, snapshots: TableRange) -> Result<()> {
        let entries = narrow(snapshots.entries)?;
        let raw = self.raw()?;
        raw.nb_snapshots.set(entries);
        raw.snapshots_offset.set(snapshots.offset);
        Ok(())
    }

    /// Leads to another refcount table.
    pub(crate) fn set_refcount_table(&mut self, table: TableRange, cluster_bits: u32) -> Result<()> {
        let clusters = narrow(shr(table.entries, cluster_bits.saturating_sub(3)))?;
        let raw = self.raw()?;
        raw.refcount_table_offset.set(table.offset);
        raw.refcount_table_clusters.set(clusters);
        Ok(())
    }

    /// Another virtual size, in bytes.
    pub(crate) fn set_size(&mut self, size: u64) -> Result<()> {
        self.raw()?.size.set(size);
        Ok(())
    }

    /// Writes the sector, in one piece, and waits for it.
    pub(crate) fn write(&self) -> Result<()> {
        self.file.write(0, &self.bytes)?;
        self.file.flush()
    }

    /// The header; in version 2 only what lies before `incompatible_features` is one.
    fn raw(&mut self) -> Result<&mut RawHeader> {
        let (raw, _) = RawHeader::mut_from_prefix(&mut self.bytes).map_err(|_| internal(line!()))?;
        Ok(raw)
    }
}

pub(super) fn narrow(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| internal(line!()))
}

/// Autoclear features that this build keeps up.
pub(super) const KEPT_UP: u64 = autoclear::BITMAPS | autoclear::DATA_FILE_RAW;

/// Bytes that every disk writes as one.
const BYTES: usize = 512;
