//! The header, valid by construction.

use instar_disk::fault::parallels as faults;
use instar_disk::{Fault, File, Result, fault};
use zerocopy::{FromZeros, IntoBytes};

use crate::raw::{HEADER_BYTES, IN_USE, MAGIC, MAGIC_OLD, RawHeader, SECTOR, VERSION, entry, limit};

/// What a valid header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the disk, a multiple of 512.
    pub size: u64,
    /// Bytes of a cluster, a multiple of 512, and not of more.
    pub cluster: u64,
    /// Entries of the BAT.
    pub entries: u64,
    /// Bytes that an entry counts.
    pub step: u64,
    /// Where clusters begin, as the header says or, where that cannot be, as the BAT asks for.
    pub data_start: u64,
    /// The header says something that cannot be.
    pub data_start_is_wrong: bool,
    /// A writer never closed the image.
    pub is_dirty: bool,
    /// Where the format extension is; 0: there is none.
    pub extension: u64,
    /// Bytes of the file.
    pub file_size: u64,
}

impl Header {
    /// Reads and judges the header of `file`.
    ///
    /// # Errors
    /// What is wrong, in qemu-img's words; `SHORT_READ` for a BAT that is not in the file; the host's.
    pub fn read(file: &File<'_>) -> Result<(Self, RawHeader)> {
        let mut raw = RawHeader::new_zeroed();
        file.read_padded(0, raw.as_mut_bytes())?;
        let header = Self::parse(&raw, file.size()).map_err(|fault| fault.in_file(file.slot()))?;
        let end = header.bat_end();
        if end > file.size() {
            return Err(Fault::new(fault::core::SHORT_READ)
                .with([HEADER_BYTES, header.bat_bytes(), file.size()])
                .in_file(file.slot()));
        }
        Ok((header, raw))
    }

    /// Judges `raw` in qemu-img's order, so that the first complaint is the same.
    ///
    /// # Errors
    /// What is wrong, in qemu-img's words.
    pub fn parse(raw: &RawHeader, file_size: u64) -> Result<Self> {
        let is_old = raw.magic == MAGIC_OLD;
        if raw.version.get() != VERSION || !is_old && raw.magic != MAGIC {
            return Err(Fault::new(faults::MAGIC));
        }
        let mut sectors = raw.nb_sectors.get();
        if is_old {
            sectors &= u64::from(u32::MAX);
        }
        let tracks = raw.tracks.get();
        if tracks == 0 {
            return Err(Fault::new(faults::NO_CLUSTER));
        }
        if tracks > limit::TRACKS {
            return Err(Fault::new(faults::CLUSTER_LARGE));
        }
        let entries = u64::from(raw.bat_entries.get());
        if entries > limit::ENTRIES {
            return Err(Fault::new(faults::CATALOG_LARGE));
        }
        if raw.ext_off.get() >= limit::EXTENSION {
            return Err(Fault::new(faults::EXTENSION_OFFSET));
        }
        let size = sectors
            .checked_mul(SECTOR)
            .filter(|size| *size < instar_disk::limits::FILE_END)
            .ok_or(Fault::new(faults::DISK_LARGE))?;
        let cluster = u64::from(tracks).saturating_mul(SECTOR);
        let mut header = Self {
            size,
            cluster,
            entries,
            step: if is_old { SECTOR } else { cluster },
            data_start: 0,
            data_start_is_wrong: false,
            is_dirty: raw.in_use.get() == IN_USE,
            extension: raw.ext_off.get().saturating_mul(SECTOR),
            file_size,
        };
        let least = header.up(header.bat_end());
        let said = u64::from(raw.data_off.get()).saturating_mul(SECTOR);
        let is_missing = is_old && said == 0;
        // The reference tool takes the last sector of the file for a whole one.
        let fits = said >= least && said <= file_size.next_multiple_of(SECTOR);
        header.data_start_is_wrong = !is_missing && !fits;
        header.data_start = if fits && !is_missing { said } else { least };
        Ok(header)
    }

    /// Bytes of the BAT.
    #[must_use]
    pub const fn bat_bytes(&self) -> u64 {
        self.entries.saturating_mul(entry::BYTES)
    }

    /// Where the BAT ends.
    #[must_use]
    pub const fn bat_end(&self) -> u64 {
        HEADER_BYTES.saturating_add(self.bat_bytes())
    }

    /// Where the cluster of a BAT entry is in the file; none: it reads as zeros.
    #[must_use]
    pub fn place(&self, value: u32) -> Option<u64> {
        (value != entry::NONE).then(|| u64::from(value).saturating_mul(self.step))
    }

    /// The BAT entry of a cluster at byte `place`.
    ///
    /// # Errors
    /// `OVERFLOW`: no entry says that.
    pub fn entry(&self, place: u64) -> Result<u32> {
        let value = place.checked_div(self.step).unwrap_or(0);
        u32::try_from(value).map_err(|_| Fault::new(fault::core::OVERFLOW).with([place]))
    }

    /// The cluster of the disk with byte `offset`, and where in it that is.
    #[must_use]
    pub fn split(&self, offset: u64) -> (u64, u64) {
        let cluster = offset.checked_div(self.cluster).unwrap_or(0);
        (
            cluster,
            offset.saturating_sub(cluster.saturating_mul(self.cluster)),
        )
    }

    /// The first place from byte `offset` on that an entry can say.
    #[must_use]
    pub const fn up(&self, offset: u64) -> u64 {
        if self.step == 0 {
            return offset;
        }
        offset.div_ceil(self.step).saturating_mul(self.step)
    }
}
