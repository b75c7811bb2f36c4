//! Making a new image.
//!
//! ```text
//!  as data comes     │header│L1│(LUKS)│ data … │L2 …│ data … │L2 …│refcount blocks│refcount table│
//!  preallocated      │header│L1│(LUKS)│L2 of the whole disk│ data of the whole disk │refcount blocks│refcount table│
//! ```
//!
//! Data stays contiguous over gigabytes because L2 tables go to the file many at a time ([`super::batch`]) and
//! refcounts at the end ([`super::refcount`]). Until `finish` has written everything else the first sector marks the image as
//! incomplete.

use alloc::boxed::Box;

use instar_disk::job::{NewEncryption, Preallocation, Qcow2Create};
use instar_disk::{Codec, Fault, File, FileKind, Preallocate, Result, Target, ZeroHow, fault, job};

use zerocopy::FromZeros;

use super::batch::{Batch, Fixed};
use super::compose::{self, Mark};
use super::refcount::{Refcounts, Table};
use super::target::{New, Where};
use crate::bitmaps::carried::Carried;
use crate::layout::Layout;
use crate::luks::Seal;
use crate::num::{add, shl, shr_up};
use crate::raw::RawCryptoExtension;
use crate::space::Space;

/// Makes an image of `size` bytes, rounded up to 512. `data_file` is the file behind `options.data_file`, if that is given;
/// `compress`: units are to be compressed.
///
/// # Errors
/// Options that do not go together and sizes beyond the format, in the words of the reference; the host's.
pub fn create<'h>(
    file: File<'h>,
    options: &Qcow2Create,
    size: u64,
    data_file: Option<File<'h>>,
    compress: bool,
) -> Result<Box<dyn Target + 'h>> {
    create_with(file, options, size, data_file, None, compress)
}

/// The same, with what `options.encryption` asks for.
///
/// # Errors
/// As [`create()`].
pub fn create_with<'h>(
    file: File<'h>,
    options: &Qcow2Create,
    size: u64,
    data_file: Option<File<'h>>,
    seal: Option<&Seal<'_>>,
    compress: bool,
) -> Result<Box<dyn Target + 'h>> {
    check(options, data_file.is_some(), seal, compress)?;
    let layout = Layout::new(options, size)?;
    check_header(options, &layout)?;
    let data = data_file
        .map(|data| prepare_data_file(data, options, &layout))
        .transpose()?;
    let (file, mark) = prepare_file(file, options, &layout)?;

    let fresh = file.kind() == FileKind::Fresh;
    let l1_offset = layout.cluster();
    let mut space = Space::new(layout.cluster_bits(), add(1, layout.l1_clusters())?);
    if !fresh {
        let length = shl(layout.l1_clusters(), layout.cluster_bits())?;
        file.zero(l1_offset, length, ZeroHow::Keep)?;
    }
    let luks = seal
        .map(|seal| place_luks(&file, seal, &layout, &mut space))
        .transpose()?;
    let place = match (options.preallocation, options.data_file_raw, data) {
        (Preallocation::Off, false, None) => Where::Appended,
        (Preallocation::Off, false, Some(data)) => Where::DataFile(data),
        (_, _, data) => Where::Fixed(preallocate(file, options, &layout, data, &mut space)?, data),
    };
    let fixed = match place {
        Where::Fixed(fixed, _) => Some(fixed),
        _ => None,
    };
    let codec = match options.compression {
        job::Compression::Zlib => Codec::Deflate,
        job::Compression::Zstd => Codec::Zstd,
    };
    let tables = Batch::new(layout, l1_offset, fixed, fresh);
    Ok(Box::new(New {
        file,
        options: options.clone(),
        layout,
        place,
        codec: compress.then_some(codec),
        mark,
        luks: luks.flatten(),
        sealing: seal.map(Seal::sealing),
        space,
        tables: match seal {
            Some(_) if options.version >= 3 && !options.extended_l2 => tables.zeroed(),
            _ => tables,
        },
        refcounts: Refcounts::new(layout),
        tail: None,
        bitmaps: Carried::default(),
        position: 0,
    }))
}

/// Gives the LUKS header its place and writes it there; nothing leads to it yet.
fn place_luks(
    file: &File<'_>,
    seal: &Seal<'_>,
    layout: &Layout,
    space: &mut Space,
) -> Result<Option<RawCryptoExtension>> {
    let bytes = seal.header_bytes();
    if bytes == 0 {
        return Ok(None);
    }
    let clusters = shr_up(bytes, layout.cluster_bits());
    let offset = space.take(clusters)?;
    if file.kind() != FileKind::Fresh {
        file.zero(offset, shl(clusters, layout.cluster_bits())?, ZeroHow::Keep)?;
    }
    seal.write_header(file, offset)?;
    Ok(Some(RawCryptoExtension {
        offset: offset.into(),
        length: bytes.into(),
    }))
}

pub(crate) fn check(
    options: &Qcow2Create,
    data_file: bool,
    seal: Option<&Seal<'_>>,
    compress: bool,
) -> Result<()> {
    use fault::qcow2_write as faults;
    let v2 = options.version < 3;
    let preallocated = options.preallocation != Preallocation::Off;
    let backing = options.backing_file.is_some();
    let wrong = if !(2..=3).contains(&options.version) {
        return Err(Fault::new(faults::VERSION).with([u64::from(options.version)]));
    } else if v2 && options.extended_l2 {
        faults::EXTENDED_VERSION
    } else if v2 && options.lazy_refcounts {
        faults::LAZY_VERSION
    } else if v2 && options.refcount_order != 4 {
        faults::WIDTH_VERSION
    } else if v2 && options.compression != job::Compression::Zlib {
        faults::COMPRESSION_VERSION
    } else if v2 && options.data_file.is_some() {
        faults::DATA_FILE_VERSION
    } else if options.data_file_raw && options.data_file.is_none() {
        faults::RAW_WITHOUT_DATA_FILE
    } else if options.data_file_raw && backing {
        faults::RAW_WITH_BACKING
    } else if preallocated && backing && !options.extended_l2 {
        faults::PREALLOCATION_WITH_BACKING
    } else if preallocated && compress {
        faults::PREALLOCATION_COMPRESSED
    } else if compress && (data_file || seal.is_some()) {
        fault::core::NO_COMPRESSION
    } else if data_file != options.data_file.is_some() || seal.is_some() != options.encryption.is_some() {
        return Err(crate::num::internal(line!()));
    } else {
        return Ok(());
    };
    Err(Fault::new(wrong))
}

/// Finds out that the names do not fit before any file is touched.
pub(crate) fn check_header(options: &Qcow2Create, layout: &Layout) -> Result<()> {
    let refcounts = Table {
        offset: 0,
        clusters: 1,
    };
    let luks =
        matches!(options.encryption, Some(NewEncryption::Luks(_))).then(RawCryptoExtension::new_zeroed);
    compose::header(
        options,
        layout,
        compose::Tables {
            l1_offset: 0,
            refcounts,
            bitmaps: None,
            luks,
        },
    )
    .map(|_| ())
}

/// The data file, empty and as long as the disk; or as it is, if it is kept, but no shorter than the disk.
pub(crate) fn prepare_data_file<'h>(
    data: File<'h>,
    options: &Qcow2Create,
    layout: &Layout,
) -> Result<File<'h>> {
    if data.kind() == FileKind::Block {
        if data.size() < layout.size() {
            return Err(Fault::new(fault::core::TARGET_TOO_SMALL).in_file(data.slot()));
        }
        return Ok(data);
    }
    if options.keeps_data {
        if data.size() < layout.size() {
            data.resize(layout.size(), Preallocate::Off)?;
        }
        return Ok(data);
    }
    if data.kind() == FileKind::Regular {
        data.resize(0, Preallocate::Off)?;
    }
    data.extend_from_nothing(layout.size(), reservation(options.preallocation))?;
    Ok(data.emptied())
}

/// The file, empty but for the mark of an incomplete image.
pub(crate) fn prepare_file<'h>(
    file: File<'h>,
    options: &Qcow2Create,
    layout: &Layout,
) -> Result<(File<'h>, Mark)> {
    let mark = match file.kind() {
        FileKind::Fresh => Mark::Fresh,
        FileKind::Regular | FileKind::Block | FileKind::Stream => Mark::InPlace,
    };
    match file.kind() {
        FileKind::Fresh => {}
        FileKind::Regular => file.resize(0, Preallocate::Off)?,
        FileKind::Block | FileKind::Stream => file.zero(0, layout.cluster(), ZeroHow::Keep)?,
    }
    file.write(0, &compose::incomplete(options, layout)?)?;
    if mark == Mark::InPlace {
        file.flush()?;
    }
    Ok((file.emptied(), mark))
}

/// Gives everything its place; what is in it already reads as zero.
fn preallocate(
    file: File<'_>,
    options: &Qcow2Create,
    layout: &Layout,
    data: Option<File<'_>>,
    space: &mut Space,
) -> Result<Fixed> {
    let tables = space.take(layout.l1_entries())?;
    if let Some(data) = data {
        if data.kind() == FileKind::Block && !options.keeps_data {
            data.zero(0, layout.size(), ZeroHow::Keep)?;
        }
        return Ok(Fixed { tables, data: 0 });
    }
    let bytes = shl(layout.clusters(), layout.cluster_bits())?;
    let data = space.take(layout.clusters())?;
    // Refused now, not after all has been written.
    Refcounts::new(*layout).check(space.clusters())?;
    if file.kind() == FileKind::Block {
        file.zero(data, bytes, ZeroHow::Keep)?;
    } else {
        file.resize(space.end()?, reservation(options.preallocation))?;
    }
    Ok(Fixed { tables, data })
}

const fn reservation(preallocation: Preallocation) -> Preallocate {
    match preallocation {
        Preallocation::Off | Preallocation::Metadata => Preallocate::Off,
        Preallocation::Falloc => Preallocate::Falloc,
        Preallocation::Full => Preallocate::Full,
    }
}
