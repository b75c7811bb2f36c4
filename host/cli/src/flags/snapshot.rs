//! `snapshot`: the page.

use super::{FORCE_SHARE, FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, Page};
use crate::verb::VerbName;

pub(super) const PAGE: Page = Page {
    name: "snapshot",
    verb: VerbName::Snapshot,
    summary: "list the snapshots inside an image",
    usage: "[options] [-l] IMAGE",
    about: "Lists the internal snapshots of IMAGE. Creating, applying and deleting them changes the image, which instar does not do yet.",
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
                    help: "not done yet",
                },
                Flag {
                    id: Id::ApplySnapshot,
                    short: Some(b'a'),
                    long: &["apply"],
                    exact: &[],
                    value: Some("NAME"),
                    help: "not done yet",
                },
                Flag {
                    id: Id::DeleteSnapshot,
                    short: Some(b'd'),
                    long: &["delete"],
                    exact: &[],
                    value: Some("NAME"),
                    help: "not done yet",
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
                    help: "accepted; the list is printed all the same",
                },
                OBJECT,
            ],
        },
    ],
    examples: &[("snapshot -l vm.qcow2", "which snapshots are there?")],
};
