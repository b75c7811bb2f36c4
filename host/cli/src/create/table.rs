//! Which options each format takes. Order, defaults and texts are the reference tool's: scripts compare what `create` prints.

use instar_abi::Format;

use crate::release::Fact;

#[derive(Debug)]
pub(crate) struct OptionRow {
    /// Left of `=`.
    pub(crate) name: &'static str,
    /// What stands right of it.
    pub(crate) kind: OptionKind,
    /// One line for people.
    pub(crate) help: &'static str,
    /// What `create` prints where none was given.
    pub(crate) default: Option<&'static str>,
    /// What a release has that lists it; it is taken in any case.
    pub(super) since: Option<Fact>,
}

/// Types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OptionKind {
    Text,
    Bool,
    Size,
    Number,
}

impl OptionKind {
    /// As `-o help` names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Text => "str",
            Self::Bool => "bool (on/off)",
            Self::Size => "size",
            Self::Number => "num",
        }
    }
}

/// The options of a format.
pub(super) const fn rows(format: Format) -> &'static [OptionRow] {
    match format {
        Format::Raw => RAW,
        Format::Qcow2 => QCOW2,
        Format::Vmdk => VMDK,
        Format::Vpc => VPC,
        Format::Vhdx => VHDX,
        Format::Vdi => VDI,
        Format::Qed => QED,
        Format::Luks => LUKS,
        Format::Qcow => QCOW,
        Format::Parallels => PARALLELS,
        instar_abi::read_only_formats!() => &[],
    }
}

/// The options of a format and of the file below, in the order in which `create` prints them.
pub(super) fn all(format: &'static [OptionRow]) -> impl Iterator<Item = &'static OptionRow> + Clone {
    above(format, FILE)
}

/// The options of a format and of the device below.
pub(super) fn on_device(format: &'static [OptionRow]) -> impl Iterator<Item = &'static OptionRow> + Clone {
    above(format, DEVICE)
}

fn above(
    format: &'static [OptionRow],
    below: &'static [OptionRow],
) -> impl Iterator<Item = &'static OptionRow> + Clone {
    let below = below
        .iter()
        .filter(|row| !format.iter().any(|known| known.name == row.name));
    format.iter().chain(below)
}

use OptionKind::{Bool, Number, Size, Text};

/// The options of the file below, which every format passes on.
pub(crate) const FILE: &[OptionRow] = &[
    row("nocow", Bool, "Turn off copy-on-write (valid only on btrfs)"),
    row(
        "preallocation",
        Text,
        "Preallocation mode (allowed values: off, falloc, full)",
    ),
    row(
        "extent_size_hint",
        Size,
        "Extent size hint for the image file, 0 to disable",
    ),
];

/// The options of a device, which has its size and its blocks already.
pub(super) const DEVICE: &[OptionRow] = &[
    SIZE,
    row("preallocation", Text, "Preallocation mode (allowed values: off)"),
];

const SIZE: OptionRow = row("size", Size, "Virtual disk size");
const BACKING_FILE: OptionRow = row("backing_file", Text, "File name of a base image");

const RAW: &[OptionRow] = &[SIZE];

const QCOW2: &[OptionRow] = &[
    row(
        "encryption",
        Bool,
        "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)",
    ),
    row(
        "encrypt.format",
        Text,
        "Encrypt the image, format choices: 'aes', 'luks'",
    ),
    row(
        "encrypt.key-secret",
        Text,
        "ID of secret providing qcow AES key or LUKS passphrase",
    ),
    row("encrypt.cipher-alg", Text, "Name of encryption cipher algorithm"),
    row("encrypt.cipher-mode", Text, "Name of encryption cipher mode"),
    row("encrypt.ivgen-alg", Text, "Name of IV generator algorithm"),
    row(
        "encrypt.ivgen-hash-alg",
        Text,
        "Name of IV generator hash algorithm",
    ),
    row("encrypt.hash-alg", Text, "Name of encryption hash algorithm"),
    row(
        "encrypt.iter-time",
        Number,
        "Time to spend in PBKDF in milliseconds",
    ),
    with_default("cluster_size", Size, "qcow2 cluster size", "65536"),
    with_default("extended_l2", Bool, "Extended L2 tables", "off"),
    row(
        "preallocation",
        Text,
        "Preallocation mode (allowed values: off, metadata, falloc, full)",
    ),
    with_default(
        "compression_type",
        Text,
        "Compression method used for image cluster compression",
        "zlib",
    ),
    OptionRow {
        since: Some(Fact::KeepDataFile),
        ..row(
            "keep_data_file",
            Bool,
            "Assume the external data file already exists and do not overwrite it",
        )
    },
    SIZE,
    row("compat", Text, "Compatibility level (v2 [0.10] or v3 [1.1])"),
    BACKING_FILE,
    row("backing_fmt", Text, "Image format of the base image"),
    row("data_file", Text, "File name of an external data file"),
    row(
        "data_file_raw",
        Bool,
        "The external data file must stay valid as a raw image",
    ),
    with_default("lazy_refcounts", Bool, "Postpone refcount updates", "off"),
    with_default(
        "refcount_bits",
        Number,
        "Width of a reference count entry in bits",
        "16",
    ),
];

const VMDK: &[OptionRow] = &[
    SIZE,
    row(
        "adapter_type",
        Text,
        "Virtual adapter type, can be one of ide (default), lsilogic, buslogic or legacyESX",
    ),
    BACKING_FILE,
    row("backing_fmt", Text, "Must be 'vmdk' if present"),
    with_default("compat6", Bool, "VMDK version 6 image", "off"),
    with_default("hwversion", Text, "VMDK hardware version", "undefined"),
    row("toolsversion", Text, "VMware guest tools version"),
    row(
        "subformat",
        Text,
        "VMDK flat extent format, can be one of {monolithicSparse (default) | monolithicFlat | twoGbMaxExtentSparse | twoGbMaxExtentFlat | streamOptimized} ",
    ),
    row(
        "zeroed_grain",
        Bool,
        "Enable efficient zero writes using the zeroed-grain GTE feature",
    ),
];

const VPC: &[OptionRow] = &[
    SIZE,
    row(
        "subformat",
        Text,
        "Type of virtual hard disk format. Supported formats are {dynamic (default) | fixed} ",
    ),
    row(
        "force_size",
        Bool,
        "Force disk size calculation to use the actual size specified, rather than using the nearest CHS-based calculation",
    ),
];

const VHDX: &[OptionRow] = &[
    row("size", Size, "Virtual disk size; max of 64TB."),
    with_default("log_size", Size, "Log size; min 1MB.", "1048576"),
    with_default(
        "block_size",
        Size,
        "Block Size; min 1MB, max 256MB. 0 means auto-calculate based on image size.",
        "0",
    ),
    row(
        "subformat",
        Text,
        "VHDX format type, can be either 'dynamic' or 'fixed'. Default is 'dynamic'.",
    ),
    row(
        "block_state_zero",
        Bool,
        "Force use of payload blocks of type 'ZERO'. Non-standard, but default.  Do not set to 'off' when using 'qemu-img convert' with subformat=dynamic.",
    ),
];

const VDI: &[OptionRow] = &[
    SIZE,
    with_default("static", Bool, "VDI static (pre-allocated) image", "off"),
];

const QED: &[OptionRow] = &[
    SIZE,
    BACKING_FILE,
    row("backing_fmt", Text, "Image format of the base image"),
    with_default("cluster_size", Size, "Cluster size (in bytes)", "65536"),
    row("table_size", Size, "L1/L2 table size (in clusters)"),
];

const QCOW: &[OptionRow] = &[
    SIZE,
    BACKING_FILE,
    row("backing_fmt", Text, "Format of the backing image"),
    row(
        "encryption",
        Bool,
        "Encrypt the image with format 'aes'. (Deprecated in favor of encrypt.format=aes)",
    ),
    row("encrypt.format", Text, "Encrypt the image, format choices: 'aes'"),
    row(
        "encrypt.key-secret",
        Text,
        "ID of the secret that provides the AES encryption key",
    ),
];

const PARALLELS: &[OptionRow] = &[
    SIZE,
    with_default("cluster_size", Size, "Parallels image cluster size", "1048576"),
];

pub(super) const LUKS: &[OptionRow] = &[
    SIZE,
    row(
        "key-secret",
        Text,
        "ID of the secret that provides the keyslot passphrase",
    ),
    row("cipher-alg", Text, "Name of encryption cipher algorithm"),
    row("cipher-mode", Text, "Name of encryption cipher mode"),
    row("ivgen-alg", Text, "Name of IV generator algorithm"),
    row("ivgen-hash-alg", Text, "Name of IV generator hash algorithm"),
    row("hash-alg", Text, "Name of encryption hash algorithm"),
    row("iter-time", Number, "Time to spend in PBKDF in milliseconds"),
    OptionRow {
        since: Some(Fact::DetachedLuksHeader),
        ..row("detached-header", Bool, "Create a detached LUKS header")
    },
];

/// Of encryption, what a qcow2 image that exists can be asked for.
pub(super) const QCOW2_AMEND: &[OptionRow] = &[
    row(
        "encrypt.state",
        Text,
        "Select new state of affected keyslots (active/inactive)",
    ),
    row(
        "encrypt.keyslot",
        Number,
        "Select a single keyslot to modify explicitly",
    ),
    row(
        "encrypt.old-secret",
        Text,
        "Select all keyslots that match this password",
    ),
    row(
        "encrypt.new-secret",
        Text,
        "New secret to set in the matching keyslots. Empty string to erase",
    ),
    row(
        "encrypt.iter-time",
        Number,
        "Time to spend in PBKDF in milliseconds",
    ),
];

/// The same of a LUKS image.
pub(super) const LUKS_AMEND: &[OptionRow] = &[
    row(
        "state",
        Text,
        "Select new state of affected keyslots (active/inactive)",
    ),
    row("keyslot", Number, "Select a single keyslot to modify explicitly"),
    row("old-secret", Text, "Select all keyslots that match this password"),
    row(
        "new-secret",
        Text,
        "New secret to set in the matching keyslots. Empty string to erase",
    ),
    row("iter-time", Number, "Time to spend in PBKDF in milliseconds"),
];

const fn row(name: &'static str, kind: OptionKind, help: &'static str) -> OptionRow {
    OptionRow {
        name,
        kind,
        help,
        default: None,
        since: None,
    }
}

const fn with_default(
    name: &'static str,
    kind: OptionKind,
    help: &'static str,
    default: &'static str,
) -> OptionRow {
    OptionRow {
        name,
        kind,
        help,
        default: Some(default),
        since: None,
    }
}
