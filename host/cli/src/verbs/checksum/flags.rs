//! `checksum`: the page.

use crate::flags::{DISK, FORCE_SHARE, FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, PARTITION, Page};

pub(super) const PAGE: Page = Page {
    name: "checksum",
    summary: "hash the disk inside an image",
    usage: "[options] IMAGE",
    about: "Prints a checksum of the virtual disk inside IMAGE. It depends only on the content, not on format, compression, layers or holes. Unwritten space costs no time. docs/verbs/checksum.md specifies it.",
    operands: &[("IMAGE", "the image")],
    groups: &[
        Group {
            title: "Checksum",
            flags: &[
                HELP,
                Flag {
                    id: Id::Algorithm,
                    short: Some(b'a'),
                    long: &["algorithm"],
                    exact: &[],
                    value: Some("NAME"),
                    help: "blake3 (default) or sha256",
                },
                Flag {
                    id: Id::Output,
                    short: None,
                    long: &["output"],
                    exact: &[],
                    value: Some("STYLE"),
                    help: "human (default) or json",
                },
                Flag {
                    id: Id::Progress,
                    short: Some(b'p'),
                    long: &["progress"],
                    exact: &[],
                    value: Some("[=json]"),
                    help: "show progress; json: as lines of JSON on standard error, or on descriptor N with json:N",
                },
                Flag {
                    id: Id::Parallel,
                    short: Some(b'm'),
                    long: &["parallel"],
                    exact: &[],
                    value: Some("N"),
                    help: "work in N lanes, 1 to 16 (default: one for each processor)",
                },
            ],
        },
        Group {
            title: "Image",
            flags: &[
                FORMAT,
                DISK,
                Flag {
                    id: Id::Snapshot,
                    short: Some(b'l'),
                    long: &["snapshot"],
                    exact: &[],
                    value: Some("SNAPSHOT"),
                    help: "an internal snapshot instead of the active state",
                },
                PARTITION,
                IMAGE_OPTS,
                FORCE_SHARE,
                OBJECT,
            ],
        },
    ],
    examples: &[
        ("checksum disk.qcow2", "equal disks print equal checksums"),
        (
            "convert --checksum a.vmdk b.qcow2",
            "print the checksum of the converted disk",
        ),
    ],
};
