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
    ("disk.raw", &["-O", "qcow2", "--object", sealed::SECRET, "-o", sealed::NEW]),
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
    let sealed_inside = fs::read(bench.path("target")).is_ok_and(|bytes| sealed::is_sealed(&bytes));
    let outcome = if format == "luks" || sealed_inside {
        sealed::compared(bench, format, source, "target")
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
        ledger::count("calls that failed while a target was made", failures);
    }
}

both_sandboxes!(
    a_call_that_fails_in_create_or_dd_leaves_no_new_target,
    a_call_that_fails_in_a_change_leaves_the_disk,
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
            ledger::count("calls that failed while a target was overwritten", failures);
        }
        fs::remove_file(bench.path("target")).unwrap();
    }
}

/// The other verbs that make an image.
const MADE: &[&str] = &[
    "create -q -f raw target 6M",
    "create -q -f raw -o preallocation=falloc target 6M",
    "create -q -f qcow2 target 6M",
    "create -q -f qcow2 -b base -F qcow2 target",
    "create -q -f qcow2 -o data_file=target.data target 6M",
    "create -q -f vmdk -o subformat=twoGbMaxExtentSparse target.vmdk 6M",
    "create -q -f vhdx target 6M",
    "create -q -f vdi -o static=on target 6M",
    "create -q -f vpc target 6M",
    "create -q -f qed target 6M",
    "create -q -f qcow target 6M",
    "create -q -f parallels target 6M",
    "dd -f raw -O raw bs=64k count=90 skip=1 if=disk.raw of=target",
    "dd -f raw -O qcow2 bs=64k count=90 skip=1 if=disk.raw of=target",
    "dd -f qcow2 -O vhdx bs=1M if=packed of=target",
];

fn a_call_that_fails_in_create_or_dd_leaves_no_new_target(bench: &Bench) {
    if !has_strace() {
        return;
    }
    material(bench);
    let before = bench.names();
    for line in bench.share(MADE) {
        let words: Vec<&str> = line.split(' ').collect();
        let (mut when, mut failures) = (1, 0);
        loop {
            let (outcome, names) = failed(bench, CALLS, "EIO", &when.to_string(), &words);
            let what = format!("{line}, EIO at call {when}, {names:?}");
            if outcome.is_civil().code() == Some(0) {
                let spared = names.iter().all(|call| DISPENSABLE.contains(&call.as_str()));
                assert!(spared, "{what}: {outcome}");
                clear(bench);
            } else {
                assert!(outcome.errors().contains("Input/output error"), "{what}: {outcome}");
                assert_eq!(bench.names(), before, "{what}: {outcome}");
                failures += 1;
            }
            if names.is_empty() {
                break;
            }
            when = next(when);
            assert!(when < MANY, "{line}: never ran through");
        }
        assert!(failures > 0, "{line}: nothing failed");
        ledger::count("calls that failed while a target was made", failures);
    }
}

/// The verbs that change an image in place, on `over`, which has a snapshot, a bitmap, and `base` below it.
const CHANGES: &[&str] = &[
    "resize -q over +1M",
    "snapshot -c two over",
    "snapshot -d one over",
    "bitmap --add over more",
    "bitmap --remove over spots",
    "bitmap --clear over spots",
    "amend -o lazy_refcounts=on over",
    "rebase -u -b base -F qcow2 over",
    "rebase -b packed -F qcow2 over",
    "commit -q over",
    "commit -q -d over",
    "check -q -r all over",
];

fn a_call_that_fails_in_a_change_leaves_the_disk(bench: &Bench) {
    if !has_strace() {
        return;
    }
    material(bench);
    bench.qemu(["snapshot", "-c", "one", "over"]).succeeds();
    bench.qemu(["bitmap", "--add", "over", "spots"]).succeeds();
    bench.qemu(["convert", "-O", "raw", "over", "shown"]).succeeds();
    let kept = ["over", "base"].map(|name| (name, fs::read(bench.path(name)).unwrap()));
    for line in bench.share(CHANGES) {
        let words: Vec<&str> = line.split(' ').collect();
        let (mut when, mut failures) = (1, 0);
        loop {
            for (name, bytes) in &kept {
                fs::write(bench.path(name), bytes).unwrap();
            }
            let (outcome, names) = failed(bench, CALLS, "EIO", &when.to_string(), &words);
            let what = format!("{line}, EIO at call {when}, {names:?}");
            let went_well = outcome.is_civil().code() == Some(0);
            if went_well {
                let spared = names.iter().all(|call| DISPENSABLE.contains(&call.as_str()));
                assert!(spared, "{what}: {outcome}");
            } else {
                assert!(outcome.errors().contains("Input/output error"), "{what}: {outcome}");
                failures += 1;
            }
            let seen = bench.qemu(["compare", "-f", "raw", "-F", "qcow2", "shown", "over"]);
            // A larger disk has zeros behind.
            assert_eq!(seen.code(), Some(0), "{what}: another disk: {outcome}{seen}");
            for image in ["over", "base"] {
                let checked = bench.qemu(["check", "-f", "qcow2", image]).code();
                assert!(matches!(checked, Some(0 | 3)), "{what}: check of {image}: {checked:?}: {outcome}");
            }
            if names.is_empty() {
                assert!(went_well, "{what}: {outcome}");
                break;
            }
            when = next(when);
            assert!(when < MANY, "{line}: never ran through");
        }
        assert!(failures > 0, "{line}: nothing failed");
        ledger::count("calls that failed while an image was changed", failures);
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
