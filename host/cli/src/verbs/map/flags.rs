//! `map`: the page.

use crate::flags::{
    DISK, FORCE_SHARE, FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, OUTPUT, PARTITION, Page,
};

pub(super) const PAGE: Page = Page {
    name: "map",
    summary: "show where each part of a disk is stored",
    usage: "[options] IMAGE",
    about: "Lists the extents of the disk inside IMAGE, and the file that holds each of them, including all layers below. The human output lists only data; JSON also lists zeros and holes.",
    operands: &[("IMAGE", "the image")],
    groups: &[
        Group {
            title: "Image",
            flags: &[
                HELP,
                FORMAT,
                DISK,
                IMAGE_OPTS,
                PARTITION,
                Flag {
                    id: Id::StartOffset,
                    short: Some(b's'),
                    long: &["start-offset"],
                    exact: &[],
                    value: Some("OFFSET"),
                    help: "first byte of the disk to show (default 0)",
                },
                Flag {
                    id: Id::MaxLength,
                    short: Some(b'l'),
                    long: &["max-length"],
                    exact: &[],
                    value: Some("LENGTH"),
                    help: "number of bytes of the disk to show (default: to the end)",
                },
            ],
        },
        Group {
            title: "Output",
            flags: &[OUTPUT, FORCE_SHARE, OBJECT],
        },
    ],
    examples: &[
        ("map disk.qcow2", "which bytes of which files hold data"),
        (
            "map --output json -s 1G -l 64M disk.qcow2",
            "everything about 64 MiB, for a program",
        ),
    ],
};
