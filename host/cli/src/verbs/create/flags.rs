//! `create`: the page.

use crate::flags::{Flag, Group, HELP, Id, OBJECT, Page};

pub(super) const PAGE: Page = Page {
    name: "create",
    summary: "make a new, empty image",
    usage: "[options] IMAGE [SIZE]",
    about: "Makes an image that reads as zeros, or as the layer below it. If that fails, an existing file stays as it was.",
    operands: &[
        ("IMAGE", "the image to make; an existing file is replaced"),
        (
            "SIZE",
            "size of its disk, such as 10G (default: that of the layer below)",
        ),
    ],
    groups: &[
        Group {
            title: "Image",
            flags: &[
                HELP,
                Flag {
                    id: Id::Quiet,
                    short: Some(b'q'),
                    long: &["quiet"],
                    exact: &[],
                    value: None,
                    help: "print nothing unless it fails",
                },
                OBJECT,
                Flag {
                    id: Id::Format,
                    short: Some(b'f'),
                    long: &["format"],
                    exact: &[],
                    value: Some("FORMAT"),
                    help: "its format (default raw)",
                },
                Flag {
                    id: Id::Options,
                    short: Some(b'o'),
                    long: &["options"],
                    exact: &[],
                    value: Some("NAME=VALUE,..."),
                    help: "options of the format; -o help lists them",
                },
            ],
        },
        Group {
            title: "Layer below",
            flags: &[
                Flag {
                    id: Id::Backing,
                    short: Some(b'b'),
                    long: &["backing"],
                    exact: &[],
                    value: Some("FILE"),
                    help: "the image reads as FILE where nothing is written",
                },
                Flag {
                    id: Id::BackingFormat,
                    short: Some(b'F'),
                    long: &["backing-format"],
                    exact: &[],
                    value: Some("FORMAT"),
                    help: "format of FILE; required with -b",
                },
                // Its letter since 11.1.
                Flag {
                    id: Id::BackingFormat,
                    short: Some(b'B'),
                    long: &[],
                    exact: &[],
                    value: Some("FORMAT"),
                    help: "",
                },
                Flag {
                    id: Id::BackingUnsafe,
                    short: Some(b'u'),
                    long: &["backing-unsafe"],
                    exact: &[],
                    value: None,
                    help: "record FILE as the layer below without opening it",
                },
            ],
        },
    ],
    examples: &[
        (
            "create -f qcow2 disk.qcow2 20G",
            "a disk that grows as it is filled",
        ),
        (
            "create -f qcow2 -b base.qcow2 -F qcow2 vm.qcow2",
            "a layer above base.qcow2",
        ),
        (
            "create -f raw -o preallocation=falloc disk.raw 8G",
            "a disk whose space is reserved now",
        ),
    ],
};
