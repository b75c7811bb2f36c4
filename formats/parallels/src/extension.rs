//! The format extension: a cluster that says what the header has no field for, such as dirty bitmaps.
//!
//! ```text
//!  0       8              24
//!  │ magic │ MD5 of the   │ feature: magic, flags, bytes, data │ feature … │ magic 0
//!  │       │ rest         │ on a bound of 8                    │           │
//! ```
//!
//! Nothing of it matters to the disk. It is looked at because an image whose extension is damaged is refused by the reference tool.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

use instar_disk::fault::parallels as faults;
use instar_disk::{Fault, File, Result, TableReader, align_up, fault, from_usize};
use md5::{Digest, Md5};
use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::header::Header;
use crate::raw::SECTOR;

/// What the extension begins with.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawExtension {
    magic: U64,
    md5: [u8; 16],
}

/// What a feature begins with.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawFeature {
    magic: U64,
    flags: U64,
    data_size: U32,
    unused: U32,
}

/// What the data of a dirty bitmap begins with. A table of u64 follows.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawBitmap {
    /// Sectors of the disk.
    size: U64,
    id: [u8; 16],
    /// Sectors that a bit stands for.
    granularity: U32,
    l1_size: U32,
}

/// Judges the extension of an image that is only read, if it has one.
///
/// # Errors
/// What is wrong, in qemu-img's words; the host's.
pub(crate) fn judge(file: &File<'_>, header: &Header) -> Result<()> {
    if header.extension == 0 {
        return Ok(());
    }
    if header.cluster > BYTES_MAX {
        return Err(Fault::new(faults::EXTENSION_LARGE).with([header.cluster, BYTES_MAX]));
    }
    let mut extension = Extension {
        file,
        header,
        bytes: TableReader::new(header.extension, header.cluster),
        at: 0,
        known: BTreeSet::new(),
    };
    extension.sum()?;
    while extension.feature()? {}
    Ok(())
}

struct Extension<'a, 'h> {
    file: &'a File<'h>,
    header: &'a Header,
    bytes: TableReader,
    /// What comes next, from the start of the cluster.
    at: u64,
    /// Bitmaps so far.
    known: BTreeSet<[u8; 16]>,
}

impl Extension<'_, '_> {
    /// What it begins with.
    fn sum(&mut self) -> Result<()> {
        let mut raw = RawExtension::new_zeroed();
        self.take(raw.as_mut_bytes())?;
        if raw.magic.get() != MAGIC {
            return Err(Fault::new(faults::EXTENSION_MAGIC).with([raw.magic.get(), MAGIC]));
        }
        let mut md5 = Md5::new();
        let mut at = self.at;
        while at < self.header.cluster {
            let piece = self.piece(at)?;
            md5.update(piece);
            at = at.saturating_add(from_usize(piece.len()));
        }
        if md5.finalize().as_slice() != raw.md5 {
            return Err(Fault::new(faults::EXTENSION_SUM));
        }
        Ok(())
    }

    /// The next feature; false: it was the last.
    fn feature(&mut self) -> Result<bool> {
        let needed = from_usize(size_of::<RawFeature>());
        let left = self.header.cluster.saturating_sub(self.at);
        if left < needed {
            return Err(Fault::new(faults::EXTENSION_SHORT).with([left, needed]));
        }
        let mut raw = RawFeature::new_zeroed();
        self.take(raw.as_mut_bytes())?;
        let bytes = u64::from(raw.data_size.get());
        if raw.flags.get() != 0 {
            return Err(Fault::new(faults::EXTENSION_FLAGS));
        }
        if bytes > left.saturating_sub(needed) {
            return Err(Fault::new(faults::FEATURE_LARGE));
        }
        match raw.magic.get() {
            END => return Ok(false),
            BITMAP => self.bitmap(bytes)?,
            other => return Err(Fault::new(faults::FEATURE_UNKNOWN).named(format!("{other:x}").as_bytes())),
        }
        self.at = align_up(self.at.saturating_add(bytes), 8)?;
        Ok(true)
    }

    /// A dirty bitmap, whose data of so many bytes come next. Its bits are not looked at.
    fn bitmap(&mut self, bytes: u64) -> Result<()> {
        let at = self.at;
        let needed = from_usize(size_of::<RawBitmap>());
        if bytes < needed {
            return Err(Fault::new(faults::BITMAP_SHORT).with([bytes, needed]));
        }
        let mut raw = RawBitmap::new_zeroed();
        self.take(raw.as_mut_bytes())?;
        self.at = at;
        let sectors = self.header.size / SECTOR;
        if raw.size.get() != sectors {
            return Err(Fault::new(faults::BITMAP_SIZE).with([raw.size.get(), sectors]));
        }
        let entries = u64::from(raw.l1_size.get());
        if entries.saturating_mul(8) > bytes.saturating_sub(needed) {
            return Err(Fault::new(faults::BITMAP_TABLE));
        }
        let granularity = u64::from(raw.granularity.get());
        if !granularity.is_power_of_two() {
            return Err(Fault::new(faults::BITMAP_GRANULARITY).with([granularity]));
        }
        if !self.known.insert(raw.id) {
            return Err(Fault::new(faults::BITMAP_TWICE).named(uuid(raw.id).as_bytes()));
        }
        // Whole words of eight bytes.
        let words = sectors.div_ceil(granularity).div_ceil(64);
        let expected = words.saturating_mul(8).div_ceil(self.header.cluster.max(1));
        if entries != expected {
            return Err(Fault::new(faults::BITMAP_ENTRIES).with([entries, expected]));
        }
        Ok(())
    }

    /// The next bytes, of which the cluster has as many.
    fn take(&mut self, into: &mut [u8]) -> Result<()> {
        let mut rest = into;
        while !rest.is_empty() {
            let piece = self.piece(self.at)?;
            let length = piece.len().min(rest.len());
            let (now, later) = rest.split_at_mut(length);
            now.copy_from_slice(piece.get(..length).unwrap_or_default());
            rest = later;
            self.at = self.at.saturating_add(from_usize(length));
        }
        Ok(())
    }

    /// Some bytes of the cluster from `at` on, at least one.
    fn piece(&mut self, at: u64) -> Result<&[u8]> {
        let file = *self.file;
        let piece = self.bytes.from(at, |at, into| file.read_padded(at, into))?;
        if piece.is_empty() {
            return Err(Fault::new(fault::core::INTERNAL).with([line!().into()]));
        }
        Ok(piece)
    }
}

/// An identifier as the reference tool writes it.
fn uuid(id: [u8; 16]) -> String {
    let mut text = String::new();
    for (place, byte) in id.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// What an extension begins with.
const MAGIC: u64 = 0xab23_4cef_23dc_ea87;
/// The end of the features.
const END: u64 = 0;
/// A dirty bitmap.
const BITMAP: u64 = 0x2038_5fae_252c_b34a;
/// Bytes of an extension. Ours: a fraction of a second.
const BYTES_MAX: u64 = 64 << 20;
