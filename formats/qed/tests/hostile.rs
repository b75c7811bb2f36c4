//! Images that lie. The driver refuses in qemu-img's words where it has any, and never does unbounded work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use instar_testkit::Bench;
use instar_testkit::image::walk;
use instar_testkit::oracle::{qemu, qemu_complaint, text};
use instar_testkit::pattern::MIB;
use instar_testkit::words;

fn set(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

#[test]
fn refuses_what_qemu_img_refuses_in_its_words() {
    let dir = Bench::new();
    let raw = dir.raw("disk.raw", 2 * MIB, &[(MIB, 4096)]);
    let image = dir.path("disk.qed");
    qemu(&["convert", "-f", "raw", "-O", "qed", text(&raw), text(&image)]);
    let bytes = std::fs::read(&image).unwrap();
    let lies: [(usize, &[u8]); 20] = [
        (0, &[0]),
        (4, &2048_u32.to_le_bytes()),
        (4, &65537_u32.to_le_bytes()),
        (4, &(1_u32 << 27).to_le_bytes()),
        (8, &[0]),
        (8, &[3]),
        (8, &[32]),
        (12, &[2]),
        (12, &u32::MAX.to_le_bytes()),
        (16, &[8]),
        (16, &u64::MAX.to_le_bytes()),
        (40, &0_u64.to_le_bytes()),
        (40, &1_u64.to_le_bytes()),
        (40, &(7_u64 << 16).to_le_bytes()),
        (40, &u64::MAX.to_le_bytes()),
        (48, &[1]),
        (48, &((1_u64 << 46) + 512).to_le_bytes()),
        (48, &u64::MAX.to_le_bytes()),
        // A name that is not in the header, and one that is too long.
        (16, &[1, 0, 0, 0, 0, 0, 0, 0]),
        (16, &[1, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (number, (at, value)) in lies.into_iter().enumerate() {
        let mut lie = set(&bytes, at, value);
        match number {
            18 => lie = set(&lie, 56, &65536_u32.to_le_bytes()),
            19 => lie = set(&lie, 60, &4096_u32.to_le_bytes()),
            _ => {}
        }
        if number == 18 {
            lie = set(&lie, 60, &[1]);
        }
        let fault = walk(instar_qed::open, &image, &lie, 2, 2).unwrap_err();
        let said = qemu_complaint("qed", &image).expect("qemu-img refuses too");
        assert_eq!(words(&fault), said, "{number}, at {at:#x}");
    }
}

#[test]
fn refuses_tables_and_clusters_where_none_can_be() {
    let dir = Bench::new();
    let raw = dir.raw("disk.raw", 2 * MIB, &[(0, 4096), (MIB, 4096)]);
    let image = dir.path("disk.qed");
    qemu(&["convert", "-f", "raw", "-O", "qed", text(&raw), text(&image)]);
    let bytes = std::fs::read(&image).unwrap();
    let table = usize::try_from(u64::from_le_bytes(bytes[65536..65544].try_into().unwrap())).unwrap();
    let end = bytes.len() as u64;
    for at in [65536, table] {
        for value in [2, 4096, 65537, end, end + 65536, 1 << 62, u64::MAX << 16] {
            let lie = set(&bytes, at, &u64::to_le_bytes(value));
            let fault = walk(instar_qed::open, &image, &lie, 2, 2).unwrap_err();
            assert_eq!(fault.code, instar_disk::fault::qed::ENTRY, "{at:#x}: {value:#x}");
            let said = qemu_complaint("qed", &image).expect("qemu-img refuses too");
            assert!(said.ends_with(&words(&fault)), "{said}");
        }
    }
}
