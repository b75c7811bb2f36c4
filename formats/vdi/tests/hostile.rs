//! Images that lie. The driver refuses in qemu-img's words where it has any, and never does unbounded work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use std::path::PathBuf;

use instar_testkit::image::walk;
use instar_testkit::oracle::{qemu, qemu_complaint, text};
use instar_testkit::pattern::{MIB, pattern};
use instar_testkit::{Bench, words};

/// Calls that open may make: the header.
const OPEN_CALLS: u64 = 1;

/// Calls that one map may make: a page of the block map, extents of a static image.
const MAP_CALLS: u64 = 2;

fn sound(dir: &Bench, options: &str) -> (PathBuf, Vec<u8>) {
    let raw = dir.raw("disk.raw", 2 * MIB + 512, &[(MIB, 4096)]);
    let image = dir.path("disk.vdi");
    qemu(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "vdi",
        "-o",
        options,
        text(&raw),
        text(&image),
    ]);
    let bytes = std::fs::read(&image).unwrap();
    (image, bytes)
}

fn set(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn refuses_what_qemu_img_refuses_in_its_words() {
    let dir = Bench::new();
    let (image, bytes) = sound(&dir, "static=off");
    let lies: [(usize, &[u8]); 14] = [
        (0x170, &(1_u64 << 60).to_le_bytes()),
        (0x170, &u64::MAX.to_le_bytes()),
        (0x40, &[0]),
        (0x44, &[2]),
        (0x46, &[0]),
        (0x154, &[1]),
        (0x158, &[0x23, 1]),
        (0x168, &[0, 0x10]),
        (0x178, &0_u32.to_le_bytes()),
        (0x178, &(1_u32 << 16).to_le_bytes()),
        (0x180, &1_u32.to_le_bytes()),
        (0x180, &0x3000_0000_u32.to_le_bytes()),
        (0x1a8, &[1]),
        (0x1c7, &[1]),
    ];
    for (at, value) in lies {
        let lie = set(&bytes, at, value);
        let fault = walk(instar_vdi::open, &image, &lie, OPEN_CALLS, MAP_CALLS).unwrap_err();
        let said = qemu_complaint("vdi", &image).expect("qemu-img refuses too");
        assert_eq!(words(&fault), said, "at {at:#x}");
    }
}

#[test]
fn refuses_a_block_map_that_the_file_does_not_hold() {
    let dir = Bench::new();
    let (image, bytes) = sound(&dir, "static=off");
    // qemu-img reads such a map as zeros and gives block 0 for every block.
    for lie in [
        set(&bytes, 0x154, &(1_u32 << 30).to_le_bytes()),
        set(
            &set(&bytes, 0x180, &0x1fff_ff80_u32.to_le_bytes()),
            0x158,
            &0xffff_fe00_u32.to_le_bytes(),
        ),
        bytes[..520].to_vec(),
        bytes[..512].to_vec(),
    ] {
        let fault = walk(instar_vdi::open, &image, &lie, OPEN_CALLS, MAP_CALLS).unwrap_err();
        assert!(
            fault.code == instar_disk::fault::core::SHORT_READ
                || fault.code == instar_disk::fault::vdi::OVERLAP,
            "{}",
            words(&fault)
        );
    }
}

#[test]
fn a_terabyte_in_one_block_costs_one_read_for_each_page_of_its_map() {
    let dir = Bench::new();
    let image = dir.path("disk.vdi");
    qemu(&["create", "-q", "-f", "vdi", text(&image), "1T"]);
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[512..512 + (4 << 20)].fill(0);
    bytes.extend(pattern(0, MIB));
    std::fs::write(&image, &bytes).unwrap();
    let native = instar_testkit::Native::new(1);
    let counting = instar_testkit::Counting::new(&native);
    let facts = native.source(&image);
    let mut opened = instar_vdi::open(instar_disk::File::new(&counting, facts)).unwrap();
    let mut at = 0;
    while at < opened.size() {
        at += opened.map(at).unwrap().length;
    }
    assert_eq!(counting.take().requests, 1 + (4 << 20) / (32 << 10));
}
