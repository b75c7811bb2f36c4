//! `info`: the page.

use crate::flags::{DISK, FORCE_SHARE, FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, OUTPUT, Page};

pub(super) const PAGE: Page = Page {
    name: "info",
    summary: "describe an image (-U: even while it is in use)",
    usage: "[options] IMAGE",
    about: "Shows format, sizes, snapshots and the other properties of an image. Files that the image names are not opened, unless --backing-chain asks for the layers below.",
    operands: &[("IMAGE", "the image")],
    groups: &[
        Group {
            title: "Image",
            flags: &[
                HELP,
                FORMAT,
                DISK,
                IMAGE_OPTS,
                FORCE_SHARE,
                Flag {
                    id: Id::BackingChain,
                    short: Some(b'b'),
                    long: &["backing-chain"],
                    exact: &[],
                    value: None,
                    help: "show the layers below too",
                },
                Flag {
                    id: Id::Partitions,
                    short: None,
                    long: &[],
                    exact: &["partitions"],
                    value: Some("[=TABLE]"),
                    help: "show the partitions of the disk inside, by the table that Linux uses, or by gpt, backup or mbr",
                },
                Flag {
                    id: Id::Safety,
                    short: None,
                    long: &[],
                    exact: &["safety"],
                    value: None,
                    help: "report whether an untrusted image is safe to read: one verdict per known risk, exit code 0 or 1",
                },
            ],
        },
        Group {
            title: "Output",
            flags: &[
                OUTPUT,
                Flag {
                    id: Id::Limits,
                    short: None,
                    long: &[],
                    exact: &["limits"],
                    value: None,
                    help: "also show the alignments and the largest requests of the image and its files",
                },
                Flag {
                    id: Id::SourceCache,
                    short: Some(b't'),
                    long: &[],
                    exact: &["cache"],
                    value: Some("MODE"),
                    help: "how it is read: none and directsync bypass the page cache",
                },
                OBJECT,
            ],
        },
    ],
    examples: &[
        ("info disk.qcow2", "what is this file?"),
        (
            "info --output json -U vm.qcow2",
            "as JSON, for the disk of a running machine",
        ),
        (
            "info --safety -f qcow2 upload.qcow2",
            "is this upload safe to accept?",
        ),
        (
            "info --untrusted -f qcow2 upload.qcow2",
            "an upload that must be a qcow2",
        ),
    ],
};
