//! Runs the tests that a person names, and builds only what holds them.

use std::collections::BTreeSet;

use crate::run::{cargo, exists};
use crate::{Outcome, ci, workspace};

pub(crate) fn run(words: &[&str]) -> Outcome {
    if words.is_empty() {
        return Err("usage: cargo xtask test FILTER…".to_owned());
    }
    let packages = packages(words)?;
    if packages.is_empty() {
        return Err(format!(
            "no test is named {}; a filter is a part of a test's path, such as dd or formats::reads",
            words.join(" or ")
        ));
    }
    let mut command = cargo();
    let nextest = exists("cargo-nextest");
    if nextest {
        command.args(["nextest", "run", "--locked", "--no-fail-fast"]);
    } else {
        command.args(["test", "--locked", "--no-fail-fast", "--all-targets"]);
    }
    for package in &packages {
        command.args(["--package", package]);
    }
    // The other runner takes filters for the programs that it starts.
    if !nextest {
        command.arg("--");
    }
    ci::with_skips_shown(&format!("tests of {}", join(&packages)), command.args(words))
}

fn join(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

/// The crates that hold a test which one of `words` may mean: its source has the last part of the filter in it, in its text or its
/// name. A crate too many costs a build; the runner judges by whole names.
fn packages(words: &[&str]) -> Result<BTreeSet<String>, String> {
    let members = workspace::members()?;
    let mut found = BTreeSet::new();
    for file in workspace::files()?.iter().filter(|file| file.ends_with(".rs")) {
        let source = workspace::read(file)?;
        if !words.iter().any(|word| holds(file, &source, word)) {
            continue;
        }
        let member = members
            .iter()
            .filter(|(_, member)| file.starts_with(&format!("{}/", member.place)))
            .max_by_key(|(_, member)| member.place.len());
        found.extend(member.map(|(name, _)| name.clone()));
    }
    Ok(found)
}

/// Every part of the filter is in the name of the file or in a test that it defines.
fn holds(file: &str, source: &str, word: &str) -> bool {
    let defines = source.contains("#[test]") || source.contains("both_sandboxes!");
    let names: Vec<&str> = source
        .split("fn ")
        .skip(1)
        .chain(source.split("mod ").skip(1))
        .filter_map(|tail| tail.split(['(', ' ', ';', '<']).next())
        .collect();
    let made = ["kvm", "process"];
    defines
        && word.split("::").filter(|part| !part.is_empty()).all(|part| {
            file.trim_end_matches(".rs").contains(part)
                || names.iter().chain(&made).any(|name| name.contains(part))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_finds_the_file_the_module_and_the_test() {
        let source = "both_sandboxes!(copies_every_window);\n\nfn copies_every_window(bench: &Bench) {}\n";
        for word in [
            "dd",
            "dd::copies",
            "copies_every_window::kvm",
            "blackbox",
            "every_w",
        ] {
            assert!(holds("tests/tests/blackbox/dd.rs", source, word), "{word}");
        }
        for word in ["info", "dd::reads", "both_s"] {
            assert!(!holds("tests/tests/blackbox/dd.rs", source, word), "{word}");
        }
        assert!(!holds("ops/src/dd.rs", "fn dd() {}", "dd"));
    }
}
