//! Images that lie. The driver refuses in qemu-img's words where it has any, and never does unbounded work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

mod common;

use instar_disk::fault::parallels as faults;
use instar_disk::{File, Findings};
use instar_testkit::image::walk;
use instar_testkit::oracle::{qemu, qemu_complaint, text};
use instar_testkit::pattern::MIB;
use instar_testkit::{Bench, Native, words};

fn set(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + value.len()].copy_from_slice(value);
    bytes
}

fn made(dir: &Bench) -> (std::path::PathBuf, Vec<u8>) {
    let raw = dir.raw("disk.raw", 2 * MIB, &[(0, 8192), (MIB, 4096)]);
    let image = dir.path("disk.hds");
    let options = "cluster_size=64k";
    qemu(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "parallels",
        "-o",
        options,
        text(&raw),
        text(&image),
    ]);
    let bytes = std::fs::read(&image).unwrap();
    (image, bytes)
}

#[test]
fn refuses_what_qemu_img_refuses_in_its_words() {
    let dir = Bench::new();
    let (image, bytes) = made(&dir);
    let lies: [(usize, &[u8]); 10] = [
        (0, &[0]),
        (16, &[1]),
        (16, &[3]),
        (28, &0_u32.to_le_bytes()),
        (28, &4_186_128_u32.to_le_bytes()),
        (28, &u32::MAX.to_le_bytes()),
        (32, &536_870_912_u32.to_le_bytes()),
        (32, &u32::MAX.to_le_bytes()),
        (56, &(1_u64 << 54).to_le_bytes()),
        (56, &u64::MAX.to_le_bytes()),
    ];
    for (at, value) in lies {
        let lie = set(&bytes, at, value);
        let fault = walk(instar_parallels::open, &image, &lie, 5, 1).unwrap_err();
        let said = qemu_complaint("parallels", &image).expect("qemu-img refuses too");
        assert_eq!(words(&fault), said, "at {at:#x}: {value:?}");
    }
}

#[test]
fn refuses_clusters_outside_the_file_or_in_the_bat() {
    let dir = Bench::new();
    let (image, bytes) = made(&dir);
    let end = u32::try_from(bytes.len() / 65536).unwrap();
    for value in [end, end + 1, u32::MAX] {
        let lie = set(&bytes, 64, &value.to_le_bytes());
        let fault = walk(instar_parallels::open, &image, &lie, 5, 1).unwrap_err();
        assert_eq!(fault.code, faults::OUTSIDE, "{value}");
    }
    // Old images count sectors: the header is the first.
    let mut old = bytes.clone();
    common::make_old(&mut old);
    walk(instar_parallels::open, &image, &old, 5, 1).unwrap();
    // Less BAT than disk: the rest is zeros.
    walk(
        instar_parallels::open,
        &image,
        &set(&old, 32, &[1, 0, 0, 0]),
        5,
        1,
    )
    .unwrap();
    let many = set(&old, 32, &200_u32.to_le_bytes());
    let fault = walk(
        instar_parallels::open,
        &image,
        &set(&many, 64, &[1, 0, 0, 0]),
        5,
        1,
    )
    .unwrap_err();
    assert_eq!(fault.code, faults::OUTSIDE);
    // The BAT is in the file, or nothing is read.
    let fault = walk(
        instar_parallels::open,
        &image,
        &set(&bytes, 32, &[0, 0, 0, 1]),
        5,
        1,
    )
    .unwrap_err();
    assert_eq!(fault.code, instar_disk::fault::core::SHORT_READ);
}

#[test]
fn what_is_used_twice_or_leads_nowhere_is_not_written_to() {
    let dir = Bench::new();
    let (image, bytes) = made(&dir);
    let mut old = bytes.clone();
    common::make_old(&mut old);
    let native = Native::new(1);
    let taken = |bytes: &[u8]| {
        std::fs::write(&image, bytes).unwrap();
        instar_parallels::existing(File::new(&native, native.existing(&image)), 0).err()
    };
    assert!(taken(&bytes).is_none() && taken(&old).is_none());
    for (lie, fault) in [
        (set(&bytes, 72, &bytes[64..68]), faults::SHARED),
        (set(&old, 72, &129_u32.to_le_bytes()), faults::SHARED),
        (set(&bytes, 72, &[99]), faults::DAMAGED),
        (set(&bytes, 48, &[1]), faults::DAMAGED),
    ] {
        assert_eq!(taken(&lie).unwrap().code, fault);
    }
}

#[test]
fn an_extension_without_end_is_bounded() {
    let dir = Bench::new();
    let (image, bytes) = made(&dir);
    // A cluster of 2 GiB, of which nothing is there.
    let mut large = set(&bytes, 28, &4_186_127_u32.to_le_bytes());
    large[56..64].copy_from_slice(&1_u64.to_le_bytes());
    large[512..520].copy_from_slice(&0xab23_4cef_23dc_ea87_u64.to_le_bytes());
    std::fs::write(&image, &large).unwrap();
    let native = Native::new(1);
    let fault = instar_parallels::open(File::new(&native, native.existing(&image)))
        .err()
        .unwrap();
    assert_eq!(fault.code, faults::EXTENSION_LARGE);
}

#[test]
fn a_check_of_anything_ends() {
    let dir = Bench::new();
    let (image, bytes) = made(&dir);
    let native = Native::new(1);
    for value in [1_u32, 2, 3, 99, 1 << 20, u32::MAX] {
        for at in [64, 68, 76] {
            std::fs::write(&image, set(&bytes, at, &value.to_le_bytes())).unwrap();
            let file = File::new(&native, native.existing(&image));
            let checked = instar_parallels::check(file)
                .and_then(|mut image| image.run(&mut Findings::unheard(&native)))
                .unwrap();
            assert!(checked.corruptions + checked.allocated_clusters > 0);
        }
    }
}
