//! `compare`: the page.

use crate::flags::{Flag, Group, HELP, Id, OBJECT, Page};

pub(super) const PAGE: Page = Page {
    name: "compare",
    summary: "tell whether two images hold the same disk",
    usage: "[options] IMAGE1 IMAGE2",
    about: "Compares the disks inside two images of any format. A disk that is longer by zeros is the same. Exit code 0: the same, 1: different, 2: an image cannot be opened, 3 or 4: it cannot be read.",
    operands: &[("IMAGE1, IMAGE2", "the images")],
    groups: &[
        Group {
            title: "Images",
            flags: &[
                HELP,
                Flag {
                    id: Id::Format,
                    short: Some(b'f'),
                    long: &["a-format", "left-format"],
                    exact: &[],
                    value: Some("FORMAT"),
                    help: "format of IMAGE1; without this, the first bytes decide",
                },
                Flag {
                    id: Id::RightFormat,
                    short: Some(b'F'),
                    long: &["b-format", "right-format"],
                    exact: &[],
                    value: Some("FORMAT"),
                    help: "format of IMAGE2",
                },
                Flag {
                    id: Id::ImageOpts,
                    short: None,
                    long: &["image-opts"],
                    exact: &[],
                    value: None,
                    help: "both are lists such as driver=qcow2,file.filename=X",
                },
                Flag {
                    id: Id::SourceCache,
                    short: Some(b'T'),
                    long: &["cache"],
                    exact: &[],
                    value: Some("MODE"),
                    help: "how they are read: none, directsync, writeback, writethrough or unsafe",
                },
                Flag {
                    id: Id::ForceShare,
                    short: Some(b'U'),
                    long: &["force-share"],
                    exact: &[],
                    value: None,
                    help: "open them even while other processes write to them",
                },
                OBJECT,
            ],
        },
        Group {
            title: "Comparison",
            flags: &[
                Flag {
                    id: Id::Strict,
                    short: Some(b's'),
                    long: &["strict"],
                    exact: &[],
                    value: None,
                    help: "sizes and allocation must be the same too",
                },
                Flag {
                    id: Id::Progress,
                    short: Some(b'p'),
                    long: &["progress"],
                    exact: &[],
                    value: Some("[=json]"),
                    help: "show how far the work is; json: a line of it on standard error, or on descriptor N with json:N",
                },
                Flag {
                    id: Id::Quiet,
                    short: Some(b'q'),
                    long: &["quiet"],
                    exact: &[],
                    value: None,
                    help: "print nothing but errors",
                },
            ],
        },
    ],
    examples: &[
        ("compare disk.vmdk disk.qcow2", "was it converted well?"),
        (
            "compare -q -f raw a.raw b.raw",
            "the same for a script: only the exit code counts",
        ),
    ],
};
