//! Sources that are not in memory.

use super::{Group, Row, row};
use crate::peers::{PARALLEL, Peer, UNORDERED};
use crate::place::Place;

const fn cold(
    name: &'static str,
    place: Place,
    needs: &'static [&'static str],
    words: &'static [&'static str],
    peers: &'static [Peer],
) -> Row {
    Row {
        peers,
        place,
        // The device's moods are in these figures.
        conversion: false,
        ..row(Group::Cold, name, needs, words, 5, 0.0)
    }
}

pub(super) const ROWS: &[Row] = &[
    cold(
        "cold: qcow2 to raw",
        Place::Cold,
        &["fs.qcow2"],
        &["convert", "-O", "raw", "@fs.qcow2", "@"],
        &[
            UNORDERED,
            PARALLEL,
            Peer::Nbd("qcow2", "fs.qcow2"),
            Peer::Copy("fs.raw"),
        ],
    ),
    cold(
        "cold: raw to raw",
        Place::Cold,
        &["fs.raw"],
        &["convert", "-f", "raw", "-O", "raw", "@fs.raw", "@"],
        &[Peer::Nbd("raw", "fs.raw"), Peer::Copy("fs.raw")],
    ),
    cold(
        "cold: qcow2 fragmented at 64k to raw",
        Place::Cold,
        &["fragments64k.qcow2"],
        &["convert", "-O", "raw", "@fragments64k.qcow2", "@"],
        &[
            UNORDERED,
            PARALLEL,
            Peer::Nbd("qcow2", "fragments64k.qcow2"),
            Peer::Copy("fragments64k.raw"),
        ],
    ),
    cold(
        "cold: raw to qcow2",
        Place::Cold,
        &["fs.raw"],
        &["convert", "-f", "raw", "-O", "qcow2", "@fs.raw", "@"],
        &[Peer::Copy("fs.raw")],
    ),
    cold(
        "loop device past the page cache: qcow2 fragmented at 64k to raw",
        Place::Direct,
        &["fragments64k.qcow2"],
        &["convert", "-O", "raw", "@fragments64k.qcow2", "@"],
        &[UNORDERED, PARALLEL, Peer::Nbd("qcow2", "fragments64k.qcow2")],
    ),
    Row {
        runs: 3,
        ..cold(
            "device of 200 MB/s: qcow2 to raw",
            Place::Throttled,
            &["fs.qcow2"],
            &["convert", "-O", "raw", "@fs.qcow2", "@"],
            &[UNORDERED, PARALLEL],
        )
    },
    Row {
        runs: 3,
        ..cold(
            "device of 200 MB/s: zlib qcow2 to raw",
            Place::Throttled,
            &["fs-zlib.qcow2"],
            &["convert", "-O", "raw", "@fs-zlib.qcow2", "@"],
            &[UNORDERED, PARALLEL],
        )
    },
];
