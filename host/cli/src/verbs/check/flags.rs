//! `check`: the page.

use crate::flags::{FORCE_SHARE, FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, OUTPUT, Page};

pub(super) const PAGE: Page = Page {
    name: "check",
    summary: "check the tables of an image for damage, and repair it",
    usage: "[options] IMAGE",
    about: "Reads the tables of a qcow2, parallels, qed, vdi, vhdx or vmdk image and reports damage. Without -r it writes nothing. The exit code is 0 if nothing is wrong, 1 if the check could not be completed, 2 for damage, 3 for leaked clusters only, and 63 for formats that have nothing to check.",
    operands: &[("IMAGE", "the image")],
    groups: &[
        Group {
            title: "Image",
            flags: &[
                HELP,
                FORMAT,
                IMAGE_OPTS,
                Flag {
                    id: Id::SourceCache,
                    short: Some(b'T'),
                    long: &["cache"],
                    exact: &[],
                    value: Some("MODE"),
                    help: "how it is read: none and directsync bypass the page cache",
                },
                FORCE_SHARE,
                Flag {
                    id: Id::Repair,
                    short: Some(b'r'),
                    long: &["repair"],
                    exact: &[],
                    value: Some("leaks|all"),
                    help: "repair leaked clusters, or all damage that can be repaired",
                },
            ],
        },
        Group {
            title: "Output",
            flags: &[
                Flag {
                    id: Id::Quiet,
                    short: Some(b'q'),
                    long: &["quiet"],
                    exact: &[],
                    value: None,
                    help: "print findings only",
                },
                OUTPUT,
                OBJECT,
            ],
        },
    ],
    examples: &[
        ("check disk.qcow2", "is this image sound?"),
        (
            "check -q -f qcow2 --output json disk.qcow2",
            "only the exit code and the findings",
        ),
        ("check -r all disk.qcow2", "repair all damage, then check again"),
    ],
};
