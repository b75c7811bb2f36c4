//! Files as the guest sees them: numbered slots with a size and a kind.

use serde::{Deserialize, Serialize};

/// An open file, by number. The host alone knows what stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Slot(pub u32);

/// What the guest is told of an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// The slot.
    pub slot: Slot,
    /// Length in bytes: a file's size or a device's capacity.
    pub size: u64,
    /// Regular file, block device or stream.
    pub kind: FileKind,
    /// Whether Write, Zero, Discard and Resize are allowed on it.
    pub writable: bool,
    /// Another process may be writing to it: only a raw layer is read all the same.
    pub busy: bool,
    /// Its name ends in `.dmg`, which is all by which the reference tool recognises that format.
    pub called_dmg: bool,
}

/// What kind of file stands behind a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileKind {
    /// A regular file that existed before: its content is unknown.
    Regular,
    /// A regular file that this run created: every byte reads as zero until written.
    Fresh,
    /// A block device: fixed size, content unknown.
    Block,
    /// A connected socket or a pipe: bytes come and go in order, and none has an offset. Receive and Send alone are for it.
    Stream,
}

/// Disk formats that instar knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Format {
    /// No format: the file is the disk.
    Raw,
    /// QEMU copy-on-write, version 2 and 3.
    Qcow2,
    /// VMware virtual disk.
    Vmdk,
    /// Microsoft Virtual PC disk (VHD).
    Vpc,
    /// Hyper-V disk, version 2 (VHDX).
    Vhdx,
    /// VirtualBox disk.
    Vdi,
    /// QEMU enhanced disk.
    Qed,
    /// QEMU copy-on-write, version 1.
    Qcow,
    /// Parallels disk.
    Parallels,
    /// Growing disk of the emulator Bochs.
    Bochs,
    /// Compressed loop device, version 2.
    Cloop,
    /// Apple disk image (UDIF).
    Dmg,
    /// Linux Unified Key Setup: an encrypted disk.
    Luks,
    /// Sparse image of Apple.
    Asif,
    /// A disk in seekable frames of zstd.
    Zst,
    /// A virtual machine packed by OVF, of which one disk is read.
    Ova,
}

impl Format {
    /// Every format, in the order in which help lists them.
    pub const ALL: [Self; 16] = [
        Self::Asif,
        Self::Bochs,
        Self::Cloop,
        Self::Dmg,
        Self::Luks,
        Self::Ova,
        Self::Parallels,
        Self::Qcow,
        Self::Qcow2,
        Self::Qed,
        Self::Raw,
        Self::Vdi,
        Self::Vhdx,
        Self::Vmdk,
        Self::Vpc,
        Self::Zst,
    ];

    /// The name that qemu-img uses for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Qcow2 => "qcow2",
            Self::Vmdk => "vmdk",
            Self::Vpc => "vpc",
            Self::Vhdx => "vhdx",
            Self::Vdi => "vdi",
            Self::Qed => "qed",
            Self::Qcow => "qcow",
            Self::Parallels => "parallels",
            Self::Bochs => "bochs",
            Self::Cloop => "cloop",
            Self::Dmg => "dmg",
            Self::Luks => "luks",
            Self::Asif => "asif",
            Self::Zst => "zst",
            Self::Ova => "ova",
        }
    }

    /// Whether images of it are read only, and never made or changed.
    #[must_use]
    pub const fn is_read_only(self) -> bool {
        matches!(self, crate::read_only_formats!())
    }

    /// The format of that name, if instar knows it.
    #[must_use]
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|format| format.name().as_bytes() == name)
    }
}

/// The formats that are read and never written: one arm of a `match`.
#[macro_export]
macro_rules! read_only_formats {
    () => {
        $crate::Format::Asif
            | $crate::Format::Bochs
            | $crate::Format::Cloop
            | $crate::Format::Dmg
            | $crate::Format::Ova
            | $crate::Format::Zst
    };
}

/// Why an image names another file. The host's gate decides by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// The layer below in a chain of overlays.
    Backing,
    /// The file that holds a qcow2 image's clusters.
    DataFile,
    /// A piece of a split VMDK.
    Extent,
    /// The parent of a differencing VHD, VHDX or VMDK.
    Parent,
}

impl Role {
    /// The number that stands for the role in a request.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Backing => 0,
            Self::DataFile => 1,
            Self::Extent => 2,
            Self::Parent => 3,
        }
    }

    /// The role of that number.
    #[must_use]
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Backing),
            1 => Some(Self::DataFile),
            2 => Some(Self::Extent),
            3 => Some(Self::Parent),
            _ => None,
        }
    }
}
