//! `map`: the page.

use super::{Flag, Group, HELP, Id, OBJECT, Page};
use crate::verb::VerbName;

pub(super) const PAGE: Page = Page {
    name: "map",
    verb: VerbName::Map,
    summary: "show where each part of a disk is stored",
    usage: "[options] IMAGE",
    about: "Lists the extents of the disk inside IMAGE and the file that each stands in, all layers below considered. For people only data is listed; as JSON, zeros and holes too.",
    operands: &[("IMAGE", "the image")],
    groups: &[
        Group {
            title: "Image",
            flags: &[
                HELP,
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
                    id: Id::StartOffset,
                    short: Some(b's'),
                    long: &["start-offset"],
                    exact: &[],
                    value: Some("OFFSET"),
                    help: "first byte of the disk to show (default 0)",
                },
                Flag {
                    id: Id::MaxLength,
                    short: Some(b'l'),
                    long: &["max-length"],
                    exact: &[],
                    value: Some("LENGTH"),
                    help: "bytes of the disk to show (default: to the end)",
                },
            ],
        },
        Group {
            title: "Output",
            flags: &[
                Flag {
                    id: Id::Output,
                    short: None,
                    long: &["output"],
                    exact: &[],
                    value: Some("human|json"),
                    help: "for people (default) or for programs",
                },
                Flag {
                    id: Id::ForceShare,
                    short: Some(b'U'),
                    long: &["force-share"],
                    exact: &[],
                    value: None,
                    help: "open it even while another process writes to it",
                },
                OBJECT,
            ],
        },
    ],
    examples: &[
        ("map disk.qcow2", "which bytes of which files hold data"),
        (
            "map --output json -s 1G -l 64M disk.qcow2",
            "everything known of 64 MiB, for a program",
        ),
    ],
};
