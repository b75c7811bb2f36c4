//! Completion in fish.

use std::process::Command;

use instar_cli::completion::Shell;
use instar_packages::papers;
use tempfile::tempdir;

use crate::support::{installed, options, quiet, verbs};

/// What fish offers at the end of each line, without descriptions, sorted.
fn offers(lines: &[String]) -> Option<Vec<Vec<String>>> {
    let fish = installed("fish", "completion in fish is not tried")?;
    let directory = tempdir().unwrap();
    std::fs::write(
        directory.path().join("instar.fish"),
        papers::completion(Shell::Fish),
    )
    .unwrap();
    std::fs::write(directory.path().join("disk.raw"), "").unwrap();
    std::fs::create_dir(directory.path().join("bases")).unwrap();
    let commands = "source instar.fish\nfor line in $argv\ncomplete -C $line\necho END\nend";
    let text = quiet(
        Command::new(fish)
            .args(["--no-config", "-c", commands])
            .args(lines)
            .current_dir(directory.path())
            .env("HOME", directory.path())
            .env("LC_ALL", "C.UTF-8"),
    );
    let word = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
    let sorted = |block: &str| {
        let mut words: Vec<String> = block.lines().filter(|line| !line.is_empty()).map(word).collect();
        words.sort();
        words.dedup();
        words
    };
    let mut blocks: Vec<Vec<String>> = text.split("END\n").map(sorted).collect();
    blocks.pop();
    Some(blocks)
}

#[test]
fn fish_completes_every_verb_and_every_option_of_it() {
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

#[test]
fn fish_completes_what_follows_an_option() {
    let expected: &[(&str, &[&str])] = &[
        ("instar --timeout 5 conv", &["convert"]),
        ("instar convert -O qc", &["qcow", "qcow2"]),
        ("instar convert -f d", &["dmg"]),
        ("instar info --output=j", &["--output=json"]),
        ("instar check -r ", &["all", "leaks"]),
        ("instar info --allow-dir b", &["bases/"]),
        ("instar info di", &["disk.raw"]),
        ("instar dd if=di", &["if=disk.raw"]),
        (
            "instar create -f qcow2 -o lazy_refcounts=",
            &["lazy_refcounts=off", "lazy_refcounts=on"],
        ),
        (
            "instar create -fqcow2 -o size=1G,lazy_refcounts=o",
            &["size=1G,lazy_refcounts=off", "size=1G,lazy_refcounts=on"],
        ),
    ];
    let lines: Vec<String> = expected.iter().map(|(line, _)| (*line).to_owned()).collect();
    let Some(offers) = offers(&lines) else { return };
    for ((line, expected), offers) in expected.iter().zip(offers) {
        assert_eq!(offers, *expected, "{line}");
    }
}
