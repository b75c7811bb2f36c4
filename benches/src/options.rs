//! What was asked for.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::rows::{self, Group, Row};

const USAGE: &str = "usage: instar-benches [--quick] [--large] [--group NAME]... [--only WORD] [--runs N]
       [--against OTHER] [--list]";

/// The command line, and which programs are compared.
#[derive(Debug)]
pub(crate) struct Options {
    /// Smaller images, fewer runs.
    pub(crate) quick: bool,
    /// Rows that need a lot of room on the disk.
    large: bool,
    /// Print names only.
    pub(crate) list: bool,
    groups: Vec<Group>,
    only: Option<String>,
    runs: Option<usize>,
    /// Another binary of instar, to be compared with.
    pub(crate) against: Option<PathBuf>,
    pub(crate) qemu: PathBuf,
    /// Ours.
    pub(crate) instar: PathBuf,
    /// What ours runs in.
    pub(crate) sandboxes: Vec<&'static str>,
}

impl Options {
    /// Reads the command line, and ends the program where it makes no sense.
    pub(crate) fn parse() -> Self {
        let mut options = Self {
            quick: false,
            large: false,
            list: false,
            groups: Vec::new(),
            only: None,
            runs: None,
            against: None,
            qemu: "qemu-img".into(),
            instar: PathBuf::new(),
            sandboxes: vec!["process"],
        };
        let kvm = std::fs::File::options().read(true).write(true).open("/dev/kvm");
        if kvm.is_ok() {
            options.sandboxes.push("kvm");
        }
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => options.quick = true,
                "--large" => options.large = true,
                "--list" => options.list = true,
                "--only" => options.only = Some(value(&word, words.next())),
                "--group" => options.groups.push(group(&value(&word, words.next()))),
                "--against" => options.against = Some(program(&value(&word, words.next()))),
                "--runs" => options.runs = Some(count(&value(&word, words.next()))),
                _ => refuse(&format!("{word} is not an option")),
            }
        }
        options
    }

    /// Finds our program, and builds it unless `INSTAR_BIN` names one.
    pub(crate) fn find_instar(&mut self) {
        self.instar = std::env::var_os("INSTAR_BIN").map_or_else(build, Into::into);
    }

    /// The rows to measure.
    pub(crate) fn chosen(&self) -> Vec<&'static Row> {
        rows::all()
            .filter(|row| self.wants(row.group, row.name) && (self.large || !row.large))
            .collect()
    }

    /// Whether something of this group and name is to be measured.
    pub(crate) fn wants(&self, group: Group, name: &str) -> bool {
        let group = self.groups.is_empty() || self.groups.contains(&group);
        let name = self.only.as_ref().is_none_or(|word| name.contains(word.as_str()));
        group && name
    }

    /// Timed runs of each program, where the row asks for `usual`.
    pub(crate) fn runs(&self, usual: usize) -> usize {
        self.runs.unwrap_or(if self.quick { usual.min(3) } else { usual })
    }
}

fn value(option: &str, value: Option<String>) -> String {
    value.unwrap_or_else(|| refuse(&format!("{option} needs a value")))
}

fn program(path: &str) -> PathBuf {
    match Path::new(path) {
        program if program.is_file() => program.to_owned(),
        _ => refuse(&format!("--against {path}: there is no such file")),
    }
}

fn group(name: &str) -> Group {
    let names = Group::ALL.map(Group::name).join(", ");
    let found = Group::ALL.into_iter().find(|group| group.name() == name);
    found.unwrap_or_else(|| refuse(&format!("--group {name}: there are {names}")))
}

fn count(text: &str) -> usize {
    match text.parse() {
        Ok(count) if count > 0 => count,
        _ => refuse(&format!("--runs {text}: not a number above 0")),
    }
}

fn refuse(message: &str) -> ! {
    eprintln!("{message}\n{USAGE}");
    std::process::exit(2)
}

/// Builds the release binary.
fn build() -> PathBuf {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .current_dir(root)
        .args(["build", "--release", "--package", "instar"])
        .status()
        .unwrap();
    assert!(status.success(), "instar cannot be built");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join("x86_64-unknown-linux-gnu/release/instar")
}
