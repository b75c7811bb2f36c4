//! The process is killed at every single call that changes a file, or the disk is full at any point of the work.
//! Afterwards there is no target, or one that no tool takes for an image.
//!
//! strace kills at the right moment; a full disk is a tmpfs, which only root can mount. Calls that fail by themselves are in
//! `failing.rs`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;

use instar_tests::disk::{self, Piece};
use instar_tests::ledger::{self, deviates};
use instar_tests::{Bench, Outcome, both_sandboxes, sealed, variant};

/// Calls that change files.
const CALLS: &str =
    "pwrite64,pwritev,pwritev2,ftruncate,fallocate,copy_file_range,linkat,renameat2,fsync,fdatasync";

/// Output formats with their options.
const TARGETS: &[(&str, &[&str])] = &[
    ("raw", &[]),
    ("raw", &["-o", "preallocation=falloc"]),
    ("raw", &["-t", "writeback"]),
    ("qcow2", &[]),
    ("qcow2", &["-c"]),
    ("qcow2", &["-t", "writethrough"]),
    ("vmdk", &[]),
    ("vmdk", &["-o", "subformat=streamOptimized"]),
    ("vmdk", &["-o", "subformat=twoGbMaxExtentSparse"]),
    ("vpc", &[]),
    ("vhdx", &[]),
    ("vdi", &[]),
    ("qed", &[]),
    ("qcow", &[]),
    ("parallels", &[]),
    ("qcow", &["-c"]),
    ("luks", &["--object", sealed::SECRET, "-o", sealed::OPTIONS]),
    ("qcow2", &["--object", sealed::SECRET, "-o", sealed::NEW]),
];

const SIGKILL: i32 = 9;

/// More calls than any of these conversions makes.
const MANY: u32 = 200;

fn has_strace() -> bool {
    let found = Command::new("strace").arg("--version").output().is_ok();
    if !found {
        ledger::skip("strace is not installed: nothing is killed in the middle of its work");
    }
    found
}

/// Runs instar and kills it at the call of that number in any of its threads.
fn killed(bench: &Bench, when: u32, words: &[&str]) -> Outcome {
    let inject = format!("inject={CALLS}:signal=KILL:when={when}");
    let trace = format!("trace={CALLS}");
    let wrapper = ["strace", "-f", "-q", "-o", "/dev/null", "-e", &trace, "-e", &inject];
    Outcome::of(&mut bench.command_under(&wrapper, words))
}

/// A filesystem with little room; unmounted when it goes.
struct Room(PathBuf);

impl Room {
    fn new(bench: &Bench) -> Option<Self> {
        let place = bench.path("room");
        fs::create_dir(&place).unwrap();
        let words = ["-t", "tmpfs", "-o", "size=4k", "tmpfs"];
        let mounted = Command::new("mount").args(words).arg(&place).output();
        if mounted.is_ok_and(|outcome| outcome.status.success()) {
            return Some(Self(place));
        }
        ledger::skip("a tmpfs cannot be mounted: no disk fills up");
        None
    }

    fn resize(&self, pages: u64) {
        let size = format!("remount,size={}k", pages * 4);
        let outcome = Command::new("mount").args(["-o", &size]).arg(&self.0).status().unwrap();
        assert!(outcome.success());
    }

    fn names(&self) -> Vec<PathBuf> {
        fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// Zeros in place of the first cluster of the refcount table of a qcow2 image.
fn lose_refcount_table(bench: &Bench, image: &str) {
    let mut bytes = fs::read(bench.path(image)).unwrap();
    let at = u64::from_be_bytes(bytes[48..56].try_into().unwrap()) as usize;
    bytes[at..at + 4096].fill(0);
    fs::write(bench.path(image), bytes).unwrap();
}

/// A disk of which every format stores several pieces.
fn source(bench: &Bench) {
    disk::make(
        &bench.path("disk.raw"),
        6 << 20,
        &[Piece::Data(100_000, 70_000, 1), Piece::Text(4 << 20, 300_000)],
    );
}

fn is_the_disk(bench: &Bench, format: &str, target: &str, what: &str) {
    let sealed_inside = fs::read(bench.path(target)).is_ok_and(|bytes| sealed::is_sealed(&bytes));
    let outcome = if format == "luks" || sealed_inside {
        sealed::compared(bench, format, "disk.raw", target)
    } else {
        bench.qemu(["compare", "-f", "raw", "-F", format, "disk.raw", target])
    };
    assert_eq!(outcome.code(), Some(0), "{what}: {outcome}");
}

fn conversion<'a>(format: &'a str, options: &[&'a str], target: &'a str) -> Vec<&'a str> {
    let head = ["convert", "-f", "raw", "-O", format];
    let tail = ["disk.raw", target];
    head.iter().chain(options).chain(&tail).copied().collect()
}

fn clear(bench: &Bench) {
    for name in bench.names().iter().filter(|name| name.starts_with("target")) {
        fs::remove_file(bench.path(name)).unwrap();
    }
}

both_sandboxes!(
    a_kill_at_any_call_leaves_no_new_target,
    a_kill_at_any_call_leaves_no_image_in_an_existing_target,
    a_full_disk_at_any_point_leaves_no_target,
    an_image_on_a_full_disk_grows_when_there_is_room,
    a_message_of_a_full_disk_names_the_file_on_it,
    a_vdi_that_was_committed_to_on_a_full_disk_takes_it_when_there_is_room,
);

fn a_kill_at_any_call_leaves_no_new_target(bench: &Bench) {
    if !has_strace() {
        return;
    }
    source(bench);
    for (format, options) in TARGETS {
        let mut kills = 0;
        for when in 1..=MANY {
            let what = format!("{format} {options:?}, killed at call {when}");
            let outcome = killed(bench, when, &conversion(format, options, "target"));
            if outcome.code() == Some(0) {
                is_the_disk(bench, format, "target", &what);
                break;
            }
            assert_eq!(outcome.status.signal(), Some(SIGKILL), "{what}: {outcome}");
            assert_eq!(bench.names(), ["disk.raw"], "{what}");
            kills = when;
        }
        assert!((2..MANY).contains(&kills), "{format} {options:?}: {kills} kills");
        ledger::count("kills at a call that changes a file", kills as usize);
        clear(bench);
    }
}

fn a_kill_at_any_call_leaves_no_image_in_an_existing_target(bench: &Bench) {
    if !has_strace() {
        return;
    }
    source(bench);
    let before = disk::pattern(0, 64 << 10, 9);
    for (format, options) in TARGETS.iter().filter(|(format, _)| *format != "raw") {
        let mut kills = 0;
        for when in 1..=MANY {
            let what = format!("{format} {options:?}, killed at call {when}");
            fs::write(bench.path("target"), &before).unwrap();
            let outcome = killed(bench, when, &conversion(format, options, "target"));
            if outcome.code() == Some(0) {
                is_the_disk(bench, format, "target", &what);
                break;
            }
            let info = bench.qemu(["info", "-f", format, "target"]);
            assert_eq!(info.code(), Some(1), "{what}: looks like an image: {info}");
            clear(bench);
            kills = when;
        }
        assert!((2..MANY).contains(&kills), "{format} {options:?}: {kills} kills");
        ledger::count("kills at a call that changes a file", kills as usize);
        clear(bench);
    }
}

fn a_full_disk_at_any_point_leaves_no_target(bench: &Bench) {
    source(bench);
    let Some(room) = Room::new(bench) else { return };
    for (format, options) in TARGETS {
        let (mut pages, mut refusals) = (1, 0);
        loop {
            room.resize(pages);
            let what = format!("{format} {options:?}, {pages} pages");
            let outcome = bench.instar(conversion(format, options, "room/target"));
            if outcome.code() == Some(0) {
                is_the_disk(bench, format, "room/target", &what);
                break;
            }
            outcome.fails_with("No space left on device");
            assert_eq!(room.names(), [] as [PathBuf; 0], "{what}");
            refusals += 1;
            // Metadata comes page by page, then data, which need not be tried at every page.
            pages += if pages < 24 { 1 } else { 1 + pages / 3 };
            assert!(pages < 1 << 20, "{format}: never room enough");
        }
        assert!(refusals > 2, "{format} {options:?}: {refusals} refusals");
        ledger::count("disks that were full at some point", refusals);
        for name in room.names() {
            fs::remove_file(name).unwrap();
        }
    }
}

fn an_image_on_a_full_disk_grows_when_there_is_room(bench: &Bench) {
    let Some(room) = Room::new(bench) else { return };
    // Of a VDI, the first block makes room for a longer map.
    for (format, options, size) in [
        ("vdi", "static=off", "100G"),
        ("vpc", "subformat=dynamic", "100G"),
        ("vmdk", "subformat=monolithicSparse", "100G"),
        ("vhdx", "block_size=1M", "300G"),
    ] {
        room.resize(4096);
        bench.qemu(["create", "-q", "-f", format, "-o", options, "room/image", "5M"]).succeeds();
        variant::io_as(bench, format, "room/image", &["write -P 5 0 1M", "write -P 6 3M 200k"]);
        bench.qemu(["convert", "-f", format, "-O", "qcow2", "room/image", "before"]).succeeds();
        let held = fs::metadata(bench.path("room/image")).unwrap().blocks().div_ceil(8);
        for more in [0, 1, 7, 40] {
            room.resize(held + more);
            let words = ["resize", "-f", format, "room/image", size];
            let ours = bench.instar(words);
            if ours.code() == Some(0) {
                break;
            }
            ours.fails_with("room/image': No space left on device");
            if format != "vpc" {
                bench.qemu(["check", "-f", format, "room/image"]).succeeds();
            }
            bench.qemu(["compare", "-F", format, "before", "room/image"]).succeeds();
        }
        room.resize(4096);
        bench.instar(["resize", "-f", format, "room/image", size]).succeeds();
        if format != "vpc" {
            bench.qemu(["check", "-f", format, "room/image"]).succeeds();
        }
        fs::remove_file(bench.path("room/image")).unwrap();
    }
}

fn a_message_of_a_full_disk_names_the_file_on_it(bench: &Bench) {
    let Some(room) = Room::new(bench) else { return };
    disk::make(&bench.path("disk.raw"), 6 << 20, &[Piece::Data(0, 6 << 20, 1)]);
    // What there is besides, and how the message of either program begins.
    let over_disk = ["create", "-q", "-f", "qcow2", "-b", "../disk.raw", "-F", "raw", "room/image"];
    let alone = ["create", "-q", "-f", "qcow2", "room/image", "6M"];
    let over_image = ["create", "-q", "-f", "qcow2", "-b", "room/image", "-F", "qcow2", "top"];
    let rebase = ["rebase", "-b", "", "room/image"];
    let convert = ["convert", "-n", "-f", "raw", "-O", "qcow2", "disk.raw", "room/image"];
    let check = ["check", "-q", "-r", "all", "room/image"];
    for (made, words, said) in [
        (&over_disk[..], &rebase[..], "Error while writing to COW image: "),
        (&alone, &convert, "error while writing at byte "),
        (&alone, &check, "Check failed: "),
        (&alone, &["commit", "top"], "Block job failed: "),
    ] {
        let outcomes = [false, true].map(|ours| {
            room.resize(4096);
            bench.qemu(made).succeeds();
            match words[0] {
                "check" => lose_refcount_table(bench, "room/image"),
                "commit" => {
                    bench.qemu(over_image).succeeds();
                    variant::io(bench, "top", &["write -P 1 0 6M"]);
                }
                _ => {}
            }
            let held = fs::metadata(bench.path("room/image")).unwrap().blocks().div_ceil(8);
            room.resize(held + 2);
            let allowed = [&words[..1], &["--allow-dir", ".", "--allow-dir", "room"], &words[1..]];
            let outcome = if ours {
                bench.instar(allowed.concat())
            } else {
                bench.qemu(words)
            };
            outcome.fails();
            fs::remove_file(bench.path("room/image")).unwrap();
            let last = outcome.errors().lines().last().unwrap_or_default().to_owned();
            last.split_once(": ").unwrap_or_default().1.to_owned()
        });
        let [theirs, ours] = outcomes;
        assert!(theirs.starts_with(said) && theirs.ends_with("No space left on device"), "{theirs}");
        assert!(ours.starts_with(said), "{ours}");
        assert!(ours.ends_with("No space left on device (in 'room/image')"), "{ours}");
        deviates("full-disk-names-the-file", &theirs, &ours);
    }
}

fn a_vdi_that_was_committed_to_on_a_full_disk_takes_it_when_there_is_room(bench: &Bench) {
    let Some(room) = Room::new(bench) else { return };
    room.resize(8192);
    bench.qemu(["create", "-q", "-f", "vdi", "room/base", "8M"]).succeeds();
    variant::io_as(bench, "vdi", "room/base", &["write -P 9 0 2M"]);
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "room/base", "-F", "vdi", "image"]).succeeds();
    variant::io(bench, "image", &["write -P 1 1M 300k", "write -P 2 3M 1M", "write -P 3 5M 3M"]);
    bench.qemu(["convert", "-O", "qcow2", "image", "before"]).succeeds();
    let held = fs::metadata(bench.path("room/base")).unwrap().blocks().div_ceil(8);
    for more in [0, 5, 300, 700] {
        room.resize(held + more);
        bench.instar(["commit", "--allow-dir", "room", "image"]).fails_with("No space left on device");
        bench.qemu(["check", "-f", "vdi", "room/base"]).succeeds();
        bench.qemu(["compare", "before", "image"]).succeeds();
    }
    room.resize(8192);
    bench.instar(["commit", "--allow-dir", "room", "image"]).succeeds();
    bench.qemu(["check", "-f", "vdi", "room/base"]).succeeds();
    bench.qemu(["compare", "-F", "vdi", "before", "room/base"]).succeeds();
}
