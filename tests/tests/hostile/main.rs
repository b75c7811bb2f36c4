//! Hostile images: each is refused with a message, or read for what it is, within bounds of time and memory.
//!
//! Every run has an address space of 256 MiB and a bound on its time. Names such as A1 are the rows of the attack table in
//! SECURITY.md.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    reason = "tests: a failure here is a test failure"
)]

mod changes;
mod check;
mod compact;
mod foreign;
mod formats;
mod layers;
mod looking;
mod mutation;
mod names;
mod options;
mod ova;
mod servers;
mod tables;
mod unknown;
mod words;
mod work;

use std::time::Duration;

use instar_tests::{Bench, Outcome};

/// What a refusal may take, process start and a busy machine included.
const PROMPT: Duration = Duration::from_secs(5);

/// Runs instar in 256 MiB of address space; it must end in time, and neither crash nor panic.
fn run(bench: &Bench, words: &[&str]) -> Outcome {
    run_within(bench, PROMPT, words)
}

fn run_within(bench: &Bench, bound: Duration, words: &[&str]) -> Outcome {
    let outcome = Outcome::of(&mut bench.command_under(&["prlimit", "--as=268435456", "--core=0"], words));
    outcome.is_civil().within(bound);
    assert!(outcome.stderr.len() < 8192, "too many words: {outcome}");
    assert!(outcome.stdout.len() < 1 << 20, "too much output: {outcome}");
    outcome
}

/// `convert` and `dd` refuse the image in these words and leave no target.
#[track_caller]
fn refused(bench: &Bench, image: &str, words: &str) {
    for command in [
        ["convert", "-O", "raw", image, "stolen"].as_slice(),
        &["convert", "-O", "qcow2", image, "stolen"],
        &["dd", &format!("if={image}"), "of=stolen"],
    ] {
        run(bench, command).fails_with(words);
        assert!(!bench.path("stolen").exists(), "{command:?} left a target");
    }
}
