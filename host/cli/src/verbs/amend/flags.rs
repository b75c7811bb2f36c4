//! `amend`: the page.

use crate::flags::{FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, Page};

pub(super) const PAGE: Page = Page {
    name: "amend",
    summary: "change the options of an image, such as its version",
    usage: "[options] -o OPTIONS IMAGE",
    about: "Gives IMAGE other options: all that are asked for, or, if one of them cannot be, none. The disk and its snapshots stay what they are. A run that is stopped at any moment leaves the options as they were or as they were to become.",
    operands: &[("IMAGE", "the image")],
    groups: &[
        Group {
            title: "Image",
            flags: &[
                HELP,
                OBJECT,
                Flag {
                    id: Id::Options,
                    short: Some(b'o'),
                    long: &["options"],
                    exact: &[],
                    value: Some("OPTIONS"),
                    help: "name=value,name=value; 'help' lists them",
                },
                FORMAT,
                Flag {
                    id: Id::Force,
                    short: None,
                    long: &["force"],
                    exact: &[],
                    value: None,
                    help: "let size= make the disk shorter",
                },
                IMAGE_OPTS,
                Flag {
                    id: Id::TargetCache,
                    short: Some(b't'),
                    long: &["cache"],
                    exact: &[],
                    value: Some("MODE"),
                    help: "how it is written: writeback (default), writethrough,\nnone, directsync or unsafe",
                },
            ],
        },
        Group {
            title: "Output",
            flags: &[
                Flag {
                    id: Id::Progress,
                    short: Some(b'p'),
                    long: &["progress"],
                    exact: &[],
                    value: Some("[=json]"),
                    help: "show how far it is; json: a line of it on standard error, or on descriptor N with json:N",
                },
                Flag {
                    id: Id::Quiet,
                    short: Some(b'q'),
                    long: &["quiet"],
                    exact: &[],
                    value: None,
                    help: "do not",
                },
            ],
        },
    ],
    examples: &[
        (
            "amend -o compat=0.10 vm.qcow2",
            "for a program that reads version 2 only",
        ),
        ("amend -o help -f qcow2", "what can be changed?"),
    ],
};
