//! A fleet of small images, two of which nobody can convert, and what `instar fleet` says of it.

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use instar_testkit::pattern::{MIB, seeded};
use serde::Deserialize;

use crate::Outcome;
use crate::apt::{make, write};
use crate::demo::name_backing_file;
use crate::run::{instar, output};

/// Tasks that may run at once: fewer than the nodes have processors.
pub(super) const AT_ONCE: usize = 3;
/// Each image becomes a disk of this size, at the rate below: a conversion takes seconds, so that it can be killed meanwhile.
const DISK: u64 = 5 * MIB;
const RATE: &str = "1M";

/// Images that can be converted: qemu-img's names of their formats, and options.
const SOUND: &[(&str, &[&str])] = &[
    ("qcow2", &[]),
    ("qcow2", &["-c"]),
    ("qcow", &[]),
    ("qed", &[]),
    ("vmdk", &[]),
    ("vmdk", &["-o", "subformat=streamOptimized"]),
    ("vdi", &[]),
    ("vhdx", &[]),
    ("vpc", &[]),
    ("parallels", &[]),
];

/// An image, and qemu-img's name of its format.
#[derive(Debug)]
pub(super) struct Source {
    path: PathBuf,
    format: &'static str,
    /// The cause that has to be given for not converting it; none: it is converted.
    pub(super) fault: Option<&'static str>,
}

#[derive(Debug)]
pub(super) struct Fleet {
    /// A directory with nothing but instar in it.
    pub(super) programs: PathBuf,
    pub(super) plan: PathBuf,
    pub(super) targets: PathBuf,
    sources: Vec<Source>,
}

/// What `fleet status` prints.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Status {
    pub(super) items: usize,
    pub(super) done: usize,
    pub(super) failed: usize,
    pub(super) list: Vec<Item>,
}

#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Item {
    pub(super) item: usize,
    pub(super) state: String,
    source: PathBuf,
    pub(super) target: PathBuf,
    pub(super) cause: Option<String>,
    pub(super) tries: Option<u64>,
    /// How long it took: another number if it was done again.
    milliseconds: Option<u64>,
}

impl Status {
    /// What it says of an item.
    pub(super) fn item(&self, number: usize) -> Option<&Item> {
        self.list.iter().find(|item| item.item == number)
    }
}

impl Fleet {
    /// Makes images and a plan in `room`.
    pub(super) fn prepare(room: &Path) -> Result<Self, String> {
        let [programs, images, targets] = ["programs", "images", "targets"].map(|name| room.join(name));
        for directory in [&programs, &images, &targets] {
            make(directory)?;
        }
        symlink(instar()?, programs.join("instar"))
            .map_err(|error| format!("{}: {error}", programs.display()))?;
        let mut fleet = Self {
            programs,
            plan: room.join("plan.jsonl"),
            targets,
            sources: Vec::new(),
        };
        for (number, (format, options)) in SOUND.iter().enumerate() {
            let disk = room.join("disk");
            write_disk(&disk, number as u64)?;
            let image = images.join(format!("{number}.{format}"));
            let mut convert = Command::new(fleet.programs.join("instar"));
            convert
                .args(["convert", "-f", "raw", "-O", format])
                .args(*options);
            output(convert.arg(&disk).arg(&image))?;
            fleet.add(image, format, None);
        }
        fleet.spoil(&images)?;
        let mut plan = fleet.command("plan");
        plan.args([
            "-O",
            "qcow2",
            "--rate",
            RATE,
            "--in-flight",
            &AT_ONCE.to_string(),
            "--to",
        ])
        .arg(&fleet.targets)
        .args(fleet.sources.iter().map(|source| &source.path));
        write(&fleet.plan, &output(&mut plan)?)?;
        Ok(fleet)
    }

    fn add(&mut self, path: PathBuf, format: &'static str, fault: Option<&'static str>) {
        self.sources.push(Source { path, format, fault });
    }

    /// Two more images: one wants a file of the host, of the other the second half is missing.
    fn spoil(&mut self, images: &Path) -> Outcome {
        let hostile = images.join("hostile.qcow2");
        name_backing_file(&images.join("0.qcow2"), &hostile, b"/etc/passwd")
            .map_err(|error| format!("{}: {error}", hostile.display()))?;
        self.add(hostile, "qcow2", Some("refused"));
        let cut = images.join("cut.vhdx");
        std::fs::copy(images.join("7.vhdx"), &cut)
            .and_then(|length| File::options().write(true).open(&cut)?.set_len(length / 2))
            .map_err(|error| format!("{}: {error}", cut.display()))?;
        self.add(cut, "vhdx", Some("image"));
        Ok(())
    }

    pub(super) fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(self.programs.join("instar"));
        command.args(["fleet", verb]);
        command
    }

    /// Runs a verb on the plan, whatever comes of it.
    pub(super) fn run(&self, verb: &str, words: &[&str]) -> Result<Output, String> {
        let mut command = self.command(verb);
        let output = command.args(words).arg(&self.plan).output();
        output.map_err(|error| format!("instar fleet {verb}: {error}"))
    }

    pub(super) fn status(&self) -> Result<Status, String> {
        let output = self.run("status", &["--output=json"])?;
        serde_json::from_slice(&output.stdout).map_err(|error| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("instar fleet status prints no status: {error}; {said}")
        })
    }

    pub(super) fn is_sound(&self, item: &Item) -> bool {
        self.source(item).is_ok_and(|source| source.fault.is_none())
    }

    pub(super) fn source(&self, item: &Item) -> Result<&Source, String> {
        self.sources
            .iter()
            .find(|source| source.path == item.source)
            .ok_or_else(|| {
                format!(
                    "item {} has a source that was not planned: {}",
                    item.item,
                    item.source.display()
                )
            })
    }

    /// Has qemu-img say whether a target holds the disk of its source.
    pub(super) fn compare(&self, item: &Item) -> Outcome {
        let source = self.source(item)?;
        let mut compare = Command::new("qemu-img");
        compare.args(["compare", "-f", source.format, "-F", "qcow2"]);
        output(compare.arg(&source.path).arg(&item.target))
            .map(drop)
            .map_err(|error| format!("item {}: {error}", item.item))
    }
}

/// Bytes that no compressor shortens, so that the rate counts.
fn write_disk(path: &Path, seed: u64) -> Outcome {
    std::fs::write(path, seeded(0, DISK, seed)).map_err(|error| format!("{}: {error}", path.display()))
}
