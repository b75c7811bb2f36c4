//! Data that is moved as it is, between raw and qcow2.

use super::{Group, Row, row};
use crate::peers::{CLONING, PARALLEL, Peer, UNORDERED};
use crate::place::{FileSystem, Place};

/// A conversion that neither encodes nor decodes.
pub(super) const fn plain(
    name: &'static str,
    needs: &'static [&'static str],
    words: &'static [&'static str],
    runs: usize,
    peers: &'static [Peer],
) -> Row {
    Row {
        peers,
        plain: true,
        ..row(Group::Plain, name, needs, words, runs, 0.45)
    }
}

/// The disk as a raw file is the same bytes whatever was converted.
pub(super) const COPY: Peer = Peer::Copy("fs.raw");

const TO_RAW: &[&str] = &["convert", "-O", "raw", "@fs.qcow2", "@"];

/// Extents shared, not copied.
const fn shared(
    name: &'static str,
    file_system: FileSystem,
    sources: &'static [&'static str],
    words: &'static [&'static str],
    goal: f64,
) -> Row {
    Row {
        peers: &[CLONING],
        place: Place::On(file_system),
        conversion: false,
        ..row(Group::Plain, name, sources, words, 5, goal)
    }
}

/// The same from the raw disk on XFS.
const fn from_raw(name: &'static str, words: &'static [&'static str]) -> Row {
    shared(name, FileSystem::Xfs, &["fs.raw"], words, 0.05)
}

pub(super) const ROWS: &[Row] = &[
    plain(
        "qcow2 to raw",
        &["fs.qcow2"],
        TO_RAW,
        7,
        &[UNORDERED, PARALLEL, CLONING, Peer::Nbd("qcow2", "fs.qcow2"), COPY],
    ),
    plain(
        "qcow2 with 2 MiB clusters to raw",
        &["fs-2m.qcow2"],
        &["convert", "-O", "raw", "@fs-2m.qcow2", "@"],
        5,
        &[UNORDERED, PARALLEL, Peer::Nbd("qcow2", "fs-2m.qcow2"), COPY],
    ),
    plain(
        "raw to raw",
        &["fs.raw"],
        &["convert", "-f", "raw", "-O", "raw", "@fs.raw", "@"],
        7,
        &[Peer::Nbd("raw", "fs.raw"), COPY],
    ),
    plain(
        "raw to qcow2",
        &["fs.raw"],
        &["convert", "-f", "raw", "-O", "qcow2", "@fs.raw", "@"],
        9,
        &[COPY],
    ),
    plain(
        "qcow2 to qcow2",
        &["fs.qcow2"],
        &["convert", "-O", "qcow2", "@fs.qcow2", "@"],
        5,
        &[COPY],
    ),
    plain(
        "qcow2 fragmented at 64k to raw",
        &["fragments64k.qcow2"],
        &["convert", "-O", "raw", "@fragments64k.qcow2", "@"],
        7,
        &[
            UNORDERED,
            PARALLEL,
            Peer::Nbd("qcow2", "fragments64k.qcow2"),
            Peer::Copy("fragments64k.raw"),
        ],
    ),
    plain(
        "qcow2 fragmented at 4k to raw",
        &["fragments4k.qcow2"],
        &["convert", "-O", "raw", "@fragments4k.qcow2", "@"],
        5,
        &[
            UNORDERED,
            PARALLEL,
            Peer::Nbd("qcow2", "fragments4k.qcow2"),
            Peer::Copy("fragments4k.raw"),
        ],
    ),
    shared(
        "qcow2 to raw on XFS, extents shared",
        FileSystem::Xfs,
        &["fs.qcow2"],
        TO_RAW,
        0.03,
    ),
    shared(
        "qcow2 to raw on btrfs, extents shared",
        FileSystem::Btrfs,
        &["fs.qcow2"],
        TO_RAW,
        0.03,
    ),
    from_raw(
        "raw to qcow2 on XFS, extents shared",
        &["convert", "-f", "raw", "-O", "qcow2", "@fs.raw", "@"],
    ),
    from_raw(
        "raw to vhdx on XFS, extents shared",
        &["convert", "-f", "raw", "-O", "vhdx", "@fs.raw", "@"],
    ),
    from_raw(
        "raw to vdi on XFS, extents shared",
        &["convert", "-f", "raw", "-O", "vdi", "@fs.raw", "@"],
    ),
    from_raw(
        "raw to vmdk on XFS, extents shared",
        &["convert", "-f", "raw", "-O", "vmdk", "@fs.raw", "@"],
    ),
    shared(
        "qcow2 to qcow2 on XFS, extents shared",
        FileSystem::Xfs,
        &["fs.qcow2"],
        &["convert", "-O", "qcow2", "@fs.qcow2", "@"],
        0.05,
    ),
    row(
        Group::Plain,
        "dd bs=1M, qcow2",
        &["fs.qcow2"],
        &["dd", "bs=1M", "if=@fs.qcow2", "of=@"],
        3,
        0.15,
    ),
    row(
        Group::Plain,
        "dd bs=512, 64 MiB",
        &["64m.raw"],
        &["dd", "-f", "raw", "bs=512", "if=@64m.raw", "of=@"],
        3,
        0.01,
    ),
];
