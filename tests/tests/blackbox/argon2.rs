//! Key slots of LUKS2 that take much memory or much time, made by cryptsetup: they get what the run may spend and no more.

use std::fs;
use std::process::Command;
use std::time::Duration;

use instar_tests::sealed::SECRET;
use instar_tests::{Bench, Outcome, both_sandboxes, ledger};

both_sandboxes!(
    a_key_slot_that_takes_more_memory_than_the_run_has_names_the_option,
    a_key_slot_with_the_most_memory_of_cryptsetup_opens_if_there_is_time,
);

/// `image`, with a key slot that takes so many KiB of memory and four passes over it; whether cryptsetup is installed.
fn sealed(bench: &Bench, kib: &str) -> bool {
    fs::write(bench.path("passphrase"), "correct horse").unwrap();
    fs::File::create(bench.path("image")).unwrap().set_len(17 << 20).unwrap();
    let mut command = Command::new("cryptsetup");
    command
        .args(["luksFormat", "-q", "--type", "luks2", "--key-file", "passphrase"])
        .args(["--pbkdf", "argon2id", "--pbkdf-force-iterations", "4", "--pbkdf-parallel", "1"])
        .args(["--pbkdf-memory", kib, "image"])
        .current_dir(bench.directory());
    match command.output() {
        Ok(made) => {
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
            true
        }
        Err(_) => {
            ledger::skip("no key slots with Argon2: install the package cryptsetup-bin");
            false
        }
    }
}

/// Reads it with these options of the run.
fn read(bench: &Bench, options: &[&str]) -> Outcome {
    let line =
        ["--object", SECRET, "--image-opts", "driver=luks,key-secret=s,file.filename=image", "-O", "raw"];
    bench.instar(["convert"].iter().chain(options).chain(&line).chain(&["out"]))
}

fn a_key_slot_that_takes_more_memory_than_the_run_has_names_the_option(bench: &Bench) {
    if !sealed(bench, "163840") {
        return;
    }
    for options in [&[][..], &["--memory", "160M"]] {
        let refused = read(bench, options);
        refused.within(Duration::from_secs(5));
        refused.fails_with(
            "the sandbox has no memory left for another 167772160 bytes; raise the limit with --memory",
        );
        assert!(!bench.names().contains(&"out".to_owned()), "{refused}");
    }
    read(bench, &["--memory", "200M"]).succeeds();
    assert_eq!(fs::metadata(bench.path("out")).unwrap().len(), 1 << 20);
}

/// That is what a slot takes by itself on a machine with two gigabytes.
fn a_key_slot_with_the_most_memory_of_cryptsetup_opens_if_there_is_time(bench: &Bench) {
    if !sealed(bench, "1048576") {
        return;
    }
    let ended = read(bench, &["--memory", "1100M", "--timeout", "0.2"]);
    ended.within(Duration::from_secs(3));
    ended.fails_with("Timed out after 0.2 seconds (--timeout)");
    assert!(!bench.names().contains(&"out".to_owned()), "{ended}");
    read(bench, &["--memory", "1100M"]).succeeds();
    assert_eq!(fs::metadata(bench.path("out")).unwrap().len(), 1 << 20);
}
