//! `compare`: the page.

use crate::flags::{DISK, Flag, Group, HELP, Id, OBJECT, Page};

pub(super) const PAGE: Page = Page {
    name: "compare",
    summary: "find out whether two images hold the same disk",
    usage: "[options] IMAGE1 IMAGE2",
    about: "Compares the disks inside two images of any format. Zeros past the end of the shorter disk do not count as a difference. The exit code is 0 if the disks are the same, 1 if they differ, 2 if an image cannot be opened, and 3 or 4 if it cannot be read.",
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
                    help: "format of IMAGE1 (default: as the first bytes say)",
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
                DISK,
                Flag {
                    id: Id::ForceShare,
                    short: Some(b'U'),
                    long: &["force-share"],
                    exact: &[],
                    value: None,
                    help: "read them even while other processes write to them",
                },
                Flag {
                    id: Id::Partition,
                    short: None,
                    long: &[],
                    exact: &["partition"],
                    value: Some("N"),
                    help: "read only partition N of IMAGE1, as info --partitions numbers them; given again, of IMAGE2",
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
                    help: "sizes and allocation must be equal too",
                },
                Flag {
                    id: Id::Progress,
                    short: Some(b'p'),
                    long: &["progress"],
                    exact: &[],
                    value: Some("[=json]"),
                    help: "show progress; json: as lines of JSON on standard error, or on descriptor N with json:N",
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
        ("compare disk.vmdk disk.qcow2", "was it converted correctly?"),
        (
            "compare -q -f raw a.raw b.raw",
            "for a script: only the exit code",
        ),
    ],
};
