//! `trust`: the page.

use crate::flags::{FORMAT, Flag, Group, HELP, Id, Page};

pub(super) const PAGE: Page = Page {
    name: "trust",
    summary: "record that an image may name the files that it names",
    usage: "[options] IMAGE",
    about: "An image may open files beside it, files in allowed directories, and files that this machine recorded for it: create -b and convert -B record the names that they write. This command records the names in an image that another program made, and in each layer of its chain, as an extended attribute of the file that is sealed with a key of this user. It shows the chain first. Copied or uploaded bytes do not carry the record.",
    operands: &[("IMAGE", "the image on top")],
    groups: &[Group {
        title: "Action",
        flags: &[
            HELP,
            FORMAT,
            Flag {
                id: Id::Show,
                short: None,
                long: &[],
                exact: &["show"],
                value: None,
                help: "show the chain, and which rule lets each layer in; record nothing",
            },
            Flag {
                id: Id::Remove,
                short: None,
                long: &[],
                exact: &["remove"],
                value: None,
                help: "remove the record of IMAGE; those of the layers below stay",
            },
        ],
    }],
    examples: &[
        ("trust --show vm/disk", "which files would be read, and why?"),
        ("trust vm/disk", "trust this chain from now on"),
        ("trust --remove vm/disk", "no longer trust it"),
    ],
};
