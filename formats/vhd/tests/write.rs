//! What we write, read by qemu-img.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use std::path::{Path, PathBuf};

use instar_disk::File;
use instar_disk::job::{Seed, VpcCreate};
use instar_testkit::image::write_disk;
use instar_testkit::oracle::{info_number, qemu, qemu_info, qemu_reads, run, text};
use instar_testkit::pattern::{MIB, assert_same, pattern};
use instar_testkit::{Bench, Native, words};

const SEED: Seed = Seed {
    random: [0x5a; 32],
    unix_seconds: 1_700_000_000,
};

const ALL: [VpcCreate; 4] = [
    options(false, false),
    options(true, false),
    options(false, true),
    options(true, true),
];

const fn options(fixed: bool, force_size: bool) -> VpcCreate {
    VpcCreate { fixed, force_size }
}

fn said(options: VpcCreate) -> String {
    let subformat = if options.fixed { "fixed" } else { "dynamic" };
    let force = if options.force_size { "on" } else { "off" };
    format!("subformat={subformat},force_size={force}")
}

fn write(dir: &Bench, disk: &[u8], options: VpcCreate, stride: u64) -> PathBuf {
    let path = dir.path("ours.vhd");
    let native = Native::new(1);
    let facts = native.target(&path);
    let size = disk.len() as u64;
    let mut target = instar_vhd::create(File::new(&native, facts), &options, size, &SEED).unwrap();
    assert!(target.size() >= size);
    write_disk(&native, target.as_mut(), disk, stride).unwrap();
    path
}

fn disk(size: u64) -> Vec<u8> {
    let mut bytes = pattern(0, size);
    for (index, block) in bytes.chunks_mut(2 << 20).enumerate() {
        match index % 5 {
            1 => block.fill(0),
            3 => block.iter_mut().take(1 << 20).for_each(|byte| *byte = 0),
            _ => {}
        }
    }
    bytes
}

#[test]
fn the_sizes_of_the_matrix_are_qemu_img_s() {
    let wanted: [(u64, u64); 14] = [
        (0, 0),
        (512, 34816),
        (1000, 34816),
        (3000, 34816),
        (34816, 34816),
        (34817, 69632),
        (65536, 69632),
        (131_072, 139_264),
        (1 << 20, 1_079_296),
        (35_651_584, 35_686_400),
        (1 << 30, 1_073_995_776),
        (10 << 30, 10_737_893_376),
        (127 << 30, 136_365_219_840),
        (104_349 * 512, 104_363 * 512),
    ];
    let dir = Bench::new();
    let image = dir.path("theirs.vhd");
    for (size, rounded) in wanted {
        assert_eq!(
            instar_vhd::rounded_size(size, false).unwrap().0,
            rounded,
            "{size}"
        );
        qemu(&["create", "-q", "-f", "vpc", text(&image), &size.to_string()]);
        assert_eq!(
            info_number("vpc", &image, "virtual-size"),
            Some(rounded),
            "{size}"
        );
    }
}

#[test]
fn sizes_and_geometries_are_qemu_img_s_around_every_bend_of_the_rule() {
    let dir = Bench::new();
    let image = dir.path("theirs.vhd");
    // Where heads change, tracks grow to 31, to 63, to 255 sectors, and the geometry ends; and sizes without a pattern.
    let bends = [
        17 * 4 * 1024,
        17 * 5 * 1024,
        17 * 16 * 1024,
        31 * 16 * 1024,
        65535 * 16 * 63,
        65535 * 16 * 255,
    ];
    let around = |bend: u64| {
        [
            bend - 4081,
            bend - 18,
            bend - 1,
            bend,
            bend + 1,
            bend + 19,
            bend + 70000,
        ]
    };
    let scattered = (1..60_u64).map(|n| n * n * n * 977 % 0xf000_0000);
    for sectors in bends.into_iter().flat_map(around).chain(scattered) {
        let (size, geometry) = instar_vhd::rounded_size(sectors * 512, false).unwrap();
        qemu(&[
            "create",
            "-q",
            "-f",
            "vpc",
            text(&image),
            &(sectors * 512).to_string(),
        ]);
        let made = std::fs::read(&image).unwrap();
        let theirs = (u16::from_be_bytes([made[56], made[57]]), made[58], made[59]);
        assert_eq!(
            (geometry.cylinders, geometry.heads, geometry.sectors),
            theirs,
            "{sectors}"
        );
        assert_eq!(
            info_number("vpc", &image, "virtual-size"),
            Some(size),
            "{sectors}"
        );
    }
}

#[test]
fn qemu_img_reads_what_we_write() {
    let dir = Bench::new();
    for size in [512, 2 * MIB - 512, 2 * MIB, 2 * MIB + 512, 21 * MIB] {
        for (options, stride) in ALL.into_iter().flat_map(|options| [(options, 1), (options, 7)]) {
            let disk = disk(size);
            let ours = write(&dir, &disk, options, stride);
            let read = qemu_reads("vpc", &ours);
            let (front, rest) = read.split_at(disk.len());
            assert_same(front, &disk, &format!("{size} {}", said(options)));
            assert!(rest.iter().all(|byte| *byte == 0));
        }
    }
}

/// Everything but what names the image: time, identifier, and the checksums over them.
fn without_identity(path: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    let end = bytes.len() - 512;
    for footer in [0, end] {
        if bytes[footer..].starts_with(b"conectix") {
            bytes[footer + 24..footer + 28].fill(0);
            bytes[footer + 64..footer + 84].fill(0);
        }
    }
    bytes
}

#[test]
fn the_file_is_qemu_img_s_byte_for_byte_but_for_time_and_identifier() {
    let dir = Bench::new();
    for size in [0, 512, 34816, 2 * MIB + 512, 21 * MIB] {
        for options in ALL {
            let disk = disk(size);
            let ours = write(&dir, &disk, options, 4);
            if size == 0 && options.fixed {
                // qemu-img cannot open what it makes of this.
                assert_eq!(std::fs::metadata(&ours).unwrap().len(), 512);
                continue;
            }
            let raw = dir.path("disk.raw");
            std::fs::write(&raw, &disk).unwrap();
            let theirs = dir.path("theirs.vhd");
            qemu(&[
                "convert",
                "-f",
                "raw",
                "-O",
                "vpc",
                "-o",
                &said(options),
                text(&raw),
                text(&theirs),
            ]);
            let what = format!("{size} {}", said(options));
            assert_same(&without_identity(&ours), &without_identity(&theirs), &what);
            assert_eq!(qemu_info("vpc", &ours), qemu_info("vpc", &theirs), "{what}");
        }
    }
}

#[test]
fn more_blocks_than_a_batch_of_bitmaps_in_a_table_of_several_windows() {
    let dir = Bench::new();
    let path = dir.path("ours.vhd");
    let native = Native::new(1);
    let facts = native.target(&path);
    let size = 200 << 30;
    let mut target =
        instar_vhd::create(File::new(&native, facts), &VpcCreate::default(), size, &SEED).unwrap();
    // A window of the table holds 16384 blocks: 200 at its start, some over its end, the last of the disk.
    let blocks: Vec<u64> = (0..200).chain(16380..16390).chain([102_399]).collect();
    for block in &blocks {
        let place = target.allocate(block * 2 * MIB, 2 * MIB).unwrap();
        assert_eq!(place.length, 2 * MIB);
        File::new(&native, facts)
            .write(place.offset + 4096, &pattern(block * 2 * MIB, 512))
            .unwrap();
    }
    target.finish().unwrap();
    let map = qemu(&["map", "--output", "json", "-f", "vpc", text(&path)]);
    let data: u64 = map
        .lines()
        .filter(|line| line.contains("\"data\": true"))
        .map(|line| {
            line.split("\"length\": ")
                .nth(1)
                .unwrap()
                .split(',')
                .next()
                .unwrap()
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    assert_eq!(data, blocks.len() as u64 * 2 * MIB);
    for block in [0, 199, 16384, 16389, 102_399_u64] {
        let out = dir.path("piece");
        let skip = format!("skip={}", block * 4096 + 8);
        let (input, output) = (format!("if={}", path.display()), format!("of={}", out.display()));
        qemu(&[
            "dd",
            "-f",
            "vpc",
            "-O",
            "raw",
            "bs=512",
            &skip,
            &format!("count={}", block * 4096 + 9),
            &input,
            &output,
        ]);
        assert_same(
            &std::fs::read(&out).unwrap(),
            &pattern(block * 2 * MIB, 512),
            "piece",
        );
    }
}

#[test]
fn an_unfinished_image_is_not_a_vhd() {
    let dir = Bench::new();
    let path = dir.path("ours.vhd");
    for options in ALL {
        let native = Native::new(1);
        let facts = native.target(&path);
        let mut target = instar_vhd::create(File::new(&native, facts), &options, 3 * MIB, &SEED).unwrap();
        let place = target.allocate(0, 2 * MIB).unwrap();
        File::new(&native, facts).write(place.offset, &[1; 4096]).unwrap();
        assert!(!run(&["info", "-f", "vpc", text(&path)]).status.success());
    }
}

#[test]
fn an_existing_file_is_emptied_first_and_zeroed_blocks_read_as_zeros() {
    let dir = Bench::new();
    let path = dir.path("ours.vhd");
    for options in ALL {
        std::fs::write(&path, vec![0xee; 9 << 20]).unwrap();
        let native = Native::new(1);
        let facts = native.existing(&path);
        let mut target = instar_vhd::create(File::new(&native, facts), &options, 6 * MIB, &SEED).unwrap();
        for block in 0..2 {
            let place = target.allocate(block * 2 * MIB, 2 * MIB).unwrap();
            File::new(&native, facts)
                .write(place.offset, &pattern(0, 2 * MIB))
                .unwrap();
        }
        target.zero(2 * MIB, 4 * MIB).unwrap();
        target.finish().unwrap();
        let read = qemu_reads("vpc", &path);
        assert_same(&read[..2 << 20], &pattern(0, 2 * MIB), "first block");
        assert!(read[2 << 20..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn the_same_seed_gives_the_same_file() {
    let dir = Bench::new();
    let disk = disk(5 * MIB);
    for options in ALL {
        let one = std::fs::read(write(&dir, &disk, options, 1)).unwrap();
        let two = std::fs::read(write(&dir, &disk, options, 9)).unwrap();
        assert_eq!(one, two);
    }
}

#[test]
fn refuses_the_size_that_qemu_img_refuses_in_its_words() {
    let dir = Bench::new();
    let native = Native::new(1);
    let path = dir.path("ours.vhd");
    for (size, force_size) in [
        ((0xff00_0000_u64 << 9) + 1, false),
        ((0xff00_0000 << 9) + 1, true),
        (1 << 62, false),
    ] {
        let facts = native.target(&path);
        let options = options(false, force_size);
        let fault = instar_vhd::create(File::new(&native, facts), &options, size, &SEED)
            .err()
            .unwrap();
        let (disk, theirs) = (dir.path("disk.raw"), dir.path("theirs.vhd"));
        // `create` has words of its own for all formats; a conversion says what the format says.
        let there = std::fs::File::create(&disk).unwrap().set_len(size).is_ok();
        if !there {
            assert_eq!(fault.code, instar_disk::fault::vhd::SIZE);
            continue;
        }
        let output = run(&[
            "convert",
            "-f",
            "raw",
            "-O",
            "vpc",
            "-o",
            &said(options),
            text(&disk),
            text(&theirs),
        ]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && complaint.contains(&words(&fault)),
            "{complaint}"
        );
    }
    let facts = native.target(&path);
    assert!(
        instar_vhd::create(
            File::new(&native, facts),
            &options(false, true),
            0xff00_0000 << 9,
            &SEED
        )
        .is_ok()
    );
}
