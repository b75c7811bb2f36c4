//! More data than memory.

use super::{Group, Row, row};
use crate::place::Place;

const fn confined(name: &'static str, needs: &'static [&'static str], words: &'static [&'static str]) -> Row {
    Row {
        place: Place::Confined,
        ..row(Group::Limits, name, needs, words, 3, 0.0)
    }
}

pub(super) const ROWS: &[Row] = &[
    confined(
        "in 600 MB: qcow2 without a hole to raw",
        &["full.qcow2"],
        &["convert", "-O", "raw", "@full.qcow2", "@"],
    ),
    confined(
        "in 600 MB: raw to qcow2",
        &["fs.raw"],
        &["convert", "-f", "raw", "-O", "qcow2", "@fs.raw", "@"],
    ),
    Row {
        runs: 1,
        large: true,
        ..confined(
            "in 600 MB: qcow2 of 20 GiB without a hole to raw",
            &["full20.qcow2"],
            &["convert", "-O", "raw", "@full20.qcow2", "@"],
        )
    },
];
