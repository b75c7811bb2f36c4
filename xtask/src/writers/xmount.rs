//! xmount: it shows a raw disk as an image of another format, by a file system of its own; what it shows is copied.

use std::path::Path;
use std::process::Command;

use super::apt::Tree;
use super::bench::Bench;
use super::{Image, Made};
use crate::run::output;

/// xmount's names of formats, with qemu-img's, and what its files end with.
const FORMATS: &[(&str, &str, &str)] = &[
    ("vdi", "vdi", "vdi"),
    ("vhd", "vpc", "vhd"),
    ("vmdk", "vmdk", "vmdk"),
    ("vmdks", "vmdk", "vmdk"),
];

pub(super) fn make(bench: &Bench) -> Result<Vec<Made>, String> {
    let tree = bench.apt()?.tree("sid", "xmount", &[])?;
    let room = bench.room("xmount")?;
    let mut made = Made::new("xmount", &tree.version("xmount"));
    for (theirs, format, end) in FORMATS {
        for disk in ["odd", "even", "empty"] {
            let place = format!("{disk}-{theirs}");
            let outcome = show(&tree, &room, disk, theirs, &place);
            made.add(
                outcome,
                Image {
                    variant: format!("{theirs}, {disk} disk"),
                    path: room.join(&place).join(format!("{disk}.{end}")),
                    format,
                    truth: Some(room.join(format!("{disk}.raw"))),
                    deviation: None,
                },
            );
        }
    }
    Ok(vec![made])
}

/// Mounts in the tree, copies all files, and goes away with its own table of mounts.
fn show(tree: &Tree, room: &Path, disk: &str, format: &str, place: &str) -> Result<String, String> {
    const SCRIPT: &str = "set -e; tree=$0; disk=$1; format=$2; place=$3; mkdir -p \"$place\" shown; \
        mount -t proc proc \"$tree/proc\"; mount --rbind /dev \"$tree/dev\"; mount --bind . \"$tree/room\"; \
        chroot \"$tree\" /usr/bin/xmount --in raw \"/room/$disk.raw\" --out \"$format\" /room/shown; \
        trap 'umount \"$tree/room/shown\"' EXIT; cp \"$tree/room/shown\"/* \"$place\"";
    output(
        Command::new("unshare")
            .current_dir(room)
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "timeout",
                "60",
                "sh",
                "-c",
                SCRIPT,
            ])
            .arg(tree.file(""))
            .args([disk, format, place]),
    )
}
