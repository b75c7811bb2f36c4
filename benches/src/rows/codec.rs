//! Data that is decoded or encoded.

use super::{Group, Row, row};
use crate::peers::{PARALLEL, Peer, UNORDERED};

const fn codec(
    name: &'static str,
    needs: &'static [&'static str],
    words: &'static [&'static str],
    runs: usize,
    goal: f64,
    peers: &'static [Peer],
) -> Row {
    Row {
        peers,
        ..row(Group::Codec, name, needs, words, runs, goal)
    }
}

pub(super) const ROWS: &[Row] = &[
    codec(
        "zlib qcow2 to raw",
        &["fs-zlib.qcow2"],
        &["convert", "-O", "raw", "@fs-zlib.qcow2", "@"],
        5,
        0.27,
        &[UNORDERED, PARALLEL, Peer::Nbd("qcow2", "fs-zlib.qcow2")],
    ),
    codec(
        "zstd qcow2 to raw",
        &["fs-zstd.qcow2"],
        &["convert", "-O", "raw", "@fs-zstd.qcow2", "@"],
        5,
        0.27,
        &[UNORDERED, PARALLEL, Peer::Nbd("qcow2", "fs-zstd.qcow2")],
    ),
    codec(
        "streamOptimized vmdk to raw",
        &["fs-stream.vmdk"],
        &["convert", "-O", "raw", "@fs-stream.vmdk", "@"],
        3,
        0.27,
        &[UNORDERED, PARALLEL, Peer::Nbd("vmdk", "fs-stream.vmdk")],
    ),
    codec(
        "raw to zlib qcow2 (-c)",
        &["fs.raw"],
        &["convert", "-c", "-f", "raw", "-O", "qcow2", "@fs.raw", "@"],
        3,
        0.18,
        &[UNORDERED, PARALLEL],
    ),
    codec(
        "raw to zstd qcow2 (-c)",
        &["fs.raw"],
        &[
            "convert",
            "-c",
            "-o",
            "compression_type=zstd",
            "-f",
            "raw",
            "-O",
            "qcow2",
            "@fs.raw",
            "@",
        ],
        3,
        0.4,
        &[UNORDERED, PARALLEL],
    ),
    codec(
        "qcow2 to streamOptimized vmdk",
        &["fs.qcow2"],
        &[
            "convert",
            "-O",
            "vmdk",
            "-o",
            "subformat=streamOptimized",
            "@fs.qcow2",
            "@",
        ],
        3,
        0.25,
        &[],
    ),
];
