//! New LUKS disks, existing ones as targets, and other sizes of them: qemu-img reads what is written.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failure is a test failure"
)]

use std::path::{Path, PathBuf};

use instar_crypt::luks1::Made;
use instar_disk::fault::{self, resize};
use instar_disk::job::{Change, LuksCreate, Preallocation, Speed};
use instar_disk::{Edit, FaultCode, File, FileFacts, FileKind, Result, Target};
use instar_testkit::image::{as_device, read_image, write_disk};
use instar_testkit::oracle::{qemu, text};
use instar_testkit::pattern::MIB;
use instar_testkit::resizing::{self, To};
use instar_testkit::{Bench, Native};

const PASSPHRASE: &[u8] = b"correct horse";
const SECRET: [&str; 2] = ["--object", "secret,id=s,data=correct horse"];
const DISK: usize = 2 << 20;

/// Options under which the key is derived in no time.
fn options(preallocation: Preallocation) -> LuksCreate {
    LuksCreate {
        speed: Speed {
            iterations: 1,
            milliseconds: 1,
        },
        preallocation,
        ..LuksCreate::default()
    }
}

fn code<T>(outcome: Result<T>) -> Option<FaultCode> {
    outcome.err().map(|fault| fault.code)
}

/// Data with holes in it.
fn disk() -> Vec<u8> {
    let mut disk = vec![0; DISK];
    disk[..5000].fill(1);
    disk[MIB as usize..][..70_000].fill(2);
    disk[DISK - 512..].fill(3);
    disk
}

/// What is read from a LUKS disk where nothing was written is noise: all is written.
fn write_all(host: &Native, target: &mut dyn Target) {
    let disk = disk();
    target.zero(0, DISK as u64).unwrap();
    write_disk(host, target, &disk, 64).unwrap();
    target.finish().unwrap();
}

/// The disk in an image, as qemu-img reads it.
fn read_by_qemu(dir: &Bench, image: &Path) -> Vec<u8> {
    let out = dir.path("read.raw");
    let source = format!("driver=luks,key-secret=s,file.filename={}", text(image));
    qemu(&[
        "convert",
        SECRET[0],
        SECRET[1],
        "--image-opts",
        &source,
        "-O",
        "raw",
        text(&out),
    ]);
    dir.bytes("read.raw")
}

fn made_by_qemu(dir: &Bench, size: &str) -> PathBuf {
    let image = dir.path("image");
    let options = "key-secret=s,iter-time=10";
    qemu(&[
        "create",
        "-q",
        SECRET[0],
        SECRET[1],
        "-f",
        "luks",
        "-o",
        options,
        text(&image),
        size,
    ]);
    image
}

#[test]
fn a_new_disk_is_read_by_qemu_img() {
    let dir = Bench::new();
    for mode in [Preallocation::Off, Preallocation::Falloc, Preallocation::Full] {
        for old in [false, true] {
            let host = Native::new(1);
            let facts = match old {
                true => host.existing(dir.put("ours", &[0xee; 9 << 20])),
                false => host.target(dir.path("ours")),
            };
            let options = options(mode);
            let made = Made::new(&options, PASSPHRASE, &[3; 32]).unwrap();
            let mut target =
                instar_luks::create(File::new(&host, facts), &options, &made, DISK as u64).unwrap();
            assert_eq!(target.size(), DISK as u64);
            write_all(&host, &mut *target);
            drop(target);
            assert!(read_by_qemu(&dir, &dir.path("ours")) == disk(), "{mode:?} {old}");
            std::fs::remove_file(dir.path("ours")).unwrap();
        }
    }
}

#[test]
fn an_existing_disk_takes_other_data() {
    let dir = Bench::new();
    let image = made_by_qemu(&dir, "2M");
    let host = Native::new(1);
    let file = File::new(&host, host.existing(&image));
    let key = || Some(instar_luks::unlock(file, PASSPHRASE).unwrap());
    let mut target = instar_luks::existing(file, key(), DISK as u64).unwrap();
    write_all(&host, &mut *target);
    drop(target);
    assert!(read_by_qemu(&dir, &image) == disk());
    let too_long = instar_luks::existing(file, key(), DISK as u64 + 512);
    assert_eq!(code(too_long), Some(fault::core::TARGET_TOO_SMALL));
}

#[test]
fn a_device_takes_a_disk_that_fits() {
    let dir = Bench::new();
    let host = Native::new(1);
    let device = dir.path("device");
    let options = options(Preallocation::Off);
    let made = Made::new(&options, PASSPHRASE, &[3; 32]).unwrap();
    for (room, fits) in [(DISK, false), (DISK + made.bytes as usize, true)] {
        let file = File::new(&host, as_device(&host, &device, room));
        match instar_luks::create(file, &options, &made, DISK as u64) {
            Ok(mut target) if fits => write_all(&host, &mut *target),
            other => assert_eq!((code(other), fits), (Some(fault::core::GROW_DEVICE), false)),
        }
    }
    assert!(read_by_qemu(&dir, &device) == disk());
}

#[test]
fn a_header_of_its_own_opens_its_disk() {
    let dir = Bench::new();
    let image = made_by_qemu(&dir, "2M");
    let whole = std::fs::read(&image).unwrap();
    let (header, data) = whole.split_at(whole.len() - DISK);
    let mut header = header.to_vec();
    // Where the disk begins in its own file.
    header[104..108].fill(0);
    let host = Native::new(1);
    let file = |name: &str, bytes: &[u8]| File::new(&host, host.source(dir.put(name, bytes)));
    let (header, data) = (file("header", &header), file("data", data));
    let key = instar_luks::unlock_apart(header, PASSPHRASE).unwrap();
    let mut opened = instar_luks::open(data, Some(header), Some(key)).unwrap();
    let ours = read_image(&host, &mut *opened, None).unwrap();
    assert!(ours == read_by_qemu(&dir, &image));
    assert_eq!(
        code(instar_luks::open(data, Some(header), None)),
        Some(fault::luks::NO_KEY)
    );
}

fn resized(edit: &mut dyn Edit, size: u64, preallocation: Preallocation) -> Result<()> {
    resizing::resize(edit, To { size, preallocation }, Vec::new())
}

#[test]
fn another_size_is_that_of_qemu_img() {
    let dir = Bench::new();
    for (size, mode, word) in [
        (3 * MIB, Preallocation::Off, "off"),
        (3 * MIB, Preallocation::Falloc, "falloc"),
        (3 * MIB, Preallocation::Full, "full"),
        (MIB, Preallocation::Off, "off"),
    ] {
        let image = made_by_qemu(&dir, "2M");
        let theirs = dir.put("theirs", &std::fs::read(&image).unwrap());
        let host = Native::new(1);
        let file = File::new(&host, host.existing(&image));
        let key = instar_luks::unlock(file, PASSPHRASE).unwrap();
        let mut edit = instar_luks::edit(file, Some(key), None).unwrap();
        assert_eq!(edit.size(), DISK as u64);
        resized(&mut *edit, size, mode).unwrap();
        drop(edit);
        let source = format!("driver=luks,key-secret=s,file.filename={}", text(&theirs));
        let (mode, size) = (format!("--preallocation={word}"), size.to_string());
        let words = [
            "resize",
            "-q",
            "--shrink",
            &mode,
            SECRET[0],
            SECRET[1],
            "--image-opts",
            &source,
            &size,
        ];
        qemu(&words);
        assert!(dir.bytes("image") == dir.bytes("theirs"), "{word} {size}");
        assert_eq!(read_by_qemu(&dir, &image).len().to_string(), size);
    }
}

#[test]
fn what_cannot_be_changed_is_refused() {
    let dir = Bench::new();
    let image = made_by_qemu(&dir, "2M");
    let before = std::fs::read(&image).unwrap();
    let host = Native::new(1);
    let facts = host.existing(&image);
    let key = || Some(instar_luks::unlock(File::new(&host, facts), PASSPHRASE).unwrap());
    let edit = |facts: FileFacts| instar_luks::edit(File::new(&host, facts), key(), None).unwrap();
    let no_key = instar_luks::edit(File::new(&host, facts), None, None);
    assert_eq!(code(no_key), Some(fault::luks::NO_KEY));
    let mut file = edit(facts);
    assert_eq!(file.change(&Change::Amend(None)), Ok(()));
    let snapshot = file.change(&Change::DeleteSnapshot(b"one".to_vec()));
    assert_eq!(code(snapshot), Some(fault::core::UNSUPPORTED));
    let metadata = resized(&mut *file, 4 * MIB, Preallocation::Metadata);
    assert_eq!(code(metadata), Some(resize::PREALLOCATION));
    assert_eq!(
        code(resized(&mut *file, u64::MAX, Preallocation::Off)),
        Some(fault::core::OVERFLOW)
    );
    let mut device = edit(FileFacts {
        kind: FileKind::Block,
        ..facts
    });
    assert_eq!(resized(&mut *device, DISK as u64, Preallocation::Off), Ok(()));
    assert_eq!(
        code(resized(&mut *device, 4 * MIB, Preallocation::Off)),
        Some(resize::DEVICE)
    );
    let reserved = resized(&mut *device, 4 * MIB, Preallocation::Full);
    assert_eq!(code(reserved), Some(resize::DEVICE_PREALLOCATION));
    assert!(dir.bytes("image") == before);
}
