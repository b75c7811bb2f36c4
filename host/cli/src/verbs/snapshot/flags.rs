//! `snapshot`: the page.

use crate::flags::{FORCE_SHARE, FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, Page};

pub(super) const PAGE: Page = Page {
    name: "snapshot",
    summary: "list, make, apply or delete the snapshots inside an image",
    usage: "[options] [-l | -c NAME | -a NAME | -d NAME] IMAGE",
    about: "Lists the internal snapshots of IMAGE, makes one of its present state, goes back to one, or deletes one. A run that is stopped at any moment leaves the image as it was or as it was to become.",
    operands: &[("IMAGE", "the image")],
    groups: &[
        Group {
            title: "Action",
            flags: &[
                HELP,
                Flag {
                    id: Id::List,
                    short: Some(b'l'),
                    long: &["list"],
                    exact: &[],
                    value: None,
                    help: "list them (default)",
                },
                Flag {
                    id: Id::CreateSnapshot,
                    short: Some(b'c'),
                    long: &["create"],
                    exact: &[],
                    value: Some("NAME"),
                    help: "make a snapshot called NAME",
                },
                Flag {
                    id: Id::ApplySnapshot,
                    short: Some(b'a'),
                    long: &["apply"],
                    exact: &[],
                    value: Some("NAME"),
                    help: "make the snapshot NAME, an ID or a name, the disk's content",
                },
                Flag {
                    id: Id::DeleteSnapshot,
                    short: Some(b'd'),
                    long: &["delete"],
                    exact: &[],
                    value: Some("NAME"),
                    help: "delete the snapshot NAME",
                },
            ],
        },
        Group {
            title: "Image",
            flags: &[
                FORMAT,
                IMAGE_OPTS,
                FORCE_SHARE,
                Flag {
                    id: Id::Quiet,
                    short: Some(b'q'),
                    long: &["quiet"],
                    exact: &[],
                    value: None,
                    help: "accepted, and changes nothing",
                },
                OBJECT,
            ],
        },
    ],
    examples: &[
        ("snapshot -l vm.qcow2", "which snapshots are there?"),
        ("snapshot -c before-update vm.qcow2", "make one"),
    ],
};
