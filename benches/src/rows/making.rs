//! New images, and what they would take.

use super::{Group, Row, timed};

/// A row of one small run.
const fn small(
    name: &'static str,
    needs: &'static [&'static str],
    words: &'static [&'static str],
    runs: usize,
    goal: f64,
) -> Row {
    timed(Group::Making, name, needs, words, runs, goal)
}

pub(super) const ROWS: &[Row] = &[
    small(
        "create raw",
        &[],
        &["create", "-q", "-f", "raw", "@", "10G"],
        30,
        0.7,
    ),
    small(
        "create qcow2",
        &[],
        &["create", "-q", "-f", "qcow2", "@", "10G"],
        30,
        0.7,
    ),
    small(
        "create vmdk",
        &[],
        &["create", "-q", "-f", "vmdk", "@", "10G"],
        30,
        0.7,
    ),
    small(
        "create vpc",
        &[],
        &["create", "-q", "-f", "vpc", "@", "10G"],
        30,
        0.7,
    ),
    small(
        "create vhdx",
        &[],
        &["create", "-q", "-f", "vhdx", "@", "10G"],
        30,
        0.7,
    ),
    small(
        "create vdi",
        &[],
        &["create", "-q", "-f", "vdi", "@", "10G"],
        30,
        0.7,
    ),
    small(
        "create qcow2, 1 TiB, preallocation=metadata",
        &[],
        &[
            "create",
            "-q",
            "-f",
            "qcow2",
            "-o",
            "preallocation=metadata",
            "@",
            "1T",
        ],
        3,
        0.3,
    ),
    small(
        "measure, qcow2 fragmented at 64k",
        &["fragments64k.qcow2"],
        &["measure", "-O", "qcow2", "@fragments64k.qcow2"],
        20,
        0.5,
    ),
    small(
        "measure, qcow2 fragmented at 4k",
        &["fragments4k.qcow2"],
        &["measure", "-O", "qcow2", "@fragments4k.qcow2"],
        20,
        0.5,
    ),
];
