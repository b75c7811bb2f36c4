//! Images that we write, read by qemu-img.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use std::path::PathBuf;

use instar_disk::job::{Change, QcowCreate};
use instar_disk::{File, ImageText};
use instar_testkit::image::write_disk;
use instar_testkit::oracle::{qemu, qemu_io, qemu_reads, run, text};
use instar_testkit::pattern::{MIB, assert_same, pattern};
use instar_testkit::{Bench, Failing, Native};

fn over(name: &[u8]) -> QcowCreate {
    QcowCreate {
        key: None,
        backing_file: Some(ImageText::new(name)),
    }
}

fn write(dir: &Bench, disk: &[u8], stride: u64) -> PathBuf {
    let path = dir.path("ours.qcow");
    let native = Native::new(1);
    let facts = native.target(&path);
    let options = QcowCreate::default();
    let mut target =
        instar_qcow::create(File::new(&native, facts), &options, disk.len() as u64, false).unwrap();
    write_disk(&native, target.as_mut(), disk, stride).unwrap();
    path
}

/// Pattern, with holes of several sizes.
fn disk(size: u64) -> Vec<u8> {
    let mut bytes = pattern(0, size);
    for (index, block) in bytes.chunks_mut(1 << 17).enumerate() {
        if index % 5 == 1 {
            block.fill(0);
        }
    }
    bytes
}

#[test]
fn qemu_img_reads_what_we_write() {
    let dir = Bench::new();
    for size in [512, MIB - 512, MIB, MIB + 512, 10 * MIB + 1024] {
        for stride in [1, 3, 64, 1000] {
            let disk = disk(size);
            let ours = write(&dir, &disk, stride);
            assert_same(&qemu_reads("qcow", &ours), &disk, &format!("{size} {stride}"));
        }
    }
}

#[test]
fn an_image_is_as_long_as_that_of_qemu_img() {
    let dir = Bench::new();
    let theirs = dir.path("theirs.qcow");
    for size in [512, MIB + 512, 10 * MIB + 1024] {
        let disk = disk(size);
        std::fs::write(dir.path("disk.raw"), &disk).unwrap();
        qemu(&[
            "convert",
            "-f",
            "raw",
            "-O",
            "qcow",
            text(&dir.path("disk.raw")),
            text(&theirs),
        ]);
        let ours = write(&dir, &disk, 16);
        let length = |path| std::fs::metadata(path).unwrap().len();
        assert_eq!(length(&ours), length(&theirs), "{size}");
    }
    for size in [1, 513, 10 * MIB, 100 << 30] {
        let words = ["create", "-q", "-f", "qcow", text(&theirs), &size.to_string()];
        qemu(&words);
        let native = Native::new(1);
        let ours = dir.path("ours.qcow");
        let file = File::new(&native, native.target(&ours));
        instar_qcow::create(file, &QcowCreate::default(), size, false)
            .and_then(|mut target| target.finish())
            .unwrap();
        assert_same(
            &std::fs::read(&ours).unwrap(),
            &std::fs::read(&theirs).unwrap(),
            "empty",
        );
    }
}

#[test]
fn a_longer_file_is_overwritten() {
    let dir = Bench::new();
    let path = dir.path("ours.qcow");
    std::fs::write(&path, vec![0xaa; 3 << 20]).unwrap();
    let disk = disk(MIB + 512);
    let native = Native::new(1);
    let file = File::new(&native, native.existing(&path));
    let mut target = instar_qcow::create(file, &QcowCreate::default(), disk.len() as u64, false).unwrap();
    write_disk(&native, target.as_mut(), &disk, 1).unwrap();
    assert_same(&qemu_reads("qcow", &path), &disk, "over a longer file");
}

#[test]
fn an_unfinished_image_is_no_qcow() {
    let dir = Bench::new();
    let path = dir.path("ours.qcow");
    let native = Native::new(1);
    let file = File::new(&native, native.target(&path));
    let mut target = instar_qcow::create(file, &QcowCreate::default(), 3 * MIB, false).unwrap();
    target.allocate(0, MIB).unwrap();
    assert!(!run(&["info", "-f", "qcow", text(&path)]).status.success());
}

#[test]
fn zeros_hide_what_is_below() {
    let dir = Bench::new();
    dir.raw("below", 3 * MIB, &[(0, 3 * MIB)]);
    let path = dir.path("ours.qcow");
    let native = Native::new(1);
    let file = File::new(&native, native.target(&path));
    let mut target = instar_qcow::create(file, &over(b"below"), 3 * MIB, false).unwrap();
    target.zero(MIB, MIB).unwrap();
    target.finish().unwrap();
    let mut expected = pattern(0, 3 * MIB);
    expected[1 << 20..2 << 20].fill(0);
    assert_same(&qemu_reads("qcow", &path), &expected, "over");
}

/// An image over 3 MiB of data, with data of its own, compressed or not.
fn covered(dir: &Bench, compressed: bool) -> PathBuf {
    dir.raw("below", 3 * MIB, &[(0, 3 * MIB)]);
    let path = dir.path("image.qcow");
    let below = dir.path("below");
    qemu(&[
        "create",
        "-q",
        "-f",
        "qcow",
        "-b",
        text(&below),
        "-F",
        "raw",
        text(&path),
    ]);
    for at in (0..20).map(|number| number * 100 * 512) {
        let words = if compressed { "write -c" } else { "write" };
        qemu_io("qcow", &path, &format!("{words} -P 9 {at} 512"));
    }
    path
}

#[test]
fn zeros_written_in_place_hide_what_is_below_and_what_was_there() {
    for (compressed, readable) in [(false, false), (false, true), (true, false), (true, true)] {
        let dir = Bench::new();
        let path = covered(&dir, compressed);
        let mut expected = qemu_reads("qcow", &path);
        let native = Native::new(1);
        let file = File::new(&native, native.existing(&path));
        let mut target = if readable {
            instar_qcow::readable(file, false).unwrap()
        } else {
            instar_qcow::existing(file, 0).unwrap()
        };
        target.zero(51_200, 1_000_448).unwrap();
        target.finish().unwrap();
        expected[51_200..1_051_648].fill(0);
        assert_same(
            &qemu_reads("qcow", &path),
            &expected,
            &format!("{compressed} {readable}"),
        );
    }
}

#[test]
fn an_image_is_emptied_or_not_whatever_fails() {
    let dir = Bench::new();
    let mut stops = 0;
    for allowed in 0.. {
        let path = covered(&dir, true);
        let before = qemu_reads("qcow", &path);
        let below = std::fs::read(dir.path("below")).unwrap();
        let host = Failing::after(allowed);
        let facts = host.native.existing(&path);
        let outcome = instar_qcow::edit(File::new(&host, facts))
            .and_then(|mut editor| editor.change(&Change::Empty(None)));
        let after = qemu_reads("qcow", &path);
        assert!(after == below || outcome.is_err() && after == before, "{allowed}");
        stops += 1;
        if outcome.is_ok() {
            assert_eq!(std::fs::metadata(&path).unwrap().len() % 8, 0);
            assert!(std::fs::metadata(&path).unwrap().len() < 1024);
            break;
        }
    }
    assert!(stops > 2, "{stops}");
}

#[test]
fn refuses_disks_that_no_reader_takes() {
    let dir = Bench::new();
    let native = Native::new(1);
    for (size, fits) in [
        (0, false),
        (1, true),
        (268_435_455 << 21, true),
        ((268_435_455 << 21) + 1, false),
        (1 << 62, false),
    ] {
        let file = File::new(&native, native.target(dir.path("ours.qcow")));
        let made = instar_qcow::create(file, &QcowCreate::default(), size, false);
        assert_eq!(made.is_ok(), fits, "{size}");
    }
}
