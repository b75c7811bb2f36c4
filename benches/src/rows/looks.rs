//! Looking at images.

use super::{Group, Row, timed};

/// A row that writes nothing.
const fn look(
    name: &'static str,
    needs: &'static [&'static str],
    words: &'static [&'static str],
    runs: usize,
    goal: f64,
) -> Row {
    timed(Group::Looks, name, needs, words, runs, goal)
}

pub(super) const ROWS: &[Row] = &[
    Row {
        kvm_goal: Some(0.7),
        ..look(
            "info, small qcow2",
            &["small.qcow2"],
            &["info", "@small.qcow2"],
            40,
            0.4,
        )
    },
    look(
        "map, 1 TiB, preallocation=metadata",
        &["tera-metadata.qcow2"],
        &["map", "--output=json", "@tera-metadata.qcow2"],
        5,
        0.3,
    ),
    look(
        "map, a million extents",
        &["million.qcow2"],
        &["map", "--output=json", "@million.qcow2"],
        5,
        0.3,
    ),
    look(
        "map, a chain of 200",
        &["chain-199.qcow2"],
        &["map", "--output=json", "@chain-199.qcow2"],
        5,
        0.3,
    ),
    look(
        "compare, 4 GiB, the same",
        &["fs.qcow2", "fs-again.qcow2"],
        &["compare", "@fs.qcow2", "@fs-again.qcow2"],
        5,
        0.6,
    ),
    look(
        "compare, qcow2 with compressed qcow2",
        &["fs.qcow2", "fs-zlib.qcow2"],
        &["compare", "@fs.qcow2", "@fs-zlib.qcow2"],
        3,
        0.6,
    ),
    look(
        "check, 4 TiB, preallocation=metadata",
        &["tera4-metadata.qcow2"],
        &["check", "@tera4-metadata.qcow2"],
        3,
        0.3,
    ),
    look(
        "check, a thousand snapshots",
        &["snapshots.qcow2"],
        &["check", "@snapshots.qcow2"],
        3,
        0.2,
    ),
    look(
        "check, a small qcow2",
        &["small.qcow2"],
        &["check", "@small.qcow2"],
        20,
        0.0,
    ),
];
