//! `commit`: the page.

use crate::flags::{FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, Page};

pub(super) const PAGE: Page = Page {
    name: "commit",
    summary: "write what an image holds into its backing file",
    usage: "[options] IMAGE",
    about: "Writes everything that IMAGE holds into its backing file and then empties IMAGE. If the run is interrupted at any moment, the disk that IMAGE shows is the same.",
    operands: &[("IMAGE", "the image; its backing file is changed")],
    groups: &[
        Group {
            title: "What",
            flags: &[
                HELP,
                Flag {
                    id: Id::Backing,
                    short: Some(b'b'),
                    long: &["base"],
                    exact: &[],
                    value: Some("BASE"),
                    help: "write into this layer below IMAGE, together with all between (implies -d)",
                },
                Flag {
                    id: Id::Drop,
                    short: Some(b'd'),
                    long: &["drop"],
                    exact: &[],
                    value: None,
                    help: "do not empty IMAGE: it will be deleted",
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
                    help: "how files are written: writeback (default), none, writethrough, directsync, unsafe",
                },
                OBJECT,
            ],
        },
        Group {
            title: "How",
            flags: &[
                Flag {
                    id: Id::Rate,
                    short: Some(b'r'),
                    long: &["rate"],
                    exact: &["rate-limit"],
                    value: Some("SIZE"),
                    help: "write at most this much per second",
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
                    id: Id::Quiet,
                    short: Some(b'q'),
                    long: &["quiet"],
                    exact: &[],
                    value: None,
                    help: "say nothing if all went well",
                },
            ],
        },
    ],
    examples: &[
        ("commit vm.qcow2", "into its backing file"),
        (
            "commit -b base.qcow2 top.qcow2",
            "top.qcow2 and all layers between into base.qcow2",
        ),
    ],
};
