//! Which options each format takes.

use instar_abi::Format;

/// One option.
#[derive(Debug)]
pub(super) struct OptionRow {
    /// Left of `=`.
    pub(super) name: &'static str,
    /// What stands right of it.
    pub(super) kind: OptionKind,
    /// One line for people.
    pub(super) help: &'static str,
}

/// Types of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OptionKind {
    Text,
    Bool,
    Size,
    Number,
}

impl OptionKind {
    /// As `-o help` names it.
    pub(super) const fn name(self) -> &'static str {
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
    }
}

/// The options of the file below, which every format passes on.
pub(super) const FILE: &[OptionRow] = &[
    row(
        "extent_size_hint",
        OptionKind::Size,
        "space the filesystem sets aside at a time, where it can",
    ),
    row("nocow", OptionKind::Bool, "no copy-on-write for the file (btrfs)"),
    row(
        "preallocation",
        OptionKind::Text,
        "space reserved at once: off, falloc, full",
    ),
];

const SIZE: OptionRow = row("size", OptionKind::Size, "virtual size");

const RAW: &[OptionRow] = &[SIZE];

const QCOW2: &[OptionRow] = &[
    row("backing_file", OptionKind::Text, "the layer below"),
    row("backing_fmt", OptionKind::Text, "format of the layer below"),
    row(
        "cluster_size",
        OptionKind::Size,
        "unit of allocation, 512 to 2M (default 64k)",
    ),
    row(
        "compat",
        OptionKind::Text,
        "version: 0.10 or v2, 1.1 or v3 (default)",
    ),
    row(
        "compression_type",
        OptionKind::Text,
        "zlib (default), or zstd: faster and denser",
    ),
    row(
        "data_file",
        OptionKind::Text,
        "keep the data in this file of its own",
    ),
    row(
        "data_file_raw",
        OptionKind::Bool,
        "keep that file a valid raw image",
    ),
    row(
        "encrypt.cipher-alg",
        OptionKind::Text,
        "encryption is not written yet",
    ),
    row(
        "encrypt.cipher-mode",
        OptionKind::Text,
        "encryption is not written yet",
    ),
    row(
        "encrypt.format",
        OptionKind::Text,
        "encryption is not written yet",
    ),
    row(
        "encrypt.hash-alg",
        OptionKind::Text,
        "encryption is not written yet",
    ),
    row(
        "encrypt.iter-time",
        OptionKind::Number,
        "encryption is not written yet",
    ),
    row(
        "encrypt.ivgen-alg",
        OptionKind::Text,
        "encryption is not written yet",
    ),
    row(
        "encrypt.ivgen-hash-alg",
        OptionKind::Text,
        "encryption is not written yet",
    ),
    row(
        "encrypt.key-secret",
        OptionKind::Text,
        "encryption is not written yet",
    ),
    row("encryption", OptionKind::Bool, "encryption is not written yet"),
    row("extended_l2", OptionKind::Bool, "32 subclusters in each cluster"),
    row(
        "lazy_refcounts",
        OptionKind::Bool,
        "write reference counts late; repaired after a crash",
    ),
    row(
        "preallocation",
        OptionKind::Text,
        "space reserved at once: off, metadata, falloc, full",
    ),
    row(
        "refcount_bits",
        OptionKind::Number,
        "width of a reference count: 1, 2, 4 ... 64 (default 16)",
    ),
    SIZE,
];

const VMDK: &[OptionRow] = &[
    row(
        "adapter_type",
        OptionKind::Text,
        "ide (default), lsilogic, buslogic or legacyESX",
    ),
    row("backing_file", OptionKind::Text, "the parent"),
    row("backing_fmt", OptionKind::Text, "its format: vmdk"),
    row("compat6", OptionKind::Bool, "for VMware 6: hardware version 6"),
    row(
        "hwversion",
        OptionKind::Text,
        "virtual hardware version (default 4)",
    ),
    SIZE,
    row(
        "subformat",
        OptionKind::Text,
        "monolithicSparse (default), monolithicFlat, twoGbMaxExtentSparse, twoGbMaxExtentFlat or streamOptimized",
    ),
    row(
        "toolsversion",
        OptionKind::Text,
        "version of the guest tools to claim",
    ),
    row(
        "zeroed_grain",
        OptionKind::Bool,
        "mark zero grains instead of writing them",
    ),
];

const VPC: &[OptionRow] = &[
    row(
        "force_size",
        OptionKind::Bool,
        "keep the exact size instead of rounding to a disk geometry",
    ),
    SIZE,
    row("subformat", OptionKind::Text, "dynamic (default) or fixed"),
];

const VHDX: &[OptionRow] = &[
    row(
        "block_size",
        OptionKind::Size,
        "1M to 256M; 0 (default) chooses by size",
    ),
    row(
        "block_state_zero",
        OptionKind::Bool,
        "mark blocks that are zero (default on)",
    ),
    row("log_size", OptionKind::Size, "size of the log, at least 1M"),
    row("size", OptionKind::Size, "virtual size, at most 64T"),
    row("subformat", OptionKind::Text, "dynamic (default) or fixed"),
];

const VDI: &[OptionRow] = &[
    SIZE,
    row("static", OptionKind::Bool, "allocate every block at once"),
];

const fn row(name: &'static str, kind: OptionKind, help: &'static str) -> OptionRow {
    OptionRow { name, kind, help }
}
