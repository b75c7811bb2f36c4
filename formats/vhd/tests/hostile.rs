//! Images that lie. The driver refuses in qemu-img's words where it has any, and never does unbounded work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

mod build;

use build::{ByHand, dynamic, put, seal};
use instar_disk::fault::vhd as faults;
use instar_testkit::image::walk;
use instar_testkit::oracle::{qemu, qemu_complaint, text};
use instar_testkit::pattern::MIB;
use instar_testkit::{Bench, words};

/// Calls that open may make: two headers, a locator, a mebibyte of table in pages of 32 KiB.
const OPEN_CALLS: u64 = 3 + 32;

/// Calls that one map may make: a page of the table, a piece of a bitmap.
const MAP_CALLS: u64 = 2;

/// A small dynamic or differencing disk.
fn sound(disk_type: u32) -> Vec<u8> {
    dynamic(&ByHand {
        size: 5 * 4096,
        block_size: 4096,
        blocks: &[Some(2), None, Some(0), None, Some(1)],
        bitmap: &|_| 0xa5,
        disk_type,
        parent: Some("p.vhd"),
    })
}

#[test]
fn refuses_what_qemu_img_refuses_in_its_words() {
    let dir = Bench::new();
    let image = dir.path("lie.vhd");
    let bytes = sound(3);
    let size = bytes.len() as u64;
    let lies: [(usize, &[u8]); 17] = [
        (64, &[0x12]),
        (0, b"X"),
        (16, &(1_u64 << 40).to_be_bytes()),
        (16, &u64::MAX.to_be_bytes()),
        (528, &u64::MAX.to_be_bytes()),
        (512, b"X"),
        (544, &0_u32.to_be_bytes()),
        (544, &511_u32.to_be_bytes()),
        (544, &3_u32.to_be_bytes()),
        (544, &512_u32.to_be_bytes()),
        (540, &4_u32.to_be_bytes()),
        (540, &0x2000_0000_u32.to_be_bytes()),
        (540, &100_000_u32.to_be_bytes()),
        (528, &(1_u64 << 40).to_be_bytes()),
        (528, &size.to_be_bytes()),
        (2048, &1000_u32.to_be_bytes()),
        (2048 + 16, &0xffff_fffe_u32.to_be_bytes()),
    ];
    for (at, value) in lies {
        let mut lie = bytes.clone();
        put(&mut lie, at, value);
        if (8..64).contains(&at) {
            seal(&mut lie, 0, 512, 64);
        }
        let fault = walk(instar_vhd::open, &image, &lie, OPEN_CALLS, MAP_CALLS).unwrap_err();
        let said = qemu_complaint("vpc", &image).expect("qemu-img refuses too");
        assert_eq!(words(&fault), said, "at {at}");
    }
    for tiny in [&b""[..], b"x", b"conectix", &[0; 511]] {
        let fault = walk(instar_vhd::open, &image, tiny, OPEN_CALLS, MAP_CALLS).unwrap_err();
        let said = qemu_complaint("vpc", &image).expect("qemu-img refuses too");
        assert_eq!(words(&fault), said);
    }
}

#[test]
fn refuses_too_large_a_disk_unknown_types_and_blocks_inside_the_headers() {
    let dir = Bench::new();
    let image = dir.path("lie.vhd");
    let cases: [(usize, &[u8], _); 6] = [
        (48, &(0xff00_0001_u64 << 9).to_be_bytes(), faults::DISK_TOO_LARGE),
        (60, &77_u32.to_be_bytes(), faults::DISK_TYPE),
        (60, &2_u32.to_be_bytes(), faults::NOT_VHD),
        (2048, &0_u32.to_be_bytes(), faults::OVERLAP),
        (2048, &1_u32.to_be_bytes(), faults::OVERLAP),
        (2048, &4_u32.to_be_bytes(), faults::OVERLAP),
    ];
    for (at, value, code) in cases {
        let mut lie = sound(3);
        put(&mut lie, at, value);
        seal(&mut lie, 0, 512, 64);
        let fault = walk(instar_vhd::open, &image, &lie, OPEN_CALLS, MAP_CALLS).unwrap_err();
        assert_eq!(fault.code, code, "at {at}");
        assert!(!words(&fault).contains('{'), "{}", words(&fault));
    }
}

#[test]
fn locators_that_lead_astray_are_left_alone() {
    let dir = Bench::new();
    let image = dir.path("lie.vhd");
    for (at, value) in [
        (512 + 584, u32::MAX.to_be_bytes()),
        (512 + 584, 5000_u32.to_be_bytes()),
        (512 + 592, 0x7fff_ffff_u32.to_be_bytes()),
        (512 + 596, u32::MAX.to_be_bytes()),
        (1536, 0x00d8_00d8_u32.to_be_bytes()),
    ] {
        let mut lie = sound(4);
        put(&mut lie, at, &value);
        let fault = walk(instar_vhd::open, &image, &lie, OPEN_CALLS, MAP_CALLS).unwrap_err();
        assert_eq!(fault.code, faults::NO_PARENT, "at {at}");
    }
}

#[test]
fn a_terabyte_in_one_block_costs_one_read_for_each_page_of_its_table() {
    let dir = Bench::new();
    let image = dir.path("one.vhd");
    qemu(&[
        "create",
        "-q",
        "-f",
        "vpc",
        "-o",
        "force_size=on",
        text(&image),
        "1T",
    ]);
    let mut bytes = std::fs::read(&image).unwrap();
    let table = 4 * (1 << 20) / 2;
    let block = u32::try_from((1536 + table) / 512).unwrap();
    for entry in bytes[1536..1536 + table].chunks_exact_mut(4) {
        entry.copy_from_slice(&block.to_be_bytes());
    }
    bytes.resize(bytes.len() + (2 << 20) + 512, 0xff);
    std::fs::write(&image, &bytes).unwrap();
    let native = instar_testkit::Native::new(1);
    let counting = instar_testkit::Counting::new(&native);
    let facts = native.source(&image);
    let mut opened = instar_vhd::open(instar_disk::File::new(&counting, facts)).unwrap();
    let opening = counting.take().requests;
    let mut at = 0;
    while at < opened.size() {
        at += opened.map(at).unwrap().length;
    }
    let pages = u64::try_from(table).unwrap() / (32 << 10);
    assert_eq!(
        (opening, counting.take().requests),
        (2 + (1 << 20) / (32 << 10), pages)
    );
    assert!(at > MIB);
}
