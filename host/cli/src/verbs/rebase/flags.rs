//! `rebase`: the page.

use crate::flags::{FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, Page};

pub(super) const PAGE: Page = Page {
    name: "rebase",
    summary: "put an image over another backing file, its disk unchanged",
    usage: "[options] -b BACKING -F FORMAT IMAGE",
    about: "Changes the backing file of IMAGE. What the old and the new backing file have in different ways is copied into IMAGE first, so that the disk stays the same. If the run is interrupted at any moment, the disk is the same, too.",
    operands: &[("IMAGE", "the image to change (qcow2)")],
    groups: &[
        Group {
            title: "Backing file",
            flags: &[
                HELP,
                Flag {
                    id: Id::Backing,
                    short: Some(b'b'),
                    long: &["backing"],
                    exact: &[],
                    value: Some("BACKING"),
                    help: "the new backing file, as it shall be named in IMAGE; \"\" for none",
                },
                Flag {
                    id: Id::BackingFormat,
                    short: Some(b'F'),
                    long: &["backing-format"],
                    exact: &[],
                    value: Some("FORMAT"),
                    help: "its format",
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
                    id: Id::SourceCache,
                    short: Some(b'T'),
                    long: &["backing-cache"],
                    exact: &[],
                    value: Some("MODE"),
                    help: "how it is read: writeback (default), none, unsafe, ...",
                },
                Flag {
                    id: Id::BackingUnsafe,
                    short: Some(b'u'),
                    long: &["backing-unsafe"],
                    exact: &[],
                    value: None,
                    help: "change only the name and the format: no backing file is read, nothing is copied",
                },
                Flag {
                    id: Id::ForceShare,
                    short: Some(b'U'),
                    long: &["force-share"],
                    exact: &[],
                    value: None,
                    help: "read the new backing file even while another process writes to it",
                },
            ],
        },
        Group {
            title: "Image",
            flags: &[
                FORMAT,
                IMAGE_OPTS,
                Flag {
                    id: Id::TargetCache,
                    short: Some(b't'),
                    long: &["cache"],
                    exact: &[],
                    value: Some("MODE"),
                    help: "how it is written: writeback (default), none, writethrough, directsync, unsafe",
                },
                Flag {
                    id: Id::Compress,
                    short: Some(b'c'),
                    long: &["compress"],
                    exact: &[],
                    value: None,
                    help: "compress what is copied",
                },
                OBJECT,
            ],
        },
        Group {
            title: "How",
            flags: &[
                Flag {
                    id: Id::Progress,
                    short: Some(b'p'),
                    long: &["progress"],
                    exact: &[],
                    value: Some("[=json]"),
                    help: "show progress; json: as lines of JSON on standard error, or on descriptor N with json:N",
                },
                Flag {
                    id: Id::Quiet,
                    short: Some(b'q'),
                    long: &["quiet"],
                    exact: &[],
                    value: None,
                    help: "show no progress",
                },
            ],
        },
    ],
    examples: &[
        (
            "rebase -b new.qcow2 -F qcow2 vm.qcow2",
            "over another backing file; the disk stays the same",
        ),
        ("rebase -b \"\" vm.qcow2", "over none: the image stands alone"),
        (
            "rebase -u -b moved/base.qcow2 -F qcow2 vm.qcow2",
            "the backing file has another name now",
        ),
    ],
};
