//! Releases of qemu-img to compare with, each started through its own loader; nothing is installed on the system.
//!
//! ```text
//!  the machine's own apt configuration ─► which archive, which distribution
//!    └─ apt: lists, cache and an empty record of installed packages, all of our own ─► packages of a suite, with their libraries
//!         └─ dpkg -x ─► target/references/SERIES/root ─► target/references/SERIES/bin/qemu-img
//! ```

mod launcher;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::{Apt, Archive, IMPATIENT, Machine, remove};
use crate::run::output;
use crate::{Outcome, workspace};

/// What is wanted of each suite.
const PACKAGE: &str = "qemu-utils";

/// What the machine's distribution offers: the names of suites, and the suite that completes each where it is only an addition.
const SUITES: &[(&str, &[Suite])] = &[
    (
        "debian",
        &[
            Suite::whole("bookworm"),
            Suite::whole("trixie"),
            Suite::added("trixie-backports", "trixie"),
        ],
    ),
    ("ubuntu", &[Suite::whole("jammy"), Suite::whole("noble")]),
];

/// Programs of the package that tests start.
const PROGRAMS: [&str; 3] = ["qemu-img", "qemu-io", "qemu-nbd"];

/// One suite of an archive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Suite {
    name: &'static str,
    beside: Option<&'static str>,
}

impl Suite {
    const fn whole(name: &'static str) -> Self {
        Self { name, beside: None }
    }

    const fn added(name: &'static str, beside: &'static str) -> Self {
        Self {
            name,
            beside: Some(beside),
        }
    }
}

/// A release that can be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// `10.0`, which is the name of its directory, too.
    pub(crate) series: String,
    /// `10.0.13`.
    pub(crate) version: String,
    /// The rest of the line that `--version` prints.
    pub(crate) package: String,
    /// Where its programs are.
    pub(crate) bin: PathBuf,
}

/// Where references are kept.
pub(crate) fn place() -> PathBuf {
    workspace::root().join("target/references")
}

/// Fetches what is not there yet, then shows what there is.
pub(crate) fn run(words: &[&str]) -> Outcome {
    let again = match words {
        [] => false,
        ["--again"] => true,
        _ => return Err("usage: cargo xtask references [--again]".to_owned()),
    };
    match Machine::look() {
        Ok(machine) => fetch_missing(&machine, again),
        Err(why) => println!("cannot fetch a reference on this machine: {why}"),
    }
    let table = table(&found()?);
    print!("{table}");
    let place = place();
    std::fs::create_dir_all(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    let path = place.join("table.md");
    std::fs::write(&path, table).map_err(|error| format!("{}: {error}", path.display()))
}

/// What could not be fetched is said and left out: the tests do without it.
fn fetch_missing(machine: &Machine, again: bool) {
    let suites = SUITES
        .iter()
        .find(|(distribution, _)| *distribution == machine.distribution)
        .map_or(&[][..], |(_, suites)| suites);
    if suites.is_empty() {
        println!("instar's tools know no suites of {}", machine.distribution);
    }
    for suite in suites {
        let mark = place().join(format!("suite-{}", suite.name));
        let there = std::fs::read_to_string(&mark)
            .is_ok_and(|series| place().join(series.trim()).join("bin/qemu-img").exists());
        if there && !again {
            continue;
        }
        match machine
            .archives
            .iter()
            .find_map(|archive| attempt(archive, *suite))
        {
            Some(reference) => {
                if let Err(error) = std::fs::write(&mark, format!("{}\n", reference.series)) {
                    println!("{}: {error}", mark.display());
                }
            }
            None => println!("{}: could not fetch a qemu-img to compare with", suite.name),
        }
    }
}

fn attempt(archive: &Archive, suite: Suite) -> Option<Reference> {
    println!("fetching qemu-utils of {} to compare with", suite.name);
    match fetch(archive, suite) {
        Ok(reference) => Some(reference),
        Err(error) => {
            println!("{}: {error}", suite.name);
            None
        }
    }
}

fn fetch(archive: &Archive, suite: Suite) -> Result<Reference, String> {
    let new = place().join(format!("new-{}", suite.name));
    remove(&new)?;
    let root = new.join("root");
    std::fs::create_dir_all(&root).map_err(|error| format!("{}: {error}", root.display()))?;
    for package in download(archive, suite, &new.join("apt"))? {
        output(Command::new("dpkg").arg("-x").args([&package, &root]))?;
    }
    remove(&new.join("apt"))?;
    launcher::write(&new)?;
    let series = look(&new)?.series;
    let kept = place().join(&series);
    remove(&kept)?;
    std::fs::rename(&new, &kept).map_err(|error| format!("{}: {error}", kept.display()))?;
    // Launchers name the loader by its whole path.
    launcher::write(&kept)?;
    look(&kept)
}

/// The package of `suite` and all that it depends on, each once.
fn download(archive: &Archive, suite: Suite, directory: &Path) -> Result<Vec<PathBuf>, String> {
    let suites = [Some(suite.name), suite.beside].into_iter().flatten();
    let apt = Apt::at(directory, &archive.lines(suites, archive.components()), IMPATIENT)?;
    apt.update()?;
    apt.download(&[PACKAGE], suite.beside.map(|_| suite.name), &[])
}

/// The references that are there, oldest first.
pub(crate) fn found() -> Result<Vec<Reference>, String> {
    let Ok(entries) = std::fs::read_dir(place()) else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in entries {
        let directory = entry.map_err(|error| error.to_string())?.path();
        let name = directory.file_name().unwrap_or_default().to_string_lossy();
        if directory.join("root").is_dir() && !name.starts_with("new-") {
            // The tree may have been moved since.
            launcher::write(&directory)?;
            found.push(look(&directory)?);
        }
    }
    found.sort_by_key(|reference| number(&reference.series));
    Ok(found)
}

fn number(series: &str) -> Vec<u32> {
    series.split('.').filter_map(|part| part.parse().ok()).collect()
}

fn look(directory: &Path) -> Result<Reference, String> {
    let bin = directory.join("bin");
    let bin = bin
        .canonicalize()
        .map_err(|error| format!("{}: {error}", bin.display()))?;
    let line = output(Command::new(bin.join("qemu-img")).arg("--version"))?;
    let (version, package) =
        version(&line).ok_or_else(|| format!("qemu-img --version prints no version: {line}"))?;
    Ok(Reference {
        series: version.split('.').take(2).collect::<Vec<_>>().join("."),
        version,
        package,
        bin,
    })
}

/// `10.0.13` and what follows in brackets, of the first line that `qemu-img --version` prints.
pub(crate) fn version(line: &str) -> Option<(String, String)> {
    let rest = line.lines().next()?.strip_prefix("qemu-img version ")?;
    let (version, package) = rest.split_once(' ').unwrap_or((rest, ""));
    let package = package.trim_start_matches('(').trim_end_matches(')');
    version
        .starts_with(|first: char| first.is_ascii_digit())
        .then(|| (version.to_owned(), package.to_owned()))
}

/// What was fetched, as one table.
fn table(references: &[Reference]) -> String {
    let mut text = String::from("| series | qemu-img | package |\n| --- | --- | --- |\n");
    for Reference {
        series,
        version,
        package,
        ..
    } in references
    {
        text.push_str(&format!("| {series} | {version} | {package} |\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_first_line() {
        let line =
            "qemu-img version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022 and others\n";
        assert_eq!(
            version(line),
            Some(("7.2.22".into(), "Debian 1:7.2+dfsg-7+deb12u18+b3".into()))
        );
        assert_eq!(
            version("qemu-img version 9.2.0\n"),
            Some(("9.2.0".into(), String::new()))
        );
        assert_eq!(version("qemu-img version \n"), None);
        assert_eq!(version("something else"), None);
    }

    #[test]
    fn series_are_sorted_as_numbers() {
        assert!(number("7.2") < number("10.0"));
        assert!(number("10.0") < number("11.1"));
    }
}
