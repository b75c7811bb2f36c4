//! `bitmap`: the page.

use crate::flags::{Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, Page};

pub(super) const PAGE: Page = Page {
    name: "bitmap",
    summary: "make, remove, clear, switch or join the bitmaps in an image",
    usage: "[options] ACTION... IMAGE [BITMAP]",
    about: "Carries out actions on BITMAP, which records what is written to the disk of IMAGE, in the order in which they are given. If one cannot be carried out, those before it have taken effect. A run that is stopped at any moment leaves the bitmaps as they were or as they were to become.",
    operands: &[
        ("IMAGE", "the image"),
        ("BITMAP", "the bitmap; left out with --remove-all alone"),
    ],
    groups: &[
        Group {
            title: "Actions",
            flags: &[
                HELP,
                Flag {
                    id: Id::AddBitmap,
                    long: &["add"],
                    help: "make it, empty and recording",
                    ..ACTION
                },
                Flag {
                    id: Id::RemoveBitmap,
                    long: &["remove"],
                    help: "remove it",
                    ..ACTION
                },
                Flag {
                    id: Id::RemoveAllBitmaps,
                    // As a whole only: --re is --remove.
                    exact: &["remove-all"],
                    help: "remove every bitmap of the image",
                    ..ACTION
                },
                Flag {
                    id: Id::ClearBitmap,
                    long: &["clear"],
                    help: "clear all of its bits",
                    ..ACTION
                },
                Flag {
                    id: Id::EnableBitmap,
                    long: &["enable"],
                    help: "let it record what is written from now on",
                    ..ACTION
                },
                Flag {
                    id: Id::DisableBitmap,
                    long: &["disable"],
                    help: "let it record no more",
                    ..ACTION
                },
                Flag {
                    id: Id::MergeBitmap,
                    long: &["merge"],
                    value: Some("SOURCE"),
                    help: "set the bits that are set in the bitmap SOURCE, too",
                    ..ACTION
                },
            ],
        },
        Group {
            title: "How",
            flags: &[
                Flag {
                    id: Id::Granularity,
                    short: Some(b'g'),
                    long: &["granularity"],
                    exact: &[],
                    value: Some("SIZE"),
                    help: "with --add: what a bit stands for; 512 to 2G, a power of two\nwithout this, a cluster, but 4k at least and 64k at most",
                },
                Flag {
                    id: Id::SourceFile,
                    short: Some(b'b'),
                    long: &["source-file"],
                    exact: &[],
                    value: Some("FILE"),
                    help: "with --merge: the image that has SOURCE; without this, IMAGE",
                },
                Flag {
                    id: Id::SourceFormat,
                    short: Some(b'F'),
                    long: &["source-format"],
                    exact: &[],
                    value: Some("FORMAT"),
                    help: "its format",
                },
            ],
        },
        Group {
            title: "Image",
            flags: &[
                Flag {
                    id: Id::Format,
                    short: Some(b'f'),
                    long: &[],
                    exact: &["format"],
                    value: Some("FORMAT"),
                    help: "its format; without this, the first bytes decide",
                },
                IMAGE_OPTS,
                OBJECT,
            ],
        },
    ],
    examples: &[
        ("bitmap --add vm.qcow2 backup", "record what changes from now on"),
        (
            "bitmap --add --disable --merge monday -g 1M vm.qcow2 week",
            "a coarse copy that stays as it is",
        ),
    ],
};

/// What actions have in common: no letter.
const ACTION: Flag = Flag {
    id: Id::AddBitmap,
    short: None,
    long: &[],
    exact: &[],
    value: None,
    help: "",
};
