//! File names that the VMDK format prescribes, for opening the files of a new image.
//!
//! ```text
//!  subformat              files of disk.vmdk
//!  monolithicSparse       disk.vmdk
//!  streamOptimized        disk.vmdk
//!  monolithicFlat         disk.vmdk, disk-flat.vmdk
//!  twoGbMaxExtentSparse   disk.vmdk, disk-s001.vmdk, disk-s002.vmdk …
//!  twoGbMaxExtentFlat     disk.vmdk, disk-f001.vmdk, disk-f002.vmdk …
//! ```
//!
//! The first file is the one that the user named. The others stand beside it; their names are made of its base name,
//! cut at the last dot. An image without bytes has none.

use alloc::format;
use alloc::vec::Vec;

use crate::job::{VmdkAdapter, VmdkSubformat};

/// Virtual bytes of one extent of a split image. The format's.
pub const SPLIT_BYTES: u64 = 2 << 30;

/// Extents of one image at most: 64 TiB in pieces of 2 GiB, which is more than VMware's largest disk. Ours; each is an open
/// file of the process.
pub const EXTENTS_MAX: usize = 32 << 10;

/// A file beside the descriptor that holds part of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtentFile {
    /// Base name.
    pub name: Vec<u8>,
    /// Virtual bytes in it.
    pub size: u64,
}

/// How many extent files an image of `size` bytes (a multiple of 512) has.
#[must_use]
pub const fn extent_count(subformat: VmdkSubformat, size: u64) -> u64 {
    match subformat {
        VmdkSubformat::MonolithicSparse | VmdkSubformat::StreamOptimized => 0,
        VmdkSubformat::MonolithicFlat => {
            if size == 0 {
                0
            } else {
                1
            }
        }
        VmdkSubformat::TwoGbMaxExtentSparse | VmdkSubformat::TwoGbMaxExtentFlat => size.div_ceil(SPLIT_BYTES),
    }
}

/// The extent files of an image of `size` bytes (a multiple of 512) whose descriptor has the base name `file_name`, in
/// order.
pub fn extent_files(
    file_name: &[u8],
    subformat: VmdkSubformat,
    size: u64,
) -> impl Iterator<Item = ExtentFile> + '_ {
    let (stem, suffix) = split_name(file_name);
    (0..extent_count(subformat, size)).map(move |index| {
        let number = index.saturating_add(1);
        let (middle, length) = match subformat {
            VmdkSubformat::TwoGbMaxExtentSparse => (format!("-s{number:03}"), SPLIT_BYTES),
            VmdkSubformat::TwoGbMaxExtentFlat => (format!("-f{number:03}"), SPLIT_BYTES),
            _ => ("-flat".into(), size),
        };
        ExtentFile {
            name: [stem, middle.as_bytes(), suffix].concat(),
            size: size.saturating_sub(index.saturating_mul(SPLIT_BYTES)).min(length),
        }
    })
}

/// The name up to its last dot, and the rest.
fn split_name(name: &[u8]) -> (&[u8], &[u8]) {
    let dot = name.iter().rposition(|byte| *byte == b'.').unwrap_or(name.len());
    name.split_at(dot)
}

impl VmdkSubformat {
    /// All of them, in the order of qemu-img's help.
    pub const ALL: [Self; 5] = [
        Self::MonolithicSparse,
        Self::MonolithicFlat,
        Self::TwoGbMaxExtentSparse,
        Self::TwoGbMaxExtentFlat,
        Self::StreamOptimized,
    ];

    /// `createType` in the descriptor, and the value of the option.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::MonolithicSparse => "monolithicSparse",
            Self::MonolithicFlat => "monolithicFlat",
            Self::TwoGbMaxExtentSparse => "twoGbMaxExtentSparse",
            Self::TwoGbMaxExtentFlat => "twoGbMaxExtentFlat",
            Self::StreamOptimized => "streamOptimized",
        }
    }

    /// The subformat of that name; case counts.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name().as_bytes() == name)
    }

    /// Extents are plain runs of bytes: no backing file, no zeroed grains.
    #[must_use]
    pub const fn is_flat(self) -> bool {
        matches!(self, Self::MonolithicFlat | Self::TwoGbMaxExtentFlat)
    }
}

impl VmdkAdapter {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ide, Self::BusLogic, Self::LsiLogic, Self::LegacyEsx];

    /// `ddb.adapterType` in the descriptor, and the value of the option.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ide => "ide",
            Self::BusLogic => "buslogic",
            Self::LsiLogic => "lsilogic",
            Self::LegacyEsx => "legacyESX",
        }
    }

    /// The adapter of that name; case counts.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name().as_bytes() == name)
    }

    /// Heads of the geometry that goes with it.
    #[must_use]
    pub const fn heads(self) -> u64 {
        match self {
            Self::Ide => 16,
            Self::BusLogic | Self::LsiLogic | Self::LegacyEsx => 255,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(name: &str, subformat: VmdkSubformat, size: u64) -> Vec<(Vec<u8>, u64)> {
        extent_files(name.as_bytes(), subformat, size)
            .map(|file| (file.name, file.size))
            .collect()
    }

    #[test]
    fn split_images_have_one_file_for_each_two_gibibytes() {
        assert_eq!(
            files("d.vmdk", VmdkSubformat::TwoGbMaxExtentSparse, 5 << 30),
            [
                (b"d-s001.vmdk".to_vec(), 2 << 30),
                (b"d-s002.vmdk".to_vec(), 2 << 30),
                (b"d-s003.vmdk".to_vec(), 1 << 30)
            ]
        );
        assert_eq!(
            files("a.b.c", VmdkSubformat::TwoGbMaxExtentFlat, (2 << 30) + 512),
            [(b"a.b-f001.c".to_vec(), 2 << 30), (b"a.b-f002.c".to_vec(), 512)]
        );
        assert_eq!(extent_count(VmdkSubformat::TwoGbMaxExtentFlat, 2 << 30), 1);
    }

    #[test]
    fn a_flat_image_has_one_file_and_a_monolithic_one_none() {
        let flat = VmdkSubformat::MonolithicFlat;
        assert_eq!(files("noext", flat, 5 << 30), [(b"noext-flat".to_vec(), 5 << 30)]);
        assert_eq!(files("x.vmdk", flat, 0), []);
        assert_eq!(files("x.vmdk", VmdkSubformat::StreamOptimized, 1 << 40), []);
    }

    #[test]
    fn the_thousandth_file_has_a_wider_number() {
        let last = extent_files(b"d.vmdk", VmdkSubformat::TwoGbMaxExtentSparse, 2 << 40).last();
        assert_eq!(last.map(|file| file.name), Some(b"d-s1024.vmdk".to_vec()));
    }
}
