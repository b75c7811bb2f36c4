//! VMDK: what its options mean, and the names of its extent files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use instar_abi::job::{VmdkAdapter, VmdkCreate, VmdkSubformat};
use instar_abi::vmdk::extent_files;
use instar_abi::{ImageText, Slot};

use super::{Companion, Settings, Surroundings};

pub(super) fn create(settings: &Settings, around: &mut Surroundings<'_>) -> Result<VmdkCreate, Vec<u8>> {
    if settings
        .text("backing_fmt")
        .is_some_and(|format| format != b"vmdk")
    {
        return Err(b"backing_file must be a vmdk image".to_vec());
    }
    let adapter = match settings.text("adapter_type") {
        None => VmdkAdapter::Ide,
        Some(name) => VmdkAdapter::from_name(name).ok_or_else(|| invalid(name))?,
    };
    let subformat = match settings.text("subformat") {
        None => VmdkSubformat::MonolithicSparse,
        Some(name) => VmdkSubformat::from_name(name).ok_or_else(|| invalid(name))?,
    };
    let compat6 = settings.flag("compat6").unwrap_or(false);
    let hw_version = settings.text("hwversion");
    if compat6 && hw_version.is_some_and(|version| version != b"undefined") {
        return Err(b"compat6 cannot be enabled with hwversion set".to_vec());
    }
    let hw_version = match hw_version {
        Some(version) if version != b"undefined" => version,
        _ if compat6 => b"6",
        _ => b"",
    };
    let backing_file = settings.text("backing_file").map(ImageText::new);
    let zeroed_grain = settings.flag("zeroed_grain").unwrap_or(false);
    let flat = subformat.is_flat();
    if flat && backing_file.is_some() {
        return Err(b"Flat image can't have backing file".to_vec());
    }
    if flat && zeroed_grain {
        return Err(b"Flat image can't enable zeroed grain".to_vec());
    }
    settings.protocol_preallocation()?;
    let base = Path::new(around.name).file_name().unwrap_or(around.name);
    let extents = extents(base.as_bytes(), subformat, around)?;
    Ok(VmdkCreate {
        subformat,
        adapter,
        hw_version: ImageText::new(hw_version),
        tools_version: ImageText::new(settings.text("toolsversion").unwrap_or_default()),
        zeroed_grain,
        backing_file,
        file_name: ImageText::new(base.as_bytes()),
        extents,
    })
}

fn invalid(value: &[u8]) -> Vec<u8> {
    [b"invalid parameter value: ".as_slice(), value].concat()
}

/// Opens the extent files, for which the size of the disk has to be known.
fn extents(
    file_name: &[u8],
    subformat: VmdkSubformat,
    around: &mut Surroundings<'_>,
) -> Result<Vec<Slot>, Vec<u8>> {
    if !needs_size(subformat) {
        return Ok(Vec::new());
    }
    let size = (around.size)()?.checked_next_multiple_of(512).unwrap_or(0);
    extent_files(file_name, subformat, size)
        .map(|file| (around.companion)(OsStr::from_bytes(&file.name), Companion::New))
        .collect()
}

/// Whether the number of files depends on the size of the disk.
const fn needs_size(subformat: VmdkSubformat) -> bool {
    matches!(
        subformat,
        VmdkSubformat::MonolithicFlat
            | VmdkSubformat::TwoGbMaxExtentSparse
            | VmdkSubformat::TwoGbMaxExtentFlat
    )
}
