//! Images that lie. The driver refuses in qemu-img's words where it has any, and never does unbounded work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use instar_disk::fault::qcow as faults;
use instar_disk::{Fault, File, Opened, Result};
use instar_testkit::image::walk;
use instar_testkit::oracle::{qemu, qemu_complaint, text};
use instar_testkit::pattern::MIB;
use instar_testkit::{Bench, Native, words};

fn open<'h>(file: File<'h>) -> Result<Opened<'h>> {
    instar_qcow::open(file, false)
}

fn set(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

fn made(dir: &Bench) -> (std::path::PathBuf, Vec<u8>) {
    let raw = dir.raw("disk.raw", 2 * MIB, &[(0, 8192), (MIB, 4096)]);
    let image = dir.path("disk.qcow");
    qemu(&["convert", "-f", "raw", "-O", "qcow", text(&raw), text(&image)]);
    let bytes = std::fs::read(&image).unwrap();
    (image, bytes)
}

fn first_table(bytes: &[u8]) -> usize {
    usize::try_from(u64::from_be_bytes(bytes[48..56].try_into().unwrap())).unwrap()
}

#[test]
fn refuses_what_qemu_img_refuses_in_its_words() {
    let dir = Bench::new();
    let (image, bytes) = made(&dir);
    let lies: [(usize, &[u8]); 16] = [
        (0, &[0]),
        (7, &[0]),
        (7, &[2]),
        (7, &[3]),
        (7, &[9]),
        (24, &0_u64.to_be_bytes()),
        (24, &1_u64.to_be_bytes()),
        (24, &u64::MAX.to_be_bytes()),
        (24, &(1_u64 << 63).to_be_bytes()),
        (24, &((268_435_455_u64 << 21) + 512).to_be_bytes()),
        (32, &[8]),
        (32, &[17]),
        (33, &[5]),
        (33, &[14]),
        (36, &[0, 0, 0, 2]),
        (36, &u32::MAX.to_be_bytes()),
    ];
    for (at, value) in lies {
        let lie = set(&bytes, at, value);
        let fault = walk(open, &image, &lie, 2, 2).unwrap_err();
        let said = qemu_complaint("qcow", &image).expect("qemu-img refuses too");
        assert_eq!(words(&fault), said, "at {at:#x}: {value:?}");
    }
    let named = set(&bytes, 8, &[0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 4, 0]);
    let fault = walk(open, &image, &named, 2, 2).unwrap_err();
    let said = qemu_complaint("qcow", &image).expect("qemu-img refuses too");
    assert_eq!(words(&fault), said);
}

#[test]
fn refuses_clusters_that_cannot_be_read_in_qemu_imgs_words() {
    let dir = Bench::new();
    let (image, bytes) = made(&dir);
    let table = first_table(&bytes);
    // On no sector; a stream of no bytes.
    for value in [8193_u64, 8192 + 256, 1 << 63 | 8192] {
        let lie = set(&bytes, table, &value.to_be_bytes());
        let fault = walk(open, &image, &lie, 2, 2).unwrap_err();
        assert_eq!(fault.code, faults::ENTRY, "{value:#x}");
        let said = qemu_complaint("qcow", &image).expect("qemu-img refuses too");
        assert!(said.ends_with(&words(&fault)), "{said}");
    }
}

#[test]
fn refuses_tables_and_clusters_outside_the_file_or_in_the_header() {
    let dir = Bench::new();
    let (image, bytes) = made(&dir);
    let (table, end) = (first_table(&bytes), bytes.len() as u64);
    let refused = |lie: &[u8]| -> Fault { walk(open, &image, lie, 2, 2).unwrap_err() };
    for value in [1, 40, end - 7, end, 1 << 40, (1 << 63) - 4096, 1 << 63] {
        let fault = refused(&set(&bytes, 40, &u64::to_be_bytes(value)));
        assert!(
            [faults::TABLE_OUTSIDE, instar_disk::fault::core::IO].contains(&fault.code),
            "{value:#x}"
        );
    }
    for value in [1, 40, 55, end - 4088, end, 1 << 62, u64::MAX] {
        let fault = refused(&set(&bytes, 48, &u64::to_be_bytes(value)));
        assert_eq!(fault.code, faults::TABLE_OUTSIDE, "{value:#x}");
    }
    let stream = |offset: u64, length: u64| 1 << 63 | length << 51 | offset;
    for value in [
        512,
        end - 3584,
        end + 4096,
        1 << 62,
        stream(0, 40),
        stream(50, 7),
        stream(end - 5, 6),
        stream((1 << 51) - 1, 4095),
    ] {
        // 512 is behind the header and L1; only what the other lies say is refused.
        let lie = set(&bytes, table, &u64::to_be_bytes(value));
        if value == 512 {
            walk(open, &image, &lie, 2, 2).unwrap();
            continue;
        }
        assert_eq!(refused(&lie).code, faults::CLUSTER_OUTSIDE, "{value:#x}");
    }
}

#[test]
fn what_is_used_twice_is_not_written_to() {
    let dir = Bench::new();
    let (image, bytes) = made(&dir);
    let table = first_table(&bytes);
    let first = u64::from_be_bytes(bytes[table..table + 8].try_into().unwrap());
    let stream = |offset: u64, length: u64| 1 << 63 | length << 51 | offset;
    let (inside, behind) = (table as u64 + 512, first + 512);
    for (value, fits) in [
        (first, false),
        (behind, false),
        (inside, false),
        (table as u64, false),
        (stream(first + 4095, 1), false),
        (stream(inside + 77, 3), false),
        (stream(60, 20), true),
    ] {
        std::fs::write(&image, set(&bytes, table + 24, &u64::to_be_bytes(value))).unwrap();
        let native = Native::new(1);
        let taken = instar_qcow::existing(File::new(&native, native.existing(&image)), 0);
        match taken {
            Ok(_) => assert!(fits, "{value:#x}"),
            Err(fault) => assert!(!fits && fault.code == faults::SHARED, "{value:#x}: {fault:?}"),
        }
    }
}

#[test]
fn an_encrypted_image_is_described_and_not_read_without_its_key() {
    let dir = Bench::new();
    let (image, bytes) = made(&dir);
    std::fs::write(&image, set(&bytes, 36, &[0, 0, 0, 1])).unwrap();
    let native = Native::new(1);
    let file = || File::new(&native, native.existing(&image));
    let mut described = instar_qcow::open(file(), true).unwrap();
    assert!(described.describe().unwrap().encrypted);
    let encrypted = instar_disk::fault::core::ENCRYPTED;
    let no_key = instar_disk::fault::qcow2::NO_KEY;
    assert_eq!(described.map(0).unwrap_err().code, no_key);
    assert_eq!(instar_qcow::open(file(), false).err().unwrap().code, no_key);
    assert_eq!(instar_qcow::edit(file()).err().unwrap().code, encrypted);
    assert_eq!(instar_qcow::existing(file(), 0).err().unwrap().code, encrypted);
}
