//! Every call that reads or changes a file fails once, with an I/O error or because space runs out. The conversion then fails
//! with a message and leaves no target, or one that no tool takes for an image; or it works without that call, and the
//! target is complete. It never succeeds with another disk in the target.
//!
//! strace lets a call fail by making another one in its place, which the jail allows.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, Outcome, both_sandboxes, formats, ledger, sealed};

/// Calls that read files, change them, or name them.
const CALLS: &str = "pread64,preadv,pwrite64,pwritev,lseek,ftruncate,fallocate,copy_file_range,linkat,renameat2,fsync,fdatasync";

/// Those that want space.
const WRITES: &str = "pwrite64,pwritev,ftruncate,fallocate,copy_file_range,linkat";

/// Calls without which the work can be done: extents that cannot be told are read, room that cannot be set aside is written,
/// what the kernel cannot copy is copied by us. Reads ahead of need are made again when they are needed.
const DISPENSABLE: &[&str] = &["lseek", "fallocate", "copy_file_range", "pread64"];

/// Conversions into new files: source, and options.
const NEW: &[(&str, &[&str])] = &[
    ("disk.raw", &["-O", "raw"]),
    ("disk.raw", &["-O", "raw", "-S", "0"]),
    ("disk.raw", &["-O", "raw", "-C"]),
    ("disk.raw", &["-O", "raw", "-o", "preallocation=falloc"]),
    ("disk.raw", &["-O", "raw", "-t", "none"]),
    ("disk.raw", &["-O", "raw", "-t", "writeback"]),
    ("disk.raw", &["-O", "qcow2"]),
    ("disk.raw", &["-O", "qcow2", "-c"]),
    ("disk.raw", &["-O", "qcow2", "-t", "writethrough"]),
    ("disk.raw", &["-O", "vmdk"]),
    ("disk.raw", &["-O", "vmdk", "-o", "subformat=streamOptimized"]),
    ("disk.raw", &["-O", "vmdk", "-o", "subformat=monolithicFlat"]),
    ("disk.raw", &["-O", "vpc"]),
    ("disk.raw", &["-O", "vhdx", "-t", "directsync"]),
    ("disk.raw", &["-O", "vdi"]),
    ("disk.raw", &["-O", "qed"]),
    ("disk.raw", &["-O", "qcow"]),
    ("disk.raw", &["-O", "parallels"]),
    ("disk.raw", &["-O", "qcow", "-c"]),
    ("disk.raw", &["-O", "luks", "--object", sealed::SECRET, "-o", sealed::OPTIONS]),
    ("packed", &["-O", "raw"]),
    ("packed", &["-O", "raw", "-T", "none"]),
    ("over", &["-O", "raw"]),
    ("over", &["-O", "qcow2", "-B", "base", "-F", "qcow2"]),
    ("stream", &["-O", "qcow2"]),
];

/// More calls of one thread than any of these conversions makes.
const MANY: u32 = 400;

fn has_strace() -> bool {
    let found = Command::new("strace").arg("--version").output().is_ok();
    if !found {
        ledger::skip("strace is not installed: no call fails");
    }
    found
}

fn material(bench: &Bench) {
    disk::make(
        &bench.path("disk.raw"),
        6 << 20,
        &[
            Piece::Data(100_000, 70_000, 1),
            Piece::Text(4 << 20, 300_000),
            Piece::Data((6 << 20) - 512, 512, 2),
        ],
    );
    for words in [
        ["convert", "-O", "qcow2", "disk.raw", "base"].as_slice(),
        &["convert", "-c", "-O", "qcow2", "disk.raw", "packed"],
        &["convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "disk.raw", "stream"],
        &["create", "-q", "-f", "qcow2", "-b", "base", "-F", "qcow2", "over"],
    ] {
        bench.qemu(words).succeeds();
    }
    instar_tests::variant::io(bench, "over", &["write -P 3 1M 100k"]);
}

/// Runs instar; each thread's call of that number among `calls` fails (`7+`: and all that follow). Gives the names of the calls that failed, too.
fn failed(
    bench: &Bench,
    calls: &str,
    error: &str,
    when: &str,
    words: &[&str],
) -> (Outcome, BTreeSet<String>) {
    let place = bench.path("trace");
    let trace = format!("trace={calls}");
    let inject = format!("inject={calls}:error={error}:syscall=getpid:when={when}");
    let wrapper = ["strace", "-f", "-qq", "-o", place.to_str().unwrap(), "-e", &trace, "-e", &inject];
    let outcome = Outcome::of(&mut bench.command_under(&wrapper, words));
    let text = fs::read_to_string(&place).unwrap();
    fs::remove_file(place).unwrap();
    let injected = text.lines().filter(|line| line.contains("(INJECTED)"));
    let names = injected.filter_map(|line| line.split_whitespace().nth(1)?.split('(').next());
    (outcome, names.map(str::to_owned).collect())
}

/// What a failure must look like, and what may go well all the same. True if it went well.
fn judge(outcome: &Outcome, failed: &BTreeSet<String>, error: &str, what: &str) -> bool {
    outcome.is_civil();
    if outcome.code() == Some(0) {
        let spared = failed.iter().all(|call| DISPENSABLE.contains(&call.as_str()));
        assert!(spared, "{what}: {failed:?} failed, and it succeeded all the same: {outcome}");
        outcome.succeeds();
        return true;
    }
    let words = match error {
        "EIO" => "Input/output error",
        _ => "No space left on device",
    };
    outcome.fails_with(words);
    let names = ["target", "disk.raw", "packed", "over", "stream", "base", "error while"];
    assert!(
        names.iter().any(|name| outcome.message().contains(name)),
        "{what}: says nothing of where: {outcome}"
    );
    false
}

/// Each number of a call in turn; where there are many, ever fewer of them.
fn next(when: u32) -> u32 {
    when + 1 + when.saturating_sub(40) / 4
}

fn clear(bench: &Bench) {
    for name in bench.names().iter().filter(|name| name.starts_with("target")) {
        fs::remove_file(bench.path(name)).unwrap();
    }
}

fn is_the_disk(bench: &Bench, source: &str, format: &str, what: &str) {
    let outcome = if format == "luks" {
        sealed::compared(bench, source, "target")
    } else {
        bench.qemu(["compare", "-F", format, source, "target"])
    };
    // A target that exists may be longer, and its rest is its own; a VHD rounds its size up.
    let same = outcome.code() == Some(0) || outcome.text().contains("offset 6291456");
    assert!(same, "{what}: {outcome}");
}

fn new_targets(bench: &Bench, calls: &str, error: &str, step: fn(u32) -> u32) {
    let before = bench.names();
    for (source, options) in NEW {
        let words: Vec<&str> =
            ["convert"].iter().chain(*options).chain(&[*source, "target"]).copied().collect();
        let (mut when, mut failures) = (1, 0);
        loop {
            let (outcome, names) = failed(bench, calls, error, &when.to_string(), &words);
            let what = format!("{words:?}, {error} at call {when}, {names:?}");
            if names.is_empty() {
                outcome.succeeds();
                is_the_disk(bench, source, options[1], &what);
                clear(bench);
                break;
            }
            if judge(&outcome, &names, error, &what) {
                is_the_disk(bench, source, options[1], &what);
                clear(bench);
                if names.contains("pread64") {
                    // It has to be made again: where nothing goes well any more, the work fails. One lane makes all calls.
                    let alone: Vec<&str> =
                        ["convert", "-m", "1"].iter().chain(&words[1..]).copied().collect();
                    let (outcome, names) = failed(bench, calls, error, &format!("{when}+"), &alone);
                    if names.is_empty() {
                        clear(bench);
                    } else {
                        outcome.fails_with("Input/output error");
                    }
                    assert_eq!(bench.names(), before, "{what}: {outcome}");
                }
            } else {
                assert_eq!(bench.names(), before, "{what}: {outcome}");
                failures += 1;
            }
            when = step(when);
            assert!(when < MANY, "{words:?}: never ran through");
        }
        assert!(failures > 0, "{words:?}: nothing failed");
    }
}

both_sandboxes!(
    a_call_that_fails_leaves_no_new_target,
    a_call_that_finds_no_space_leaves_no_new_target,
    a_call_that_fails_leaves_no_image_in_an_existing_target,
    calls_that_a_filesystem_lacks_are_not_needed,
);

fn a_call_that_fails_leaves_no_new_target(bench: &Bench) {
    if !has_strace() {
        return;
    }
    material(bench);
    new_targets(bench, CALLS, "EIO", next);
}

fn a_call_that_finds_no_space_leaves_no_new_target(bench: &Bench) {
    if !has_strace() {
        return;
    }
    material(bench);
    new_targets(bench, WRITES, "ENOSPC", |when| when + 1 + when / 2);
}

fn a_call_that_fails_leaves_no_image_in_an_existing_target(bench: &Bench) {
    if !has_strace() {
        return;
    }
    material(bench);
    disk::make(
        &bench.path("old.raw"),
        8 << 20,
        &[Piece::Data(0, 200_000, 7), Piece::Data(5 << 20, 100_000, 8)],
    );
    for format in bench.share(formats::WRITTEN) {
        bench.qemu(["convert", "-O", format, "old.raw", "target"]).succeeds();
        if *format == "qcow2" {
            // Its bits are written last of all.
            bench.qemu(["bitmap", "--add", "-g", "512", "target", "changes"]).succeeds();
        }
        let old = fs::read(bench.path("target")).unwrap();
        for source in ["disk.raw", "packed"] {
            let words = ["convert", "-n", "-O", format, source, "target"];
            let (mut when, mut failures) = (1, 0);
            loop {
                fs::write(bench.path("target"), &old).unwrap();
                let (outcome, names) = failed(bench, CALLS, "EIO", &when.to_string(), &words);
                let what = format!("{words:?}, EIO at call {when}, {names:?}");
                if names.is_empty() {
                    outcome.succeeds();
                    is_the_disk(bench, source, format, &what);
                    break;
                }
                if judge(&outcome, &names, "EIO", &what) {
                    is_the_disk(bench, source, format, &what);
                } else {
                    failures += 1;
                    let info = bench.qemu(["info", "-f", format, "target"]);
                    let untouched = || fs::read(bench.path("target")).unwrap() == old;
                    // A raw file has nowhere to say that it is incomplete.
                    assert!(
                        *format == "raw" || info.code() == Some(1) || untouched(),
                        "{what}: taken for an image: {outcome}{info}"
                    );
                }
                when = next(when);
                assert!(when < MANY, "{words:?}: never ran through");
            }
            assert!(failures > 0, "{words:?}: nothing failed");
        }
        fs::remove_file(bench.path("target")).unwrap();
    }
}

/// What a filesystem cannot do is done in another way, however often it says so.
fn calls_that_a_filesystem_lacks_are_not_needed(bench: &Bench) {
    if !has_strace() {
        return;
    }
    material(bench);
    for (calls, error) in [
        ("fallocate", "EOPNOTSUPP"),
        ("fallocate", "ENOSYS"),
        ("copy_file_range", "EXDEV"),
        ("copy_file_range", "EOPNOTSUPP"),
        ("copy_file_range", "EINVAL"),
        ("copy_file_range", "ENOSYS"),
        ("copy_file_range", "EPERM"),
        ("linkat", "EPERM"),
    ] {
        let mut hits = 0;
        for (source, options) in NEW {
            let words: Vec<&str> =
                ["convert"].iter().chain(*options).chain(&[*source, "target"]).copied().collect();
            // The first of the two ways to give a name is the one that may be missing.
            let when = if calls == "linkat" { "1" } else { "1+" };
            let (outcome, names) = failed(bench, calls, error, when, &words);
            let what = format!("{words:?}, {error} at {names:?}");
            assert_eq!(outcome.code(), Some(0), "{what}: {outcome}");
            outcome.succeeds();
            is_the_disk(bench, source, options[1], &what);
            clear(bench);
            hits += names.len();
        }
        assert!(hits > 0, "{calls} is never called");
    }
}
