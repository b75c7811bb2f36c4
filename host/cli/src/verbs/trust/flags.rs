//! `trust`: the page.

use crate::flags::{FORMAT, Flag, Group, HELP, Id, Page};

pub(super) const PAGE: Page = Page {
    name: "trust",
    summary: "record that an image may name the files that it names",
    usage: "[options] IMAGE",
    about: "An image opens files beside it, in directories that are allowed, and those that this machine gave it: create -b and convert -B record what they write. This records the same for an image that another program made, for each layer of its chain: an extended attribute of the file, sealed with a key of this user. It shows the chain first. Bytes that are copied or uploaded do not carry it.",
    operands: &[("IMAGE", "the image on top")],
    groups: &[Group {
        title: "What to do",
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
                help: "take the record of IMAGE away; those of the layers below stay",
            },
        ],
    }],
    examples: &[
        ("trust --show vm/disk", "which files would be read, and why?"),
        ("trust vm/disk", "the chain is mine: read it"),
        ("trust --remove vm/disk", "not any more"),
    ],
};
