//! To and from what other products use.

use super::Row;
use super::plain::{COPY, plain};
use crate::peers::Peer;

pub(super) const ROWS: &[Row] = &[
    plain(
        "qcow2 to vmdk",
        &["fs.qcow2"],
        &["convert", "-O", "vmdk", "@fs.qcow2", "@"],
        3,
        &[COPY],
    ),
    plain(
        "qcow2 to vpc",
        &["fs.qcow2"],
        &["convert", "-O", "vpc", "@fs.qcow2", "@"],
        7,
        &[COPY],
    ),
    plain(
        "qcow2 to vhdx",
        &["fs.qcow2"],
        &["convert", "-O", "vhdx", "@fs.qcow2", "@"],
        7,
        &[COPY],
    ),
    plain(
        "qcow2 to vdi",
        &["fs.qcow2"],
        &["convert", "-O", "vdi", "@fs.qcow2", "@"],
        7,
        &[COPY],
    ),
    plain(
        "vmdk to raw",
        &["fs.vmdk"],
        &["convert", "-O", "raw", "@fs.vmdk", "@"],
        3,
        &[Peer::Nbd("vmdk", "fs.vmdk"), COPY],
    ),
    plain(
        "vpc to raw",
        &["fs.vpc"],
        &["convert", "-O", "raw", "@fs.vpc", "@"],
        3,
        &[Peer::Nbd("vpc", "fs.vpc"), COPY],
    ),
    plain(
        "vhdx to raw",
        &["fs.vhdx"],
        &["convert", "-O", "raw", "@fs.vhdx", "@"],
        7,
        &[Peer::Nbd("vhdx", "fs.vhdx"), COPY],
    ),
    plain(
        "vdi to raw",
        &["fs.vdi"],
        &["convert", "-O", "raw", "@fs.vdi", "@"],
        3,
        &[Peer::Nbd("vdi", "fs.vdi"), COPY],
    ),
];
