//! Reading, beside qemu-img, which reads the same files.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failure is a test failure"
)]

use instar_testkit::Bench;
use instar_testkit::image::{read_all, walk};
use instar_testkit::lay::bochs as lay;
use instar_testkit::oracle::{info_number, qemu_complaint, qemu_reads};
use instar_testkit::pattern::{assert_same, pattern};
use instar_testkit::words;

const OPEN_CALLS: u64 = 1;
const MAP_CALLS: u64 = 2;

fn disk() -> Vec<u8> {
    let mut disk = pattern(0, 300 * 1024);
    for hole in [4096..8192, 70_144..140_288, 262_144..262_656] {
        disk[hole].fill(0);
    }
    disk
}

#[test]
fn reads_every_layout_as_qemu_img_does() {
    let dir = Bench::new();
    let image = dir.path("image");
    for (version, extent, bitmap, header, backwards) in [
        (0x20000, 512, 1, 512, false),
        (0x10000, 4096, 1, 512, true),
        (0x20000, 65536, 16, 512, true),
        (0x20000, 65536, 1025, 4096, false),
        (0x10000, 1 << 20, 256, 520, false),
        (0x20000, 8 << 20, 2048, 512, false),
    ] {
        let layout = lay::Layout {
            version,
            header,
            extent,
            bitmap,
            spare: 1,
            backwards,
        };
        let disk = disk();
        std::fs::write(&image, lay::image(&disk, layout)).unwrap();
        let ours = read_all(instar_bochs::open, &image).unwrap();
        assert_same(&ours, &disk, "the disk");
        assert_same(&ours, &qemu_reads("bochs", &image), &format!("{layout:?}"));
        assert_eq!(info_number("bochs", &image, "virtual-size"), Some(300 * 1024));
    }
}

#[test]
fn two_extents_may_have_one_place_as_for_qemu_img() {
    let dir = Bench::new();
    let image = dir.path("image");
    let mut bytes = lay::image(&disk(), lay::USUAL);
    bytes[512..516].copy_from_slice(&2_u32.to_le_bytes());
    std::fs::write(&image, bytes).unwrap();
    let ours = read_all(instar_bochs::open, &image).unwrap();
    assert_same(&ours, &qemu_reads("bochs", &image), "shared");
}

#[test]
fn refuses_what_qemu_img_refuses_in_its_words() {
    let dir = Bench::new();
    let image = dir.path("image");
    let sound = lay::image(&disk(), lay::USUAL);
    let lies: [(usize, &[u8]); 14] = [
        (0, b"b"),
        (22, b"s"),
        (32, b"r"),
        (39, b"s"),
        (48, b"Undoable"),
        (55, b"s"),
        (66, &[3]),
        (72, &0x0010_0001_u32.to_le_bytes()),
        (72, &1_u32.to_le_bytes()),
        (80, &0_u32.to_le_bytes()),
        (80, &511_u32.to_le_bytes()),
        (80, &1536_u32.to_le_bytes()),
        (80, &(16_u32 << 20).to_le_bytes()),
        (88, &u64::MAX.to_le_bytes()),
    ];
    for (at, value) in lies {
        let mut lie = sound.clone();
        lie[at..at + value.len()].copy_from_slice(value);
        let fault = walk(instar_bochs::open, &image, &lie, OPEN_CALLS, MAP_CALLS).unwrap_err();
        let said = qemu_complaint("bochs", &image).expect("qemu-img refuses too");
        assert_eq!(words(&fault), said, "at {at}");
    }
}

#[test]
fn recognises_growing_redologs_with_a_whole_header_and_nothing_else() {
    let bytes = lay::image(&disk(), lay::USUAL);
    assert!(instar_bochs::probe(&bytes[..512]));
    assert!(!instar_bochs::probe(&bytes[..511]));
    for (at, value) in [(0, b'b'), (32, b'r'), (48, b'g'), (66, 7)] {
        let mut bytes = bytes.clone();
        bytes[at] = value;
        assert!(!instar_bochs::probe(&bytes[..512]), "{at}");
    }
}
