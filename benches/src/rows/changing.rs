//! Images that are changed in place.

use super::{Changed, Group, Row, timed};

/// A row that changes a copy of `image`.
const fn change(
    name: &'static str,
    image: &'static str,
    words: &'static [&'static str],
    runs: usize,
    goal: f64,
) -> Row {
    Row {
        changes: Some(Changed { image, base: None }),
        ..timed(Group::Changing, name, &[], words, runs, goal)
    }
}

const TERA: &str = "tera-metadata.qcow2";

pub(super) const ROWS: &[Row] = &[
    change(
        "snapshot -c, 1 TiB of metadata",
        TERA,
        &["snapshot", "-c", "new", "@"],
        3,
        0.1,
    ),
    change(
        "snapshot -a, 1 TiB of metadata",
        "tera-snapshot.qcow2",
        &["snapshot", "-a", "first", "@"],
        3,
        0.1,
    ),
    change(
        "snapshot -d, 1 TiB of metadata",
        "tera-snapshot.qcow2",
        &["snapshot", "-d", "first", "@"],
        3,
        0.1,
    ),
    change(
        "resize, 1 TiB of metadata to 1 GiB",
        TERA,
        &["resize", "-q", "--shrink", "@", "1G"],
        3,
        0.1,
    ),
    change(
        "resize, 1 TiB of metadata to 2 TiB",
        TERA,
        &["resize", "-q", "@", "2T"],
        5,
        0.5,
    ),
    change(
        "amend refcount_bits, 1 TiB of metadata",
        TERA,
        &["amend", "-o", "refcount_bits=32", "@"],
        3,
        0.3,
    ),
    change(
        "check -r all, 1 TiB, refcount table lost",
        "tera-lost.qcow2",
        &["check", "-q", "-r", "all", "@"],
        3,
        0.3,
    ),
    Row {
        needs: &["fs-2m.qcow2"],
        ..change(
            "rebase onto a base with the same disk",
            "overlay.qcow2",
            &["rebase", "-F", "qcow2", "-b", "@fs-2m.qcow2", "@"],
            3,
            0.6,
        )
    },
    change(
        "rebase onto no base",
        "overlay.qcow2",
        &["rebase", "-b", "", "@"],
        3,
        0.6,
    ),
    Row {
        changes: Some(Changed {
            image: "overlay.qcow2",
            base: Some("fs.qcow2"),
        }),
        ..change(
            "commit a quarter of the disk",
            "overlay.qcow2",
            &["commit", "-q", "@"],
            3,
            0.6,
        )
    },
    change(
        "snapshot -c, small qcow2",
        "small.qcow2",
        &["snapshot", "-c", "new", "@"],
        30,
        0.5,
    ),
    change(
        "resize, small qcow2",
        "small.qcow2",
        &["resize", "-q", "@", "+1G"],
        30,
        0.5,
    ),
    change(
        "amend, small qcow2",
        "small.qcow2",
        &["amend", "-o", "lazy_refcounts=on", "@"],
        30,
        0.5,
    ),
    change(
        "bitmap --add, small qcow2",
        "small.qcow2",
        &["bitmap", "--add", "@", "new"],
        30,
        0.5,
    ),
];
