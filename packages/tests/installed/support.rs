//! What several files need.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use instar_packages::date::Epoch;
use instar_packages::linked::{self, Linked};
use instar_packages::tree::Tree;
use instar_packages::{contents, program, root};
use instar_testkit::ledger;
use instar_tests::instar_path;
use tempfile::TempDir;

pub(crate) const EPOCH: Epoch = Epoch(1_700_000_000);

/// Where a program is; a skip is written down where it is not installed.
pub(crate) fn installed(name: &str, what: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let found = std::env::split_paths(&path)
        .chain(["/sbin".into(), "/usr/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|place| place.is_file());
    if found.is_none() {
        ledger::skip(&format!("{name} is not installed: {what}"));
    }
    found
}

/// What a program prints. It must succeed and complain of nothing.
pub(crate) fn quiet(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complaint.is_empty(),
        "{command:?}: {}: {complaint}",
        output.status
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The verbs, as the program lists them.
pub(crate) fn verbs() -> Vec<String> {
    let page = quiet(Command::new(instar_path()).arg("--help"));
    let commands = page
        .split_once("Commands:\n")
        .unwrap()
        .1
        .split_once("\n\n")
        .unwrap()
        .0;
    commands
        .lines()
        .map(|line| line.split_whitespace().next().unwrap().to_owned())
        .collect()
}

/// The options that `--help` shows for a verb, by their long names.
pub(crate) fn options(verb: &str) -> Vec<String> {
    let page = quiet(Command::new(instar_path()).args([verb, "--help"]));
    page.lines()
        .filter(|line| line.starts_with("  -") || line.starts_with("      --"))
        .map(|line| {
            let word = line
                .split_whitespace()
                .find(|word| word.starts_with("--"))
                .unwrap();
            word.split(['[', '=']).next().unwrap().to_owned()
        })
        .collect()
}

/// The contents of a package.
pub(crate) fn packed(directory: &TempDir) -> (Tree, Vec<Linked>) {
    let crates = linked::crates(root()).unwrap();
    let program = program::finished(instar_path(), &crates, directory.path()).unwrap();
    let tree = contents::tree(root(), program, &crates, EPOCH).unwrap();
    (tree, crates)
}

/// Runs a program in another root, without being root.
pub(crate) fn run_in(place: &Path, words: &[&str]) -> Option<String> {
    let user = ["--user", "--map-root-user"];
    if !Command::new("unshare")
        .args(user)
        .arg("true")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        ledger::skip("no user namespaces here: the packaged program is not started in a root of its own");
        return None;
    }
    Some(quiet(
        Command::new("unshare")
            .args(user)
            .arg("chroot")
            .arg(place)
            .args(words),
    ))
}

/// What a shell offers at the end of each line, sorted; nothing where it is not installed.
pub(crate) type Offers = fn(&[String]) -> Option<Vec<Vec<String>>>;

/// The offers for several lines: words on lines of their own, `END` after those for each line.
pub(crate) fn blocks(text: &str, word: fn(&str) -> &str) -> Vec<Vec<String>> {
    let sorted = |block: &str| {
        let words = block.lines().filter(|line| !line.is_empty());
        let words: BTreeSet<String> = words.map(|line| word(line).to_owned()).collect();
        words.into_iter().collect()
    };
    let mut blocks: Vec<Vec<String>> = text.split("END\n").map(sorted).collect();
    blocks.pop();
    blocks
}

/// Every verb is offered, and every option of each.
pub(crate) fn completes_all(offers: Offers) {
    let verbs = verbs();
    let lines: Vec<String> = [String::from("instar ")]
        .into_iter()
        .chain(verbs.iter().map(|verb| format!("instar {verb} --")))
        .collect();
    let Some(offers) = offers(&lines) else { return };
    for verb in &verbs {
        assert!(offers[0].contains(verb), "{verb}: {:?}", offers[0]);
    }
    for (verb, offers) in verbs.iter().zip(&offers[1..]) {
        for option in options(verb) {
            let found = offers.iter().any(|offer| offer.trim_end_matches('=') == option);
            assert!(found, "{verb}: {option} is not in {offers:?}");
        }
    }
}

/// At the end of each of these lines, these words are offered and no others.
pub(crate) fn completes(offers: Offers, expected: &[(&str, &[&str])]) {
    let lines: Vec<String> = expected.iter().map(|(line, _)| (*line).to_owned()).collect();
    let Some(offers) = offers(&lines) else { return };
    for ((line, expected), offers) in expected.iter().zip(offers) {
        assert_eq!(offers, *expected, "{line}");
    }
}
