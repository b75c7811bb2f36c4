//! `selftest`: the page.

use crate::flags::{Flag, Group, HELP, Id, OUTPUT, Page};

pub(super) const PAGE: Page = Page {
    name: "selftest",
    summary: "show that the sandboxes hold here and all formats work",
    usage: "[options]",
    about: "Starts each sandbox that can be used here and lets guests that have been taken over try what they may not do: each attempt is a guest of its own, and the host sees how it ends. Then a process that is confined like our own tries what it may not do, and an image is made, checked and read back in every format that instar writes. Says what is protected on this machine and what is not. It takes some seconds, reads no image of yours, and works in a directory of its own below TMPDIR (or /tmp). --sandbox tests one sandbox only.",
    operands: &[],
    groups: &[Group {
        title: "Output",
        flags: &[HELP, OUTPUT, ACT],
    }],
    examples: &[
        ("selftest", "does what is promised hold on this machine?"),
        ("selftest --output json", "the same for a program"),
    ],
};

/// One act of a confined process: for processes that `selftest` starts.
const ACT: Flag = Flag {
    id: Id::Act,
    short: None,
    long: &[],
    exact: &["act"],
    value: Some("NAME"),
    help: "",
};
