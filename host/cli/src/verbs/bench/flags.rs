//! `bench`: the page.

use crate::flags::{FORCE_SHARE, FORMAT, Flag, Group, HELP, IMAGE_OPTS, Id, OBJECT, Page};

pub(super) const PAGE: Page = Page {
    name: "bench",
    summary: "measure how fast an image answers requests",
    usage: "[options] IMAGE",
    about: "Sends requests of one size to the disk inside IMAGE and says how long all of them took. The disk is read, or written to with -w, which overwrites what it holds.",
    operands: &[("IMAGE", "the image")],
    groups: &[
        Group {
            title: "Image",
            flags: &[
                HELP,
                FORMAT,
                IMAGE_OPTS,
                Flag {
                    id: Id::TargetCache,
                    short: Some(b't'),
                    long: &["cache"],
                    exact: &[],
                    value: Some("MODE"),
                    help: "none, directsync, writeback (default), writethrough or unsafe",
                },
            ],
        },
        Group {
            title: "Requests",
            flags: &[
                Flag {
                    id: Id::RequestCount,
                    short: Some(b'c'),
                    long: &["count"],
                    exact: &[],
                    value: Some("N"),
                    help: "how many (default 75000)",
                },
                Flag {
                    id: Id::BufferSize,
                    short: Some(b's'),
                    long: &["buffer-size"],
                    exact: &[],
                    value: Some("BYTES"),
                    help: "bytes of each (default 4096)",
                },
                Flag {
                    id: Id::Depth,
                    short: Some(b'd'),
                    long: &["depth"],
                    exact: &[],
                    value: Some("N"),
                    help: "at most so many at once (default 64)",
                },
                Flag {
                    id: Id::StartOffset,
                    short: Some(b'o'),
                    long: &["offset"],
                    exact: &[],
                    value: Some("BYTES"),
                    help: "where the first starts (default 0)",
                },
                Flag {
                    id: Id::StepSize,
                    short: Some(b'S'),
                    long: &["step-size"],
                    exact: &[],
                    value: Some("BYTES"),
                    help: "from the start of one to that of the next (default: its size)",
                },
                Flag {
                    id: Id::Aio,
                    short: Some(b'i'),
                    long: &["aio"],
                    exact: &[],
                    value: Some("WAY"),
                    help: "threads, native or io_uring: accepted, and changes nothing",
                },
                Flag {
                    id: Id::Native,
                    short: Some(b'n'),
                    long: &["native"],
                    exact: &[],
                    value: None,
                    help: "the same as -i native",
                },
            ],
        },
        Group {
            title: "Writing",
            flags: &[
                Flag {
                    id: Id::Write,
                    short: Some(b'w'),
                    long: &["write"],
                    exact: &[],
                    value: None,
                    help: "write instead of reading: the disk's content is lost",
                },
                Flag {
                    id: Id::Pattern,
                    short: None,
                    long: &["pattern"],
                    exact: &[],
                    value: Some("BYTE"),
                    help: "write this byte (default 0)",
                },
                Flag {
                    id: Id::FlushInterval,
                    short: None,
                    long: &["flush-interval"],
                    exact: &[],
                    value: Some("N"),
                    help: "flush after each N requests, once all before it are done",
                },
                Flag {
                    id: Id::NoDrain,
                    short: None,
                    long: &["no-drain"],
                    exact: &[],
                    value: None,
                    help: "a flush does not wait for other requests",
                },
            ],
        },
        Group {
            title: "Other",
            flags: &[
                FORCE_SHARE,
                // By their whole names only: of the releases of the reference tool, few have them.
                Flag {
                    id: Id::Quiet,
                    short: Some(b'q'),
                    long: &[],
                    exact: &["quiet"],
                    value: None,
                    help: "accepted, and changes nothing",
                },
                Flag {
                    long: &[],
                    exact: &["object"],
                    ..OBJECT
                },
            ],
        },
    ],
    examples: &[
        ("bench disk.qcow2", "75000 reads of 4 KiB"),
        (
            "bench -w --pattern 0xa5 -s 64k -S 1M -c 1000 -f qcow2 scratch.qcow2",
            "1000 writes of 64 KiB, one in each megabyte",
        ),
    ],
};
