//! `compact`: the page.

use crate::flags::{FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, OUTPUT, Page};

pub(super) const PAGE: Page = Page {
    name: "compact",
    summary: "make the file of an image smaller",
    usage: "[options] IMAGE",
    about: "Makes the file of a qcow2 image smaller where it is: clusters of zeros are given up, what stands at the end moves into free places, and the file is cut. The disk, its snapshots and its bitmaps stay what they are, if the run is stopped at any moment, too.",
    operands: &[("IMAGE", "the image")],
    groups: &[
        Group {
            title: "What is given up",
            flags: &[
                HELP,
                Flag {
                    id: Id::Trim,
                    short: None,
                    long: &["trim"],
                    exact: &[],
                    value: None,
                    help: "only clusters of zeros; nothing is moved",
                },
                Flag {
                    id: Id::NoTrim,
                    short: None,
                    long: &["no-trim"],
                    exact: &[],
                    value: None,
                    help: "only free places; no data is read to find zeros",
                },
            ],
        },
        Group {
            title: "Image",
            flags: &[FORMAT, IMAGE_OPTS, OBJECT],
        },
        Group {
            title: "Output",
            flags: &[
                OUTPUT,
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
                    help: "print nothing but errors",
                },
            ],
        },
    ],
    examples: &[
        ("compact vm.qcow2", "give free space back to the filesystem"),
        (
            "compact --trim --output=json vm.qcow2",
            "give up clusters of zeros, and say how many they were",
        ),
    ],
};
