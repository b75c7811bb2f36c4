//! What we write, read by qemu-img.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use std::path::{Path, PathBuf};

use instar_disk::File;
use instar_disk::job::{Seed, VdiCreate};
use instar_testkit::image::write_disk;
use instar_testkit::oracle::{qemu, qemu_info, qemu_reads, run, text};
use instar_testkit::pattern::{MIB, assert_same, pattern};
use instar_testkit::{Bench, Native};

const SEED: Seed = Seed {
    random: [0x5a; 32],
    unix_seconds: 1_700_000_000,
};

fn write(dir: &Bench, disk: &[u8], static_image: bool, stride: u64) -> PathBuf {
    let path = dir.path("ours.vdi");
    let native = Native::new(1);
    let facts = native.target(&path);
    let options = VdiCreate {
        static_image,
        aligned: false,
    };
    let mut target =
        instar_vdi::create(File::new(&native, facts), &options, disk.len() as u64, &SEED).unwrap();
    assert_eq!(target.size(), (disk.len() as u64).next_multiple_of(512));
    write_disk(&native, target.as_mut(), disk, stride).unwrap();
    path
}

/// Pattern in every block but each third one.
fn disk(size: u64) -> Vec<u8> {
    let mut bytes = pattern(0, size);
    for (index, block) in bytes.chunks_mut(1 << 20).enumerate() {
        match index % 5 {
            1 => block.fill(0),
            3 => block.iter_mut().take(1 << 19).for_each(|byte| *byte = 0),
            _ => {}
        }
    }
    bytes
}

/// Everything but the free text and the two identifiers.
fn without_identity(path: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[..64].fill(0);
    bytes[0x188..0x1a8].fill(0);
    bytes
}

#[test]
fn qemu_img_reads_what_we_write_and_finds_nothing_to_say() {
    let dir = Bench::new();
    for size in [512, MIB - 512, MIB, MIB + 512, 7 * MIB, 20 * MIB + 1024] {
        for (static_image, stride) in [(false, 1), (false, 64), (true, 3)] {
            let disk = disk(size);
            let ours = write(&dir, &disk, static_image, stride);
            let what = format!("{size} static={static_image} stride={stride}");
            assert_same(&qemu_reads("vdi", &ours), &disk, &what);
            assert!(
                qemu(&["check", "-f", "vdi", text(&ours)]).contains("No errors"),
                "{what}"
            );
        }
    }
}

#[test]
fn the_file_is_qemu_img_s_byte_for_byte_but_for_text_and_identifiers() {
    let dir = Bench::new();
    for size in [0, 512, MIB, MIB + 512, 33 * MIB] {
        for static_image in [false, true] {
            let disk = disk(size);
            let ours = write(&dir, &disk, static_image, 4);
            let raw = dir.path("disk.raw");
            std::fs::write(&raw, &disk).unwrap();
            let theirs = dir.path("theirs.vdi");
            let option = if static_image { "static=on" } else { "static=off" };
            qemu(&[
                "convert",
                "-f",
                "raw",
                "-O",
                "vdi",
                "-o",
                option,
                text(&raw),
                text(&theirs),
            ]);
            let what = format!("{size} {option}");
            assert_same(&without_identity(&ours), &without_identity(&theirs), &what);
            assert_eq!(qemu_info("vdi", &ours), qemu_info("vdi", &theirs), "{what}");
        }
    }
}

#[test]
fn a_map_of_many_windows_is_filled_where_nothing_was_written() {
    let dir = Bench::new();
    let path = dir.path("ours.vdi");
    let native = Native::new(1);
    let facts = native.target(&path);
    let size = 2 << 40;
    let mut target =
        instar_vdi::create(File::new(&native, facts), &VdiCreate::default(), size, &SEED).unwrap();
    // The windows of the map hold 16384 blocks each: the first, the last of one, one in the middle, the very last.
    let blocks = [0, 16383, 1_000_000, size / MIB - 1];
    for block in blocks {
        let place = target.allocate(block * MIB, MIB).unwrap();
        File::new(&native, facts)
            .write(place.offset, &pattern(block * MIB, 4096))
            .unwrap();
    }
    // Again, out of order: the places stay.
    let again = target.allocate(16383 * MIB, MIB).unwrap();
    target.finish().unwrap();
    let third = target.allocate(16383 * MIB, MIB).unwrap();
    assert_eq!(again.offset, third.offset);
    assert!(qemu(&["check", "-f", "vdi", text(&path)]).contains("No errors"));
    let map = qemu(&["map", "--output", "json", "-f", "vdi", text(&path)]);
    let data: Vec<_> = map
        .lines()
        .filter(|line| line.contains("\"data\": true"))
        .collect();
    assert_eq!(data.len(), blocks.len(), "{map}");
    for (line, block) in data.iter().zip(blocks) {
        assert!(
            line.contains(&format!("\"start\": {}, \"length\": {MIB}", block * MIB)),
            "{line}"
        );
    }
}

#[test]
fn zeroing_an_allocated_block_reads_back_as_zeros() {
    let dir = Bench::new();
    let path = dir.path("ours.vdi");
    let native = Native::new(1);
    let facts = native.target(&path);
    let mut target =
        instar_vdi::create(File::new(&native, facts), &VdiCreate::default(), 3 * MIB, &SEED).unwrap();
    let disk = pattern(0, 3 * MIB);
    let place = target.allocate(0, 2 * MIB).unwrap();
    assert_eq!(place.length, 2 * MIB);
    File::new(&native, facts)
        .write(place.offset, &disk[..2 << 20])
        .unwrap();
    target.zero(MIB, 2 * MIB).unwrap();
    target.finish().unwrap();
    let read = qemu_reads("vdi", &path);
    assert_same(&read[..1 << 20], &disk[..1 << 20], "first block");
    assert!(read[1 << 20..].iter().all(|b| *b == 0));
}

#[test]
fn an_unfinished_image_is_not_a_vdi() {
    let dir = Bench::new();
    let path = dir.path("ours.vdi");
    let native = Native::new(1);
    let facts = native.target(&path);
    for static_image in [false, true] {
        let options = VdiCreate {
            static_image,
            aligned: false,
        };
        let mut target = instar_vdi::create(File::new(&native, facts), &options, 3 * MIB, &SEED).unwrap();
        let place = target.allocate(0, MIB).unwrap();
        File::new(&native, facts).write(place.offset, &[1; 4096]).unwrap();
        assert!(!run(&["info", "-f", "vdi", text(&path)]).status.success());
    }
}

#[test]
fn an_existing_file_is_emptied_first() {
    let dir = Bench::new();
    let path = dir.path("ours.vdi");
    std::fs::write(&path, vec![0xee; 9 << 20]).unwrap();
    let native = Native::new(1);
    let facts = native.existing(&path);
    let mut target =
        instar_vdi::create(File::new(&native, facts), &VdiCreate::default(), 2 * MIB, &SEED).unwrap();
    let disk = disk(2 * MIB);
    write_disk(&native, target.as_mut(), &disk, 8).unwrap();
    assert_same(&qemu_reads("vdi", &path), &disk, "emptied");
}

#[test]
fn the_same_seed_gives_the_same_file() {
    let dir = Bench::new();
    let disk = disk(3 * MIB);
    let one = std::fs::read(write(&dir, &disk, false, 1)).unwrap();
    let two = std::fs::read(write(&dir, &disk, false, 9)).unwrap();
    assert_eq!(one, two);
}

#[test]
fn refuses_the_size_that_qemu_img_refuses_in_its_words() {
    let dir = Bench::new();
    let native = Native::new(1);
    for (size, fits) in [
        (0x1_ffff_f800_0000_u64, true),
        (0x1_ffff_f800_0200, false),
        (1 << 62, false),
    ] {
        let path = dir.path("ours.vdi");
        let facts = native.target(&path);
        let made = instar_vdi::create(File::new(&native, facts), &VdiCreate::default(), size, &SEED);
        let theirs = dir.path("theirs.vdi");
        if fits {
            // qemu-img would write a map of 2 GiB; that the reference page names this limit is proof enough.
            assert!(made.is_ok());
            continue;
        }
        let output = run(&["create", "-q", "-f", "vdi", text(&theirs), &size.to_string()]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains(&instar_testkit::words(&made.err().unwrap())),
            "{said}"
        );
    }
}
