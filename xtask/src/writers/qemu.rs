//! Other versions of qemu-img than the installed one, as writers.

use super::bench::Bench;
use super::{Image, Made};
use crate::run::output;

/// What each version is asked to write: a name, the format, and the options.
const VARIANTS: &[(&str, &str, &[&str])] = &[
    ("qcow2", "qcow2", &[]),
    ("qcow2, version 2", "qcow2", &["-o", "compat=0.10"]),
    ("qcow2, compressed", "qcow2", &["-c"]),
    ("qcow2, zstd", "qcow2", &["-c", "-o", "compression_type=zstd"]),
    (
        "qcow2, extended L2",
        "qcow2",
        &["-o", "extended_l2=on,cluster_size=128k"],
    ),
    ("qcow2, lazy refcounts", "qcow2", &["-o", "lazy_refcounts=on"]),
    (
        "qcow2, preallocated tables",
        "qcow2",
        &["-o", "preallocation=metadata"],
    ),
    ("qcow2, refcounts of one bit", "qcow2", &["-o", "refcount_bits=1"]),
    ("vmdk", "vmdk", &[]),
    ("vmdk, compat6", "vmdk", &["-o", "compat6"]),
    (
        "vmdk, streamOptimized",
        "vmdk",
        &["-o", "subformat=streamOptimized"],
    ),
    (
        "vmdk, twoGbMaxExtentSparse",
        "vmdk",
        &["-o", "subformat=twoGbMaxExtentSparse"],
    ),
    (
        "vmdk, monolithicFlat",
        "vmdk",
        &["-o", "subformat=monolithicFlat"],
    ),
    ("vpc, dynamic", "vpc", &[]),
    ("vpc, fixed", "vpc", &["-o", "subformat=fixed"]),
    ("vhdx", "vhdx", &[]),
    ("vhdx, fixed", "vhdx", &["-o", "subformat=fixed"]),
    ("vdi", "vdi", &[]),
    ("vdi, static", "vdi", &["-o", "static=on"]),
];

pub(super) fn make(bench: &Bench) -> Result<Vec<Made>, String> {
    let apt = bench.apt()?;
    ["bullseye", "bookworm", "sid"]
        .iter()
        .map(|suite| {
            let tree = apt.tree(suite, "qemu-utils", &[])?;
            let room = bench.room(&format!("qemu-{suite}"))?;
            let mut made = Made::new("qemu-img", &tree.version("qemu-utils"));
            for (number, (variant, format, options)) in VARIANTS.iter().enumerate() {
                for disk in ["odd", "empty"] {
                    let path = format!("{disk}-{number}.{format}");
                    let outcome = output(
                        tree.command(&room, "/usr/bin/qemu-img")
                            .args(["convert", "-f", "raw", "-O", format])
                            .args(*options)
                            .args([format!("/room/{disk}.raw"), format!("/room/{path}")]),
                    );
                    made.add(
                        outcome,
                        Image {
                            variant: format!("{variant}, {disk} disk"),
                            path: room.join(&path),
                            format,
                            truth: Some(room.join(format!("{disk}.raw"))),
                            deviation: None,
                        },
                    );
                }
            }
            Ok(made)
        })
        .collect()
}
