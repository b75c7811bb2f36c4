//! Completion in fish.

use std::process::Command;

use instar_cli::completion::Shell;
use instar_packages::papers;
use tempfile::tempdir;

use crate::support::{blocks, completes, completes_all, installed, quiet};

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
    Some(blocks(&text, |line| line.split('\t').next().unwrap_or_default()))
}

#[test]
fn fish_completes_every_verb_and_every_option_of_it() {
    completes_all(offers);
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
        ("instar fleet s", &["script", "status"]),
        ("instar fleet status di", &["disk.raw"]),
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
    completes(offers, expected);
}
