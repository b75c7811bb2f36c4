//! Small writers out of Debian's packages: open-vmdk, vmdkstream, DOSBox-X.

use std::process::Command;

use super::bench::Bench;
use super::{Image, Made};
use crate::run::output;

pub(super) fn open_vmdk(bench: &Bench) -> Result<Vec<Made>, String> {
    let supplied = [
        ("python3", "3.14.1"),
        ("python3-libxml2", "99"),
        ("python3-yaml", "99"),
        ("python3-lxml", "99"),
        ("debconf", "9999"),
    ];
    let tree = bench.apt()?.tree("sid", "open-vmdk", &supplied)?;
    let room = bench.room("open-vmdk")?;
    let mut made = Made::new("open-vmdk (vmdk-convert)", &tree.version("open-vmdk"));
    let options: &[(&str, &[&str])] = &[
        ("plain", &[]),
        ("-c 1 -n 1", &["-c", "1", "-n", "1"]),
        ("--noreorder", &["--noreorder"]),
        ("-s 4096 -t 12345", &["-s", "4096", "-t", "12345"]),
    ];
    for (number, (name, words)) in options.iter().enumerate() {
        for disk in ["odd", "even", "empty", "large"] {
            let path = format!("{disk}-{number}.vmdk");
            let outcome = output(
                tree.command(&room, "/usr/bin/vmdk-convert")
                    .args(*words)
                    .args([format!("/room/{disk}.raw"), format!("/room/{path}")]),
            );
            made.add(
                outcome,
                Image {
                    variant: format!("streamOptimized, {name}, {disk} disk"),
                    path: room.join(&path),
                    format: "vmdk",
                    truth: Some(room.join(format!("{disk}.raw"))),
                    deviation: None,
                },
            );
        }
    }
    Ok(vec![made])
}

/// The Python module of Debian, which vmdebootstrap and oz used.
pub(super) fn vmdkstream(bench: &Bench) -> Result<Vec<Made>, String> {
    let supplied = [("python3", "3.99"), ("debconf", "9999")];
    let tree = bench.apt()?.tree("trixie", "python3-vmdkstream", &supplied)?;
    let room = bench.room("vmdkstream")?;
    let mut made = Made::new("python3-vmdkstream", &tree.version("python3-vmdkstream"));
    for disk in ["odd", "even", "empty"] {
        let path = format!("{disk}.vmdk");
        let outcome = output(
            Command::new("python3")
                .current_dir(&room)
                .env("PYTHONPATH", tree.file("usr/lib/python3/dist-packages"))
                .args([
                    "-c",
                    "import sys, VMDKstream; VMDKstream.convert_to_stream(sys.argv[1], sys.argv[2])",
                ])
                .args([format!("{disk}.raw"), path.clone()]),
        );
        made.add(
            outcome,
            Image {
                variant: format!("streamOptimized, {disk} disk"),
                path: room.join(&path),
                format: "vmdk",
                truth: Some(room.join(format!("{disk}.raw"))),
                deviation: None,
            },
        );
    }
    Ok(vec![made])
}

/// DOSBox-X: `VHDMAKE` for dynamic and differencing disks, `IMGMAKE` for fixed ones, in its own shell.
pub(super) fn dosbox(bench: &Bench) -> Result<Vec<Made>, String> {
    let supplied = [
        ("libglx-mesa0", "9999"),
        ("libllvm22", "9999"),
        ("timgm6mb-soundfont", "9999"),
        ("debconf", "9999"),
    ];
    let tree = bench.apt()?.tree("sid", "dosbox-x", &supplied)?;
    let room = bench.room("dosbox-x")?;
    let mut made = Made::new("DOSBox-X", &tree.version("dosbox-x"));
    let cases = [
        (
            "VHDMAKE dynamic, 20 MiB",
            "dynamic.vhd",
            "vhdmake -f /room/dynamic.vhd 20M",
        ),
        (
            "VHDMAKE dynamic, 3 GiB",
            "large.vhd",
            "vhdmake -f /room/large.vhd 3G",
        ),
        (
            "VHDMAKE child of the dynamic one",
            "child.vhd",
            "vhdmake -l /room/dynamic.vhd /room/child.vhd",
        ),
        (
            "IMGMAKE fixed, FAT, 20 MiB",
            "fixed.vhd",
            "imgmake /room/fixed.vhd -t hd -size 20",
        ),
        (
            "IMGMAKE fixed, no file system",
            "plain.vhd",
            "imgmake /room/plain.vhd -t hd -size 20 -nofs",
        ),
    ];
    for (variant, path, line) in cases {
        let outcome = output(
            tree.command(&room, "/usr/bin/dosbox-x")
                .args(["-defaultconf", "-fastlaunch", "-nogui", "-nomenu", "-exit"])
                .args(["-c", "mount d /work", "-c", "d:", "-c", line, "-c", "exit"]),
        );
        made.add(
            outcome,
            Image {
                variant: variant.to_owned(),
                path: room.join(path),
                format: "vpc",
                truth: Some(bench.disks.empty.clone()).filter(|_| !path.starts_with("fixed")),
                deviation: Some("vhd-differencing").filter(|_| path.starts_with("child")),
            },
        );
    }
    Ok(vec![made])
}
