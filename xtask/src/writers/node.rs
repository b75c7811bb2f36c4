//! Xen Orchestra's packages: the qcow2 and the VHD of its backups, and the VHD that it makes of an OVA's VMDK.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::bench::Bench;
use super::{Image, Made};
use crate::run::output;

const SCRIPT: &str = include_str!("scripts/xen-orchestra.mjs");

const QCOW2: &str = "1.3.1";
const DISKS: &str = "1.3.3";
const VHD: &str = "4.15.0";
const VMDK: &str = "0.1.8";

pub(super) fn make(bench: &Bench) -> Result<Vec<Made>, String> {
    let home = fetch(&bench.home.join("node"))?;
    let room = bench.room("node")?;
    let node = |kind: &str, source: &str, target: &str| {
        output(
            Command::new("node")
                .current_dir(&home)
                .args(["xen-orchestra.mjs", kind])
                .args([room.join(source), room.join(target)]),
        )
    };
    let image = |variant: String, path: &str, format: &'static str, truth: &str| Image {
        variant,
        path: room.join(path),
        format,
        truth: Some(room.join(truth)),
        deviation: None,
    };
    let mut qcow2 = Made::new("@xen-orchestra/qcow2", QCOW2);
    let mut vhd = Made::new("vhd-lib", VHD);
    for disk in ["odd", "even", "empty"] {
        let raw = format!("{disk}.raw");
        for kind in [
            "qcow2-65536",
            "qcow2-65536-sparse",
            "qcow2-2097152",
            "qcow2-4096-sparse",
        ] {
            let path = format!("{disk}-{kind}.qcow2");
            let outcome = node(kind, &raw, &path);
            qcow2.add(
                outcome,
                image(format!("{kind}, {disk} disk"), &path, "qcow2", &raw),
            );
        }
        for kind in ["vhd-2097152", "vhd-2097152-sparse"] {
            let path = format!("{disk}-{kind}.vhd");
            let outcome = node(kind, &raw, &path);
            vhd.add(outcome, image(format!("{kind}, {disk} disk"), &path, "vpc", &raw));
        }
    }
    let mut import = Made::new("xo-vmdk-to-vhd", VMDK);
    for disk in ["odd", "even", "large"] {
        let raw = format!("{disk}.raw");
        let (stream, path) = (format!("{disk}-stream.vmdk"), format!("{disk}-import.vhd"));
        let words = [
            "convert",
            "-f",
            "raw",
            "-O",
            "vmdk",
            "-o",
            "subformat=streamOptimized",
            &raw,
            &stream,
        ];
        let outcome = bench
            .stock(&words, &room)
            .and_then(|_| node("vmdk", &stream, &path));
        import.add(
            outcome,
            image(format!("VHD out of a VMDK, {disk} disk"), &path, "vpc", &raw),
        );
    }
    Ok(vec![qcow2, vhd, import])
}

/// Installs the packages. Not every registry has all that vhd-lib lists; its writer needs none of those, so its files
/// are laid beside an older version's dependencies.
fn fetch(home: &Path) -> Result<PathBuf, String> {
    let fail = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(home).map_err(fail)?;
    std::fs::write(home.join("xen-orchestra.mjs"), SCRIPT).map_err(fail)?;
    if home.join("fetched").exists() {
        return Ok(home.to_owned());
    }
    std::fs::write(home.join("package.json"), "{\"private\": true}\n").map_err(fail)?;
    let npm = || {
        let mut command = Command::new("npm");
        command.current_dir(home);
        command
    };
    output(
        npm()
            .args([
                "install",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--silent",
            ])
            .args([
                format!("@xen-orchestra/qcow2@{QCOW2}"),
                format!("@xen-orchestra/disk-transform@{DISKS}"),
                format!("xo-vmdk-to-vhd@{VMDK}"),
            ]),
    )?;
    output(npm().args(["pack", "--silent", &format!("vhd-lib@{VHD}")]))?;
    let place = home.join("node_modules/vhd-lib-writer");
    std::fs::create_dir_all(&place).map_err(fail)?;
    output(
        Command::new("tar")
            .current_dir(home)
            .args([
                "-xzf",
                &format!("vhd-lib-{VHD}.tgz"),
                "--strip-components=1",
                "-C",
            ])
            .arg(&place),
    )?;
    std::fs::write(home.join("fetched"), "").map_err(fail)?;
    Ok(home.to_owned())
}
