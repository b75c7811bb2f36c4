//! VirtualBox: `vbox-img` for the variants, `VBoxManage` for what needs its registry (snapshots, clones, exports).

use std::path::{Path, PathBuf};

use super::apt::Tree;
use super::bench::Bench;
use super::{Image, Made};
use crate::run::output;

/// Parts of VirtualBox that no image needs: the kernel's modules, the screen, Python.
const SUPPLIED: &[(&str, &str)] = &[
    ("virtualbox-modules", "9999"),
    ("libgl1", "9999"),
    ("systemd-standalone-sysusers", "9999"),
    ("iproute2", "9999"),
    ("procps", "9999"),
    ("python3", "3.14.1"),
    ("python3.14", "3.14.9"),
    ("python3-packaging", "99"),
    ("libsdl2-2.0-0", "9999"),
    ("libvncserver1", "9999"),
    ("libxt6t64", "9999"),
    ("debconf", "9999"),
];

const PROGRAMS: &str = "/usr/lib/virtualbox";

/// The formats of `vbox-img`, qemu-img's names for them, and the variants of each.
const FORMATS: &[(&str, &str, &[&str])] = &[
    ("VDI", "vdi", &["Standard", "Fixed"]),
    (
        "VMDK",
        "vmdk",
        &["Standard", "Fixed", "Split2G", "Split2G,Fixed", "Stream", "ESX"],
    ),
    ("VHD", "vpc", &["Standard", "Fixed"]),
];

pub(super) fn make(bench: &Bench) -> Result<Vec<Made>, String> {
    let tree = bench.apt()?.tree("sid", "virtualbox", SUPPLIED)?;
    let room = bench.room("virtualbox")?;
    let _ = std::fs::remove_dir_all(tree.file("tmp/.config"));
    let version = tree.version("virtualbox");
    let mut shop = Shop {
        bench,
        tree: &tree,
        room: &room,
        made: Made::new("VirtualBox (vbox-img)", &version),
    };
    shop.variants();
    let variants = std::mem::replace(&mut shop.made, Made::new("VirtualBox (VBoxManage)", &version));
    shop.managed();
    shop.clones();
    shop.children();
    shop.filled_children();
    shop.exports();
    Ok(vec![variants, shop.made])
}

struct Shop<'a> {
    bench: &'a Bench,
    tree: &'a Tree,
    room: &'a Path,
    made: Made,
}

impl Shop<'_> {
    /// Every format and variant, of every disk.
    fn variants(&mut self) {
        let disks = &self.bench.disks;
        let disks = [&disks.odd, &disks.even, &disks.empty, &disks.large].map(Clone::clone);
        for (format, theirs, variants) in FORMATS {
            for variant in *variants {
                for disk in &disks {
                    let name = stem(disk);
                    // A fixed image of the large disk is 2.3 GiB that show nothing new, but where it is split.
                    if name == "large" && variant.contains("Fixed") && !variant.contains("Split") {
                        continue;
                    }
                    let path = format!("{name}-{}.{}", variant.replace(',', "-"), format.to_lowercase());
                    let outcome = self.image_tool(&[
                        "convert",
                        "--srcfilename",
                        &format!("/room/{name}.raw"),
                        "--srcformat",
                        "RAW",
                        "--dstfilename",
                        &format!("/room/{path}"),
                        "--dstformat",
                        format,
                        "--variant",
                        variant,
                    ]);
                    self.add(
                        outcome,
                        &format!("{format} {variant}, {name} disk"),
                        &path,
                        theirs,
                        Some(disk),
                    );
                }
            }
        }
        for alignment in ["65536", "1048576"] {
            let path = format!("aligned-{alignment}.vdi");
            let outcome = self.image_tool(&[
                "createbase",
                "--filename",
                &format!("/room/{path}"),
                "--size",
                "8388608",
                "--format",
                "VDI",
                "--dataalignment",
                alignment,
            ]);
            let truth = self.bench.disks.empty.clone();
            self.add(
                outcome,
                &format!("VDI empty, data aligned to {alignment}"),
                &path,
                "vdi",
                Some(&truth),
            );
        }
    }

    /// Images that `VBoxManage` makes of a raw disk, and empty ones.
    fn managed(&mut self) {
        let (odd, empty) = (self.bench.disks.odd.clone(), self.bench.disks.empty.clone());
        for (format, theirs) in [("VDI", "vdi"), ("VMDK", "vmdk"), ("VHD", "vpc")] {
            let file = format.to_lowercase();
            let base = format!("base.{file}");
            let outcome = self.line(&format!(
                "convertfromraw /room/odd.raw /room/{base} --format {format}"
            ));
            self.add(
                outcome,
                &format!("convertfromraw, {format}"),
                &base,
                theirs,
                Some(&odd),
            );
            let made = format!("created.{file}");
            let outcome = self.line(&format!(
                "createmedium disk --filename /room/{made} --size 8 --format {format}"
            ));
            self.add(
                outcome,
                &format!("createmedium, {format}"),
                &made,
                theirs,
                Some(&empty),
            );
        }
    }

    /// Copies of those, and copies that were grown or compacted.
    fn clones(&mut self) {
        let odd = self.bench.disks.odd.clone();
        let clone = |source: &str, path: &str, words: &str| {
            format!("clonemedium disk /room/base.{source} /room/{path} --format {words}")
        };
        for (variant, file) in [("Stream", "stream"), ("Split2G", "split"), ("Fixed", "fixed")] {
            let path = format!("clone-{file}.vmdk");
            let outcome = self.line(&clone("vdi", &path, &format!("VMDK --variant {variant}")));
            self.add(
                outcome,
                &format!("clonemedium, VMDK {variant}"),
                &path,
                "vmdk",
                Some(&odd),
            );
        }
        for (format, theirs, file, change) in [
            ("VDI", "vdi", "grown.vdi", "--resize 2000"),
            ("VHD", "vpc", "grown.vhd", "--resize 2000"),
            ("VDI", "vdi", "compact.vdi", "--compact"),
        ] {
            let outcome = self
                .line(&clone("vmdk", file, format))
                .and_then(|_| self.line(&format!("modifymedium disk /room/{file} {change}")));
            self.add(
                outcome,
                &format!("modifymedium {change}, {format}"),
                file,
                theirs,
                Some(&odd),
            );
        }
    }

    /// Snapshots: an empty child of a base that holds data. What VirtualBox reads in it is the base's disk.
    fn children(&mut self) {
        let odd = self.bench.disks.odd.clone();
        for (format, theirs) in [("VDI", "vdi"), ("VMDK", "vmdk"), ("VHD", "vpc")] {
            let file = format.to_lowercase();
            let path = format!("child.{file}");
            let outcome = self.line(&format!(
                "createmedium disk --diffparent /room/base.{file} --filename /room/{path} --format {format}"
            ));
            self.add(
                outcome,
                &format!("an empty child of a base, {format}"),
                &path,
                theirs,
                Some(&odd),
            );
        }
    }

    /// A child that holds a disk of its own above its base, and one above that.
    fn filled_children(&mut self) {
        let even = self.bench.disks.even.clone();
        for (format, theirs) in [("VMDK", "vmdk"), ("VHD", "vpc")] {
            let file = format.to_lowercase();
            let lines = [
                format!("convertfromraw /room/even.raw /room/other.{file} --format {format}"),
                format!("createmedium disk --filename /room/under.{file} --size 10 --format {format}"),
                format!(
                    "createmedium disk --diffparent /room/under.{file} --filename /room/full.{file} --format {format}"
                ),
                format!("clonemedium disk /room/other.{file} /room/full.{file} --existing"),
                format!(
                    "createmedium disk --diffparent /room/full.{file} --filename /room/top.{file} --format {format}"
                ),
            ];
            let outcome = lines.iter().try_fold(String::new(), |_, line| self.line(line));
            for (name, what) in [
                ("full", "a child with data"),
                ("top", "an empty child of a child with data"),
            ] {
                let path = format!("{name}.{file}");
                self.add(
                    outcome.clone(),
                    &format!("{what}, {format}"),
                    &path,
                    theirs,
                    Some(&even),
                );
            }
        }
    }

    /// Appliances: the disk of a machine as `VBoxManage export` packs it.
    fn exports(&mut self) {
        let machine = [
            "createvm --name corpus --register --basefolder /room/machines",
            "storagectl corpus --name sata --add sata",
            "storageattach corpus --storagectl sata --port 0 --type hdd --medium /room/base.vdi",
        ];
        let ready = machine.iter().try_for_each(|line| self.line(line).map(drop));
        let odd = self.bench.disks.odd.clone();
        for kind in ["ovf09", "ovf10", "ovf20"] {
            let archive = format!("{kind}.ova");
            let outcome = ready
                .clone()
                .and_then(|()| self.line(&format!("export corpus --output /room/{archive} --{kind}")));
            let directory = self.room.join(kind);
            let outcome = outcome.and_then(|_| {
                std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
                output(
                    std::process::Command::new("tar")
                        .arg("-xf")
                        .arg(self.room.join(&archive))
                        .arg("-C")
                        .arg(&directory),
                )
            });
            let path = format!("{kind}/corpus-disk001.vmdk");
            self.add(
                outcome,
                &format!("export --{kind}: the disk in the OVA"),
                &path,
                "vmdk",
                Some(&odd),
            );
        }
    }

    fn image_tool(&self, words: &[&str]) -> Result<String, String> {
        output(
            self.tree
                .command(self.room, &format!("{PROGRAMS}/vbox-img"))
                .args(words),
        )
    }

    /// Runs `VBoxManage` with the words of a line.
    fn line(&self, line: &str) -> Result<String, String> {
        output(
            self.tree
                .command(self.room, &format!("{PROGRAMS}/VBoxManage"))
                .arg("-q")
                .args(line.split_whitespace()),
        )
    }

    fn add(
        &mut self,
        outcome: Result<String, String>,
        variant: &str,
        path: &str,
        format: &'static str,
        truth: Option<&PathBuf>,
    ) {
        self.made.add(
            outcome,
            Image {
                variant: variant.to_owned(),
                path: self.room.join(path),
                format,
                truth: truth.cloned(),
                deviation: Some(if format == "vpc" {
                    "vhd-differencing"
                } else {
                    "vmdk-unnamed-parent"
                })
                .filter(|_| variant.contains("child of") || variant.contains("a child")),
            },
        );
    }
}

fn stem(path: &Path) -> String {
    path.file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
