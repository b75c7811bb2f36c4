//! `worker`: the page.

use crate::flags::{Flag, Group, HELP, Id, Page};

pub(super) const PAGE: Page = Page {
    name: "worker",
    summary: "do one job for a program that uses the library",
    usage: "[options]",
    about: "Reads one order from standard input, a stream socket, on which the files come as open descriptors, and answers there. It opens nothing by name: what an image names is refused unless it was handed over, too. Programs start it through the Rust library instar-client.",
    operands: &[],
    groups: &[Group {
        title: "Work",
        flags: &[HELP, LANES],
    }],
    examples: &[(
        "worker -m 1 --timeout 60",
        "as a library starts it, with a socket as standard input",
    )],
};

const LANES: Flag = Flag {
    id: Id::Parallel,
    short: Some(b'm'),
    long: &[],
    exact: &["parallel"],
    value: Some("N"),
    help: "work in N lanes, 1 to 16 (default: one for each processor)",
};
