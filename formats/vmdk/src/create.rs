//! Making a new image.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use instar_disk::job::{Seed, VmdkCreate, VmdkSubformat};
use instar_disk::vmdk::{ExtentFile, extent_count, extent_files};
use instar_disk::{Fault, File, Identifiers, Result, Target, align_up, fault, from_usize};

use crate::descriptor::NO_PARENT;
use crate::flat::{Flat, Split};
use crate::layout::{DESCRIPTOR_BYTES, DISK_MAX};
use crate::raw::SECTOR;
use crate::stream::Stream;
use crate::target::{Ending, Sparse};

/// `ddb.virtualHWVersion` when the user names none; qemu-img's.
const HW_VERSION: &[u8] = b"4";
/// `ddb.toolsVersion` when the user names none; qemu-img's.
const TOOLS_VERSION: &[u8] = b"2147483647";
/// Sectors in a track of every geometry.
const TRACK: u64 = 63;

/// Makes an image of `size` bytes, rounded up to 512.
///
/// `file` is the file that the user named. `extents` are the files beside it, opened under the names of
/// [`instar_disk::vmdk::extent_files`] in that order; none for the subformats that are one file. `parent_cid` is the
/// [`instar_disk::Image::content_id`] of the opened `backing_file`.
///
/// An image without bytes can be made but, as with qemu-img, not be opened again: see [`fillable`].
///
/// # Errors
/// Options that exclude each other or cannot be written down; the host's.
pub fn create<'h>(
    file: File<'h>,
    extents: &[File<'h>],
    options: &VmdkCreate,
    size: u64,
    parent_cid: Option<u32>,
    seed: &Seed,
) -> Result<Box<dyn Target + 'h>> {
    let size = align_up(size, SECTOR)?;
    check(extents, options, size)?;
    let descriptor = descriptor(options, size, parent_cid, seed)?;
    Ok(match options.subformat {
        VmdkSubformat::MonolithicSparse => {
            let ending = Ending::Embedded(descriptor);
            Box::new(Sparse::new(&[file], size, size, options.zeroed_grain, ending)?)
        }
        VmdkSubformat::TwoGbMaxExtentSparse => {
            let ending = Ending::Separate(file, descriptor);
            let part = instar_disk::vmdk::SPLIT_BYTES;
            Box::new(Sparse::new(extents, part, size, options.zeroed_grain, ending)?)
        }
        VmdkSubformat::StreamOptimized => {
            Box::new(Stream::new(file, size, options.zeroed_grain, descriptor)?)
        }
        VmdkSubformat::MonolithicFlat => {
            let extent = extents.first().copied().unwrap_or(file);
            Box::new(Flat::new(file, extent, size, descriptor)?)
        }
        VmdkSubformat::TwoGbMaxExtentFlat => Box::new(Split::new(file, extents, size, descriptor)?),
    })
}

/// Whether a new image of `size` bytes can be opened to be filled.
///
/// # Errors
/// `EMPTY`: no reader accepts an image without bytes; qemu-img makes it, fails to open it, and exits 1.
pub fn fillable(options: &VmdkCreate, size: u64) -> Result<()> {
    if size == 0 {
        return Err(Fault::new(fault::vmdk::EMPTY).named(options.subformat.name().as_bytes()));
    }
    Ok(())
}

fn check(extents: &[File<'_>], options: &VmdkCreate, size: u64) -> Result<()> {
    let subformat = options.subformat;
    if subformat.is_flat() && options.backing_file.is_some() {
        return Err(Fault::new(fault::vmdk::FLAT_BACKING));
    }
    if subformat.is_flat() && options.zeroed_grain {
        return Err(Fault::new(fault::vmdk::FLAT_ZEROED));
    }
    if size > DISK_MAX {
        return Err(Fault::new(fault::core::TARGET_TOO_LARGE).with([size, DISK_MAX]));
    }
    let (given, needed) = (from_usize(extents.len()), extent_count(subformat, size));
    if given != needed {
        return Err(Fault::new(fault::vmdk::EXTENT_FILES).with([given, needed]));
    }
    let limit = from_usize(crate::descriptor::EXTENTS_MAX);
    if needed > limit {
        return Err(Fault::new(fault::vmdk::EXTENT_COUNT).with([needed, limit]));
    }
    let parent = options.backing_file.as_ref();
    for text in [&options.hw_version, &options.tools_version, &options.file_name]
        .into_iter()
        .chain(parent)
    {
        if text
            .as_bytes()
            .iter()
            .any(|byte| *byte == b'"' || byte.is_ascii_control())
        {
            return Err(Fault::new(fault::vmdk::TEXT).named(text.as_bytes()));
        }
    }
    Ok(())
}

/// The descriptor as qemu-img writes it.
fn descriptor(options: &VmdkCreate, size: u64, parent_cid: Option<u32>, seed: &Seed) -> Result<Vec<u8>> {
    let subformat = options.subformat;
    let parent_cid = match (&options.backing_file, parent_cid) {
        (None, _) => NO_PARENT,
        (Some(_), Some(cid)) => cid,
        (Some(_), None) => return Err(Fault::new(fault::vmdk::NO_PARENT_CID)),
    };
    let mut text = Vec::new();
    let cid = content_id(seed);
    text.extend_from_slice(
        format!(
            "# Disk DescriptorFile\nversion=1\nCID={cid:x}\nparentCID={parent_cid:x}\ncreateType=\"{}\"\n",
            subformat.name()
        )
        .as_bytes(),
    );
    if let Some(name) = &options.backing_file {
        push(&mut text, &[b"parentFileNameHint=\"", name.as_bytes(), b"\""]);
    }
    text.extend_from_slice(b"\n# Extent description\n");
    let name = options.file_name.as_bytes();
    if is_one_file(subformat) {
        extent_line(&mut text, subformat, size, name);
    }
    for ExtentFile { name, size } in extent_files(name, subformat, size) {
        extent_line(&mut text, subformat, size, &name);
    }
    database(&mut text, options, size);
    if is_one_file(subformat) && from_usize(text.len()) > DESCRIPTOR_BYTES {
        let numbers = [from_usize(text.len()), DESCRIPTOR_BYTES];
        return Err(Fault::new(fault::vmdk::DESCRIPTOR_SIZE).with(numbers));
    }
    Ok(text)
}

/// The descriptor is inside the only extent.
const fn is_one_file(subformat: VmdkSubformat) -> bool {
    matches!(
        subformat,
        VmdkSubformat::MonolithicSparse | VmdkSubformat::StreamOptimized
    )
}

fn extent_line(text: &mut Vec<u8>, subformat: VmdkSubformat, size: u64, name: &[u8]) {
    let (word, end) = if subformat.is_flat() {
        ("FLAT", "\" 0\n")
    } else {
        ("SPARSE", "\"\n")
    };
    let start = format!("RW {} {word} \"", size / SECTOR);
    push(text, &[start.as_bytes(), name, end.as_bytes()]);
}

/// The last part: versions and geometry.
fn database(text: &mut Vec<u8>, options: &VmdkCreate, size: u64) {
    let or = |text: &instar_disk::ImageText, default: &[u8]| match text.as_bytes() {
        b"" => default.to_vec(),
        text => text.to_vec(),
    };
    let heads = options.adapter.heads();
    let cylinders = size
        .checked_div(heads.saturating_mul(TRACK * SECTOR))
        .unwrap_or_default();
    let mut geometry = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        geometry,
        "\"\nddb.geometry.cylinders = \"{cylinders}\"\nddb.geometry.heads = \"{heads}\"\nddb.geometry.sectors = \
         \"{TRACK}\"\nddb.adapterType = \"{}\"\nddb.toolsVersion = \"",
        options.adapter.name()
    );
    push(
        text,
        &[
            b"\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"",
            &or(&options.hw_version, HW_VERSION),
            geometry.as_bytes(),
            &or(&options.tools_version, TOOLS_VERSION),
            b"\"\n",
        ],
    );
}

fn push(text: &mut Vec<u8>, parts: &[&[u8]]) {
    for part in parts {
        text.extend_from_slice(part);
    }
}

/// Any number but the one that means "no parent".
fn content_id(seed: &Seed) -> u32 {
    let low = Identifiers::new(seed, b"vmdk").next_u64() & u64::from(u32::MAX);
    u32::try_from(low).unwrap_or_default().min(NO_PARENT - 1)
}
