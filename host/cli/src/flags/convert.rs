//! `convert`: the page.

use super::{Flag, Group, HELP, Id, OBJECT, Page};
use crate::verb::VerbName;

pub(super) const PAGE: Page = Page {
    name: "convert",
    verb: VerbName::Convert,
    summary: "copy images into a new one of any format",
    usage: "[options] SOURCE... TARGET",
    about: "Copies the disk inside SOURCE into a new image. Several sources are put one after the other. TARGET appears under its name only when it is complete.",
    operands: &[
        ("SOURCE", "the image to read"),
        ("TARGET", "the image to create; an existing file is replaced"),
    ],
    groups: &[SOURCE, TARGET, WORK],
    examples: &[
        ("convert -O qcow2 disk.raw disk.qcow2", "raw to qcow2"),
        (
            "convert -c -O qcow2 vm.vmdk vm.qcow2",
            "VMware to a compressed qcow2",
        ),
        (
            "convert -f qcow2 --untrusted upload.qcow2 disk.raw",
            "a stranger's upload, with nothing opened that it names",
        ),
        (
            "convert -p -B base.qcow2 -F qcow2 -O qcow2 vm.qcow2 thin.qcow2",
            "only what differs from base.qcow2, with progress",
        ),
    ],
};

const SOURCE: Group = Group {
    title: "Source",
    flags: &[
        HELP,
        OBJECT,
        Flag {
            id: Id::ImageOpts,
            short: None,
            long: &["source-image-opts", "image-opts"],
            exact: &[],
            value: None,
            help: "SOURCE is a list such as driver=qcow2,file.filename=X",
        },
        Flag {
            id: Id::Format,
            short: Some(b'f'),
            long: &["source-format"],
            exact: &["format"],
            value: Some("FORMAT"),
            help: "its format; without this, the first bytes decide",
        },
        Flag {
            id: Id::SourceCache,
            short: Some(b'T'),
            long: &["source-cache"],
            exact: &[],
            value: Some("MODE"),
            help: "how it is read: writeback (default), none, unsafe, ...",
        },
        Flag {
            id: Id::Snapshot,
            short: Some(b'l'),
            long: &["snapshot"],
            exact: &["source-snapshot"],
            value: Some("SNAPSHOT"),
            help: "an internal snapshot, by ID or name, or snapshot.id=ID,snapshot.name=NAME",
        },
        Flag {
            id: Id::ForceShare,
            short: Some(b'U'),
            long: &["force-share"],
            exact: &[],
            value: None,
            help: "open it even while another process writes to it",
        },
    ],
};

const TARGET: Group = Group {
    title: "Target",
    flags: &[
        Flag {
            id: Id::OutputFormat,
            short: Some(b'O'),
            long: &["output-format"],
            exact: &["target-format"],
            value: Some("FORMAT"),
            help: "its format (default raw)",
        },
        Flag {
            id: Id::TargetImageOpts,
            short: None,
            long: &["target-image-opts"],
            exact: &[],
            value: None,
            help: "TARGET is a list of options (with -n)",
        },
        Flag {
            id: Id::Options,
            short: Some(b'o'),
            long: &["options"],
            exact: &["target-options", "target-format-options"],
            value: Some("NAME=VALUE,..."),
            help: "options of the format; -o help lists them",
        },
        Flag {
            id: Id::TargetCache,
            short: Some(b't'),
            long: &["output-cache"],
            exact: &["target-cache"],
            value: Some("MODE"),
            help: "how it is written: unsafe (default), writeback, none, writethrough, directsync",
        },
        Flag {
            id: Id::Backing,
            short: Some(b'B'),
            long: &["backing"],
            exact: &[],
            value: Some("IMAGE"),
            help: "write only what differs from IMAGE, as a layer above it",
        },
        Flag {
            id: Id::BackingFormat,
            short: Some(b'F'),
            long: &["backing-format"],
            exact: &[],
            value: Some("FORMAT"),
            help: "format of that IMAGE",
        },
        Flag {
            id: Id::Compress,
            short: Some(b'c'),
            long: &[],
            exact: &["compress"],
            value: None,
            help: "compress",
        },
        Flag {
            id: Id::SparseSize,
            short: Some(b'S'),
            long: &["sparse-size"],
            exact: &[],
            value: Some("SIZE"),
            help: "leave out runs of zeros at least this long (default 4k; 0 writes everything)",
        },
        Flag {
            id: Id::NoCreate,
            short: Some(b'n'),
            long: &[],
            exact: &["no-create"],
            value: None,
            help: "TARGET exists and is written in place",
        },
        Flag {
            id: Id::TargetIsZero,
            short: None,
            long: &["target-is-zero"],
            exact: &[],
            value: None,
            help: "TARGET is known to read as zeros (with -n)",
        },
        Flag {
            id: Id::Bitmaps,
            short: None,
            long: &["bitmaps"],
            exact: &[],
            value: None,
            help: "",
        },
    ],
};

const WORK: Group = Group {
    title: "Work",
    flags: &[
        Flag {
            id: Id::Progress,
            short: Some(b'p'),
            long: &[],
            exact: &["progress"],
            value: None,
            help: "show how far it is",
        },
        Flag {
            id: Id::Quiet,
            short: Some(b'q'),
            long: &["quiet"],
            exact: &[],
            value: None,
            help: "say nothing unless it fails",
        },
        Flag {
            id: Id::Parallel,
            short: Some(b'm'),
            long: &["parallel"],
            exact: &[],
            value: Some("N"),
            help: "work in N lanes, 1 to 16 (default: one for each CPU)",
        },
        Flag {
            id: Id::Rate,
            short: Some(b'r'),
            long: &["rate"],
            exact: &["rate-limit"],
            value: Some("SIZE"),
            help: "write at most this much a second",
        },
        Flag {
            id: Id::Salvage,
            short: None,
            long: &["salvage"],
            exact: &[],
            value: None,
            help: "put zeros where SOURCE cannot be read, with a warning",
        },
        Flag {
            id: Id::SkipBrokenBitmaps,
            short: None,
            long: &["skip-broken-bitmaps"],
            exact: &[],
            value: None,
            help: "",
        },
        Flag {
            id: Id::OutOfOrder,
            short: Some(b'W'),
            long: &["oob-writes"],
            exact: &[],
            value: None,
            help: "accepted; writes always run in parallel",
        },
        Flag {
            id: Id::CopyRange,
            short: Some(b'C'),
            long: &["copy-range-offloading"],
            exact: &[],
            value: None,
            help: "accepted; plain data is always left to the kernel",
        },
    ],
};
