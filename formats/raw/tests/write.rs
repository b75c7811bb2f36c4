//! Raw images as targets, and other sizes of them: beside qemu-img, in files and in what passes for a device.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failure is a test failure"
)]

use instar_disk::fault::{self, resize};
use instar_disk::job::{Change, Preallocation, RawCreate};
use instar_disk::{Edit, FaultCode, FileFacts, FileKind, Target};
use instar_disk::{File, Result};
use instar_testkit::image::as_device;
use instar_testkit::oracle::{qemu, text};
use instar_testkit::pattern::MIB;
use instar_testkit::resizing::{self, To};
use instar_testkit::{Bench, Native};

const KIB: u64 = 1 << 10;

const MODES: [(Preallocation, &str); 3] = [
    (Preallocation::Off, "off"),
    (Preallocation::Falloc, "falloc"),
    (Preallocation::Full, "full"),
];

fn create<'h>(file: File<'h>, preallocation: Preallocation, size: u64) -> Result<Box<dyn Target + 'h>> {
    instar_raw::create(file, &RawCreate { preallocation }, size)
}

fn code<T>(outcome: Result<T>) -> Option<FaultCode> {
    outcome.err().map(|fault| fault.code)
}

/// Data at 4 KiB, and zeros over what there was at 64 KiB.
fn fill(file: File<'_>, target: &mut dyn Target) {
    let place = target.allocate(4 * KIB, 8 * KIB).unwrap();
    assert_eq!((place.offset, place.length), (4 * KIB, 8 * KIB));
    file.write(place.offset, &[7; 8192]).unwrap();
    target.zero(64 * KIB, 32 * KIB).unwrap();
    assert!(target.finish().is_ok());
}

#[test]
fn a_new_image_is_that_of_qemu_img() {
    let dir = Bench::new();
    for (mode, word) in MODES {
        // What is there already is emptied first.
        for old in [false, true] {
            let (ours, theirs) = (dir.path("ours"), dir.path("theirs"));
            let host = Native::new(1);
            let facts = match old {
                true => host.existing(dir.put("ours", &[0xee; 3 << 20])),
                false => host.target(&ours),
            };
            let file = File::new(&host, facts);
            drop(create(file, mode, MIB + 1).unwrap());
            let options = format!("preallocation={word}");
            qemu(&[
                "create",
                "-q",
                "-f",
                "raw",
                "-o",
                &options,
                text(&theirs),
                "1048577",
            ]);
            assert!(dir.bytes("ours") == dir.bytes("theirs"), "{word} {old}");
            std::fs::remove_file(&ours).unwrap();
            std::fs::remove_file(&theirs).unwrap();
        }
    }
}

#[test]
fn what_is_written_stands_where_it_is_on_the_disk() {
    let dir = Bench::new();
    let host = Native::new(1);
    let facts = host.existing(dir.put("image", &[9; 256 << 10]));
    let file = File::new(&host, facts);
    fill(file, &mut *instar_raw::existing(file, 100 * KIB).unwrap());
    let mut expected = vec![9; 256 << 10];
    expected[4096..12288].fill(7);
    expected[65536..98304].fill(0);
    assert!(dir.bytes("image") == expected);
    let too_long = code(instar_raw::existing(file, 257 * KIB));
    assert_eq!(too_long, Some(fault::core::TARGET_TOO_SMALL));
}

#[test]
fn a_device_keeps_its_size_and_loses_what_made_it_an_image() {
    let dir = Bench::new();
    let host = Native::new(1);
    let facts = as_device(&host, &dir.path("device"), 256 << 10);
    let file = File::new(&host, facts);
    let too_small = code(create(file, Preallocation::Off, MIB));
    assert_eq!(too_small, Some(fault::core::GROW_DEVICE));
    assert!(dir.bytes("device") == vec![0xee; 256 << 10]);
    fill(file, &mut *create(file, Preallocation::Off, 128 * KIB).unwrap());
    let after = dir.bytes("device");
    assert_eq!(after.len(), 256 << 10);
    assert!(after[4096..12288] == [7; 8192] && after[65536..98304] == [0; 32768]);
    assert!(!after.starts_with(&[0xee; 4]), "a magic number may stand there");
}

fn resized(edit: &mut dyn Edit, size: u64, preallocation: Preallocation) -> Result<()> {
    resizing::resize(edit, To { size, preallocation }, Vec::new())
}

#[test]
fn another_size_is_that_of_qemu_img() {
    let dir = Bench::new();
    for (mode, word) in MODES {
        for size in [MIB + 512, 100 * KIB] {
            if size < MIB && mode != Preallocation::Off {
                continue;
            }
            let (ours, theirs) = (dir.put("ours", &[9; 1 << 20]), dir.put("theirs", &[9; 1 << 20]));
            let host = Native::new(1);
            let mut edit = instar_raw::edit(File::new(&host, host.existing(&ours))).unwrap();
            assert_eq!(edit.size(), MIB);
            resized(&mut *edit, size, mode).unwrap();
            let (mode, size) = (format!("--preallocation={word}"), size.to_string());
            qemu(&[
                "resize",
                "-q",
                "-f",
                "raw",
                "--shrink",
                &mode,
                text(&theirs),
                &size,
            ]);
            assert!(dir.bytes("ours") == dir.bytes("theirs"), "{word} {size}");
        }
    }
}

#[test]
fn what_cannot_be_changed_is_refused() {
    let dir = Bench::new();
    let host = Native::new(1);
    let edit = |facts: FileFacts| instar_raw::edit(File::new(&host, facts)).unwrap();
    let plain = host.existing(dir.put("plain", &[9; 4096]));
    let mut file = edit(plain);
    assert_eq!(
        code(file.change(&Change::Amend(None))),
        Some(fault::core::UNSUPPORTED)
    );
    let metadata = resized(&mut *file, MIB, Preallocation::Metadata);
    assert_eq!(code(metadata), Some(resize::PREALLOCATION));
    let mut device = edit(FileFacts {
        kind: FileKind::Block,
        ..plain
    });
    assert_eq!(resized(&mut *device, 4096, Preallocation::Off), Ok(()));
    assert_eq!(
        code(resized(&mut *device, 8192, Preallocation::Off)),
        Some(resize::DEVICE)
    );
    let reserved = resized(&mut *device, 8192, Preallocation::Full);
    assert_eq!(code(reserved), Some(resize::DEVICE_PREALLOCATION));
    assert!(dir.bytes("plain") == [9; 4096]);
}
