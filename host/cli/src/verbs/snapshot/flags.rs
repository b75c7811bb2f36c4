//! `snapshot`: the page.

use crate::flags::{FORCE_SHARE, FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, Page};

pub(super) const PAGE: Page = Page {
    name: "snapshot",
    summary: "list, make, apply or delete the snapshots inside an image",
    usage: "[options] [-l | -c NAME | -a NAME | -d NAME] IMAGE",
    about: "Lists the internal snapshots of IMAGE, makes one of its current state, goes back to one, or deletes one. If the run is interrupted at any moment, the disk is as it was before or as it is after the change.",
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
                    help: "list the snapshots (default)",
                },
                Flag {
                    id: Id::CreateSnapshot,
                    short: Some(b'c'),
                    long: &["create"],
                    exact: &[],
                    value: Some("NAME"),
                    help: "make a snapshot with this name",
                },
                Flag {
                    id: Id::ApplySnapshot,
                    short: Some(b'a'),
                    long: &["apply"],
                    exact: &[],
                    value: Some("NAME"),
                    help: "go back to the snapshot with this ID or name",
                },
                Flag {
                    id: Id::DeleteSnapshot,
                    short: Some(b'd'),
                    long: &["delete"],
                    exact: &[],
                    value: Some("NAME"),
                    help: "delete the snapshot with this name",
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
                    help: "accepted; changes nothing",
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
