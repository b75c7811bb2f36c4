//! The recorded output of each release of qemu-img, so that instar can be compared with releases that cannot be started here.
//!
//! ```text
//!  cases: the rows of dd, and every looking verb over the variants ─► qemu-img of a release ─► tests/baselines/SERIES/*.txt
//!                                                                  └► instar as that release, compared with these files
//! ```
//!
//! `cargo xtask baselines` records them again. A baseline comes from the release itself, never from instar; a release that can
//! be started must still print what was recorded.

mod cases;
mod shown;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use instar_tests::reference::{PROFILES, VARIABLE};
use instar_tests::{Bench, Outcome, Reference, Sandbox, both_sandboxes, ledger};

use cases::{Case, Group};

/// Set by `cargo xtask baselines`: what the releases say is written down instead of compared.
const RECORD: &str = "INSTAR_BASELINES";

fn place(series: &str, group: Group) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/baselines"))
        .join(series)
        .join(format!("{}.txt", group.name()))
}

/// The blocks of a file by their head lines.
fn blocks(text: &str) -> BTreeMap<&str, &str> {
    text.split("\n\n").filter_map(|block| block.trim_matches('\n').split_once('\n')).collect()
}

fn recorded(series: &str, group: Group) -> String {
    let path = place(series, group);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every case that is not as recorded, line by line.
fn differences(recorded: &str, found: &[(String, String)], who: &str) -> Vec<String> {
    let blocks = blocks(recorded);
    let mut differences = Vec::new();
    for (head, body) in found {
        let body = body.trim_end_matches('\n');
        match blocks.get(head.as_str()) {
            None => differences.push(format!("{head}\n  is not recorded")),
            Some(known) if *known == body => {}
            Some(known) => differences.push(format!("{head}\n{}", shown::difference(known, body, who))),
        }
    }
    differences
}

/// Runs all cases of a group as each of `releases` and compares: `run` starts the program for a case.
fn compare(group: Group, releases: &[&str], sandbox: Sandbox, who: &str, run: cases::Run<'_>) {
    let mut wrong = Vec::new();
    for (series, found) in releases.iter().zip(group.run(sandbox, releases, run)) {
        let differences = differences(&recorded(series, group), &found, who);
        if differences.is_empty() {
            for _ in &found {
                ledger::compared(&format!("{} of the baselines", group.name()), series);
            }
        } else {
            wrong.push(format!(
                "{} of {} outputs of {who} are not those recorded of qemu-img {series}:\n{}",
                differences.len(),
                found.len(),
                differences.join("\n")
            ));
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nIf the change is meant, and qemu-img's: cargo xtask baselines",
        wrong.join("\n")
    );
}

fn ours(bench: &Bench, series: &str, case: &Case) -> Outcome {
    Outcome::of(bench.command(&case.words).env(VARIABLE, series))
}

fn theirs(bench: &Bench, series: &str, case: &Case) -> Outcome {
    let reference = Reference::of(series).unwrap();
    Outcome::of(
        reference.program("qemu-img").current_dir(bench.directory()).env("LC_ALL", "C").args(&case.words),
    )
}

/// Writes down what each release says that can be started, or compares it with what was written down.
fn ask(group: Group) {
    let (there, missing): (Vec<&str>, Vec<&str>) =
        PROFILES.iter().partition(|series| Reference::of(series).is_some());
    for series in missing {
        ledger::skip(&format!(
            "qemu-img {series} cannot be started, so it was not asked for its baselines again"
        ));
    }
    if std::env::var_os(RECORD).is_none() {
        return compare(group, &there, Sandbox::Process, "qemu-img of today", &theirs);
    }
    for (series, found) in there.iter().zip(group.run(Sandbox::Process, &there, &theirs)) {
        let path = place(series, group);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let blocks: Vec<String> = found
            .into_iter()
            .map(|(head, body)| format!("{head}\n{}\n", body.trim_end_matches('\n')))
            .collect();
        fs::write(&path, blocks.join("\n")).unwrap();
        let version = &Reference::of(series).unwrap().version;
        fs::write(path.with_file_name("reference"), format!("qemu-img {version}\n")).unwrap();
    }
}

#[test]
fn the_releases_still_copy_windows_as_recorded() {
    ask(Group::Dd);
}

#[test]
fn the_releases_still_describe_images_as_recorded() {
    ask(Group::Looking);
}

both_sandboxes!(instar_copies_windows_as_each_release_did, instar_describes_images_as_each_release_did,);

fn instar_copies_windows_as_each_release_did(bench: &Bench) {
    compare(Group::Dd, &PROFILES, bench.sandbox(), "instar", &ours);
}

/// How a description is worded does not depend on the sandbox, so that one release is enough in the slower one.
fn instar_describes_images_as_each_release_did(bench: &Bench) {
    let releases = if bench.sandbox() == Sandbox::Kvm {
        &PROFILES[1..2]
    } else {
        &PROFILES[..]
    };
    compare(Group::Looking, releases, bench.sandbox(), "instar", &ours);
}

#[test]
fn every_release_has_baselines_of_its_own() {
    for group in [Group::Dd, Group::Looking] {
        let texts = PROFILES.map(|series| recorded(series, group));
        for text in &texts {
            assert!(blocks(text).len() >= 100, "{group:?} has few cases");
        }
        assert!(texts[0] != texts[1], "7.2 and 10.0 say the same about {group:?}");
    }
}
