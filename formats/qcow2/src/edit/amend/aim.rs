//! What an image is to be, and what speaks against it that its header knows.

use instar_disk::fault::amend as faults;
use instar_disk::job::Amend;
use instar_disk::{Fault, Result};

use crate::header::Header;
use crate::raw::{crypt, incompatible};

/// The options as they are to be.
pub(super) struct Aim {
    /// 2 or 3.
    pub(super) version: u32,
    /// log2 of the bits of a count.
    pub(super) order: u32,
    /// Counts may be written late.
    pub(super) lazy: bool,
    /// The data file is a raw image, too.
    pub(super) data_file_raw: bool,
    /// Another name of the data file.
    pub(super) data_file: Option<alloc::vec::Vec<u8>>,
}

impl Aim {
    /// What is wanted of the image behind `header`, each value by itself, in the order of the reference tool.
    ///
    /// # Errors
    /// A value that is none, or not for this image.
    pub(super) fn of(header: &Header, wanted: &Amend) -> Result<Self> {
        if wanted.encryption.is_some() {
            match header.encryption {
                crypt::LUKS => {}
                crypt::NONE => return Err(Fault::new(faults::NOT_ENCRYPTED)),
                _ => return Err(Fault::new(faults::NOT_LUKS)),
            }
        }
        let version = match wanted.compat.as_deref() {
            None => header.version,
            Some(b"0.10" | b"v2") => 2,
            Some(b"1.1" | b"v3") => 3,
            Some(other) => return Err(Fault::new(faults::COMPAT).named(other)),
        };
        if wanted.data_file.is_some() && !header.features.data_file() {
            return Err(Fault::new(faults::NO_DATA_FILE));
        }
        if wanted.data_file_raw == Some(true) && !header.features.data_file_raw() {
            return Err(Fault::new(faults::DATA_FILE_RAW));
        }
        let bits = wanted
            .refcount_bits
            .unwrap_or_else(|| 1_u64.wrapping_shl(header.refcount_order));
        if !bits.is_power_of_two() || bits > MOST_BITS {
            return Err(Fault::new(faults::WIDTH));
        }
        let order = bits.trailing_zeros();
        if order != header.refcount_order && version < 3 && order != VERSION_2_ORDER {
            return Err(Fault::new(faults::WIDTH_VERSION));
        }
        let known = header.extensions.data_file.as_ref().map(|name| name.as_bytes());
        let data_file = wanted.data_file.as_deref().filter(|name| Some(*name) != known);
        Ok(Self {
            version,
            order,
            lazy: wanted
                .lazy_refcounts
                .unwrap_or_else(|| header.features.lazy_refcounts()),
            data_file_raw: wanted
                .data_file_raw
                .unwrap_or_else(|| header.features.data_file_raw()),
            data_file: data_file.map(<[u8]>::to_vec),
        })
    }

    /// What speaks against options of the header.
    pub(super) fn judge_rest(&self, header: &Header, wanted: &Amend) -> Result<()> {
        if self.data_file.as_ref().is_some_and(alloc::vec::Vec::is_empty) {
            return Err(Fault::new(faults::DATA_FILE_EMPTY));
        }
        if wanted.backing_file.is_some() || wanted.backing_format.is_some() {
            let name = header.backing_name.as_ref().map(|name| name.as_bytes());
            let format = header.extensions.backing_format.as_ref();
            let format = format.map(|format| format.as_bytes());
            if wanted.backing_file.as_deref() != name || wanted.backing_format.as_deref() != format {
                return Err(Fault::new(faults::BACKING));
            }
        }
        if self.lazy && !header.features.lazy_refcounts() && self.version < 3 {
            return Err(Fault::new(faults::LAZY_VERSION));
        }
        Ok(())
    }

    /// What speaks against version 2.
    pub(super) fn judge_downgrade(&self, header: &Header) -> Result<()> {
        if self.order != VERSION_2_ORDER {
            return Err(Fault::new(faults::DOWN_WIDTH));
        }
        if header.features.data_file() {
            return Err(Fault::new(faults::DOWN_DATA_FILE));
        }
        Ok(())
    }

    /// Likewise, once snapshots were looked at.
    pub(super) fn judge_features(&self, header: &Header) -> Result<()> {
        let known = incompatible::DIRTY | incompatible::COMPRESSION;
        match header.features.incompatible & !known {
            0 => Ok(()),
            others => Err(Fault::new(faults::DOWN_FEATURES).with([others])),
        }
    }

    /// Whether nothing changes.
    pub(super) fn is_as(&self, header: &Header) -> bool {
        self.version == header.version
            && self.order == header.refcount_order
            && self.lazy == header.features.lazy_refcounts()
            && self.data_file_raw == header.features.data_file_raw()
            && self.data_file.is_none()
    }
}

/// Bits of the widest count.
const MOST_BITS: u64 = 64;
/// log2 of the bits of a count in version 2.
const VERSION_2_ORDER: u32 = 4;
