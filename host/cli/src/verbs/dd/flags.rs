//! `dd`: the page.

use crate::flags::{DISK, Flag, Group, HELP, Id, OBJECT, PARTITION, Page};

pub(super) const PAGE: Page = Page {
    name: "dd",
    summary: "copy a window of an image into a new one",
    usage: "[options] if=SOURCE of=TARGET [bs=SIZE] [count=N] [skip=N]",
    about: "Copies blocks of the disk inside SOURCE into a new image. count includes the blocks that skip leaves out: bs=1M skip=2 count=5 copies 3 MiB.",
    operands: &[
        ("if=SOURCE", "the image to read"),
        ("of=TARGET", "the image to create; an existing file is replaced"),
        ("bs=SIZE", "bytes in a block (default 512)"),
        ("count=N", "stop after block N (default: at the end)"),
        ("skip=N", "start after block N (default 0)"),
    ],
    groups: &[Group {
        title: "Images",
        flags: &[
            HELP,
            OBJECT,
            Flag {
                id: Id::Format,
                short: Some(b'f'),
                long: &["format"],
                exact: &[],
                value: Some("FORMAT"),
                help: "format of SOURCE (default: as the first bytes say)",
            },
            Flag {
                id: Id::ImageOpts,
                short: None,
                long: &["image-opts"],
                exact: &[],
                value: None,
                help: "SOURCE is a list such as driver=qcow2,file.filename=X",
            },
            PARTITION,
            DISK,
            Flag {
                id: Id::ForceShare,
                short: Some(b'U'),
                long: &["force-share"],
                exact: &[],
                value: None,
                help: "read SOURCE even while another process writes to it",
            },
            Flag {
                id: Id::OutputFormat,
                short: Some(b'O'),
                long: &["output-format"],
                exact: &["target-format"],
                value: Some("FORMAT"),
                help: "format of TARGET (default raw, whatever the format of SOURCE)",
            },
        ],
    }],
    examples: &[
        ("dd if=disk.qcow2 of=mbr.raw count=1", "the first sector"),
        (
            "dd -O qcow2 if=disk.vmdk of=part.qcow2 bs=1M skip=1 count=513",
            "512 MiB from the first megabyte on",
        ),
    ],
};
