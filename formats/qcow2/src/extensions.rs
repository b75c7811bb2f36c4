//! The header extensions.

use core::ops::Range;

use instar_disk::fault::qcow2 as faults;
use instar_disk::report::{Failure, Stage};
use instar_disk::{Fault, ImageText, Result, from_usize};

use crate::basics::Basics;
use crate::pieces::Pieces;
use crate::raw::{RawBitmapsExtension, RawCryptoExtension, RawExtension, crypt, extension, limit};

/// What the extensions of an image say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// Format of the backing file.
    pub backing_format: Option<ImageText>,
    /// Name of the data file. It counts only with its incompatible feature bit.
    pub data_file: Option<ImageText>,
    /// The bitmaps, if they agree with the data.
    pub bitmaps: Option<BitmapDirectory>,
    /// Offset and length of the LUKS header.
    pub crypto_header: Option<(u64, u64)>,
}

/// Where the bitmaps are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitmapDirectory {
    /// File offset of the directory, aligned to clusters.
    pub offset: u64,
    /// Bytes of the directory, bounded.
    pub bytes: u64,
    /// Bitmaps in it, at least one.
    pub bitmaps: u32,
}

impl BitmapDirectory {
    /// As the header says it.
    pub(crate) fn raw(&self) -> RawBitmapsExtension {
        RawBitmapsExtension {
            nb_bitmaps: self.bitmaps.into(),
            reserved: 0.into(),
            bitmap_directory_size: self.bytes.into(),
            bitmap_directory_offset: self.offset.into(),
        }
    }
}

impl Extensions {
    /// Walks the extensions in `area` of the first cluster.
    pub(crate) fn parse(head: &mut Pieces<'_>, area: Range<u64>, basics: &Basics) -> Result<Self> {
        let mut all = Self::default();
        let mut walk = Walk(area);
        while let Some(found) = walk.next(head)? {
            match found.magic {
                extension::BACKING_FORMAT => {
                    if found.length > limit::BACKING_FORMAT {
                        let length = u64::from(found.length);
                        return Err(Fault::new(faults::BACKING_FORMAT_LENGTH).with([length]));
                    }
                    all.backing_format = head.text(found.offset, u64::from(found.length))?;
                }
                extension::DATA_FILE => all.data_file = head.text(found.offset, u64::from(found.length))?,
                extension::BITMAPS => {
                    if let Some(directory) = parse_bitmaps(head, &found, basics)? {
                        all.bitmaps = Some(directory);
                    }
                }
                extension::CRYPTO_HEADER => all.crypto_header = Some(parse_crypto(head, &found, basics)?),
                _ => {}
            }
        }
        Ok(all)
    }

    /// Where the content of the bitmaps' extension is, if there is one, and where what follows all extensions begins.
    pub(crate) fn place_of_bitmaps(head: &mut Pieces<'_>, area: Range<u64>) -> Result<(Option<u64>, u64)> {
        let mut place = None;
        let mut walk = Walk(area);
        while let Some(found) = walk.next(head)? {
            let whole = u64::from(found.length) == from_usize(size_of::<RawBitmapsExtension>());
            if found.magic == extension::BITMAPS && whole {
                place = Some(found.offset);
            }
        }
        Ok((place, walk.0.start))
    }

    /// Offset and length of the last feature name table before anything that is wrong.
    pub(crate) fn find_feature_table(head: &mut Pieces<'_>, area: Range<u64>) -> Option<(u64, u64)> {
        let mut table = None;
        let mut walk = Walk(area);
        while let Ok(Some(found)) = walk.next(head) {
            if found.magic == extension::FEATURE_TABLE {
                table = Some((found.offset, u64::from(found.length)));
            }
        }
        table
    }
}

struct Found {
    pub(crate) magic: u32,
    length: u32,
    /// Of its bytes.
    offset: u64,
}

/// What is left of the area. Each step takes at least 8 bytes of at most 2 MiB.
struct Walk(Range<u64>);

impl Walk {
    fn next(&mut self, head: &mut Pieces<'_>) -> Result<Option<Found>> {
        let Range { start, end } = self.0;
        if start >= end {
            return Ok(None);
        }
        let raw: RawExtension = head.value(start)?;
        let offset = start.saturating_add(from_usize(size_of::<RawExtension>()));
        let length = u64::from(raw.length.get());
        if offset.checked_add(length).is_none_or(|last| last > end) {
            return Err(Fault::new(faults::EXTENSION_LARGE).with([start, length]));
        }
        if raw.magic.get() == extension::END {
            return Ok(None);
        }
        self.0.start = instar_disk::align_up(length, 8)?.saturating_add(offset);
        Ok(Some(Found {
            magic: raw.magic.get(),
            length: raw.length.get(),
            offset,
        }))
    }
}

fn parse_bitmaps(head: &mut Pieces<'_>, found: &Found, basics: &Basics) -> Result<Option<BitmapDirectory>> {
    if u64::from(found.length) != from_usize(size_of::<RawBitmapsExtension>()) {
        return Err(Fault::new(faults::BITMAPS_LENGTH).with([u64::from(found.length)]));
    }
    if !basics.features.bitmaps() {
        let slot = head.file().slot();
        head.file()
            .host()
            .report(&instar_disk::report::Report::Warning(Failure {
                stage: Stage::Other,
                fault: Fault::new(faults::BITMAPS_STALE).in_file(slot),
            }));
        return Ok(None);
    }
    let raw: RawBitmapsExtension = head.value(found.offset)?;
    let (offset, bytes) = (raw.bitmap_directory_offset.get(), raw.bitmap_directory_size.get());
    let bitmaps = raw.nb_bitmaps.get();
    if raw.reserved.get() != 0 {
        return Err(Fault::new(faults::BITMAPS_RESERVED));
    }
    if bitmaps > limit::BITMAPS {
        let numbers = [u64::from(bitmaps), u64::from(limit::BITMAPS)];
        return Err(Fault::new(faults::BITMAPS_MANY).with(numbers));
    }
    if bitmaps == 0 {
        return Err(Fault::new(faults::BITMAPS_NONE));
    }
    if offset & (1_u64 << basics.cluster_bits).saturating_sub(1) != 0 {
        return Err(Fault::new(faults::BITMAPS_OFFSET).with([offset]));
    }
    if bytes > limit::BITMAP_DIRECTORY_BYTES {
        let numbers = [bytes, limit::BITMAP_DIRECTORY_BYTES];
        return Err(Fault::new(faults::BITMAPS_SIZE).with(numbers));
    }
    Ok(Some(BitmapDirectory {
        offset,
        bytes,
        bitmaps,
    }))
}

fn parse_crypto(head: &mut Pieces<'_>, found: &Found, basics: &Basics) -> Result<(u64, u64)> {
    if basics.encryption != crypt::LUKS {
        return Err(Fault::new(faults::CRYPTO_UNEXPECTED));
    }
    if u64::from(found.length) != from_usize(size_of::<RawCryptoExtension>()) {
        return Err(Fault::new(faults::CRYPTO_LENGTH).with([u64::from(found.length)]));
    }
    let raw: RawCryptoExtension = head.value(found.offset)?;
    let cluster_size = 1_u64 << basics.cluster_bits;
    let offset = raw.offset.get();
    if offset & cluster_size.saturating_sub(1) != 0 {
        return Err(Fault::new(faults::CRYPTO_OFFSET).with([offset, cluster_size]));
    }
    Ok((offset, raw.length.get()))
}
