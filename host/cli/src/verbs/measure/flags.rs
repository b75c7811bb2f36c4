//! `measure`: the page.

use crate::flags::{DISK, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, OUTPUT, PARTITION, Page};

pub(super) const PAGE: Page = Page {
    name: "measure",
    summary: "compute how much space a new image would take",
    usage: "[options] (--size SIZE | IMAGE)",
    about: "Computes the size of the file that results from converting IMAGE, or from creating an empty image of SIZE: the size needed now, and the size when every byte of the disk has been written.",
    operands: &[("IMAGE", "the image that would be converted")],
    groups: &[
        Group {
            title: "Source",
            flags: &[
                HELP,
                Flag {
                    id: Id::Format,
                    short: Some(b'f'),
                    long: &["format"],
                    exact: &["source-format"],
                    value: Some("FORMAT"),
                    help: "format of IMAGE (default: as the first bytes say)",
                },
                IMAGE_OPTS,
                Flag {
                    id: Id::Snapshot,
                    short: Some(b'l'),
                    long: &["snapshot"],
                    exact: &[],
                    value: Some("SNAPSHOT"),
                    help: "measure this internal snapshot, by ID or name",
                },
                PARTITION,
                DISK,
                Flag {
                    id: Id::ForceShare,
                    short: Some(b'U'),
                    long: &["force-share"],
                    exact: &[],
                    value: None,
                    help: "read IMAGE even while another process writes to it",
                },
                Flag {
                    id: Id::Size,
                    short: Some(b's'),
                    long: &["size"],
                    exact: &[],
                    value: Some("SIZE"),
                    help: "measure an empty image of this size instead",
                },
            ],
        },
        Group {
            title: "Target",
            flags: &[
                Flag {
                    id: Id::OutputFormat,
                    short: Some(b'O'),
                    long: &["target-format"],
                    exact: &["output-format"],
                    value: Some("FORMAT"),
                    help: "format of the new image (default raw)",
                },
                Flag {
                    id: Id::Options,
                    short: Some(b'o'),
                    long: &["options"],
                    exact: &["target-format-options"],
                    value: Some("NAME=VALUE,..."),
                    help: "options of that format, as create takes them",
                },
            ],
        },
        Group {
            title: "Output",
            flags: &[OBJECT, OUTPUT],
        },
    ],
    examples: &[
        (
            "measure -O qcow2 disk.raw",
            "space for the data of disk.raw as qcow2",
        ),
        (
            "measure --size 1T -O qcow2 --output json",
            "space for a terabyte, empty and full, for a program",
        ),
    ],
};
