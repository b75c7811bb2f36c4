//! `resize`: the page.

use crate::flags::{FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, Page};

pub(super) const PAGE: Page = Page {
    name: "resize",
    summary: "make the disk of an image larger or smaller",
    usage: "[options] IMAGE [+|-]SIZE",
    about: "Gives the disk of IMAGE another size. What is added reads as zeros. The new size is absolute, or with + or - relative to the old one. A run that is stopped at any moment leaves the disk as it was or as it was to become.",
    operands: &[
        ("IMAGE", "the image"),
        (
            "SIZE",
            "bytes, or a number with k, M, G, T, P or E for powers of 1024",
        ),
    ],
    groups: &[
        Group {
            title: "Size",
            flags: &[
                HELP,
                Flag {
                    id: Id::Shrink,
                    short: None,
                    long: &["shrink"],
                    exact: &[],
                    value: None,
                    help: "allow a smaller size: data behind the new end is lost",
                },
                Flag {
                    id: Id::Preallocation,
                    short: None,
                    long: &["preallocation"],
                    exact: &[],
                    value: Some("MODE"),
                    help: "reserve space for what is added: off (default), metadata (tables only), falloc, or full (by writing zeros)",
                },
            ],
        },
        Group {
            title: "Image",
            flags: &[
                FORMAT,
                IMAGE_OPTS,
                Flag {
                    id: Id::Quiet,
                    short: Some(b'q'),
                    long: &["quiet"],
                    exact: &[],
                    value: None,
                    help: "print nothing unless it fails",
                },
                OBJECT,
            ],
        },
    ],
    examples: &[
        ("resize vm.qcow2 +10G", "ten gigabytes more"),
        (
            "resize --shrink vm.qcow2 20G",
            "cut it: shrink the filesystems in it first",
        ),
    ],
};
