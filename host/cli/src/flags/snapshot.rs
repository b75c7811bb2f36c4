//! `snapshot`: the page.

use super::{Flag, Group, HELP, Id, OBJECT, Page};
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
                Flag {
                    id: Id::Format,
                    short: Some(b'f'),
                    long: &["format"],
                    exact: &[],
                    value: Some("FORMAT"),
                    help: "its format; without this, the first bytes decide",
                },
                Flag {
                    id: Id::ImageOpts,
                    short: None,
                    long: &["image-opts"],
                    exact: &[],
                    value: None,
                    help: "IMAGE is a list such as driver=qcow2,file.filename=X",
                },
                Flag {
                    id: Id::ForceShare,
                    short: Some(b'U'),
                    long: &["force-share"],
                    exact: &[],
                    value: None,
                    help: "open it even while another process writes to it",
                },
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
