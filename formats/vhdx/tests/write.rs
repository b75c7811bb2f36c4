//! What we write, read by qemu-img.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use instar_disk::File;
use instar_disk::job::{Seed, VhdxCreate};
use instar_testkit::image::{as_device, write_disk};
use instar_testkit::oracle::{info_number, qemu, qemu_info, qemu_reads, run, text};
use instar_testkit::pattern::{MIB, assert_same, pattern};
use instar_testkit::{Bench, Native, words};

const SEED: Seed = Seed {
    random: [0x5a; 32],
    unix_seconds: 1_700_000_000,
};

const DEFAULT: VhdxCreate = VhdxCreate {
    fixed: false,
    block_size: 0,
    log_size: MIB,
    block_state_zero: true,
};

const ALL: [VhdxCreate; 5] = [
    DEFAULT,
    VhdxCreate {
        block_size: MIB,
        ..DEFAULT
    },
    VhdxCreate {
        block_size: 2 * MIB,
        block_state_zero: false,
        log_size: 1,
        ..DEFAULT
    },
    VhdxCreate {
        fixed: true,
        block_size: MIB + 1,
        log_size: 3 * MIB,
        ..DEFAULT
    },
    VhdxCreate {
        fixed: true,
        block_state_zero: false,
        ..DEFAULT
    },
];

fn said(options: VhdxCreate) -> String {
    let VhdxCreate {
        fixed,
        block_size,
        log_size,
        block_state_zero,
    } = options;
    let subformat = if fixed { "fixed" } else { "dynamic" };
    let zero = if block_state_zero { "on" } else { "off" };
    format!("subformat={subformat},block_size={block_size},log_size={log_size},block_state_zero={zero}")
}

fn write(dir: &Bench, disk: &[u8], options: VhdxCreate, stride: u64) -> PathBuf {
    let path = dir.path("ours.vhdx");
    let native = Native::new(1);
    let facts = native.target(&path);
    let size = disk.len() as u64;
    let mut target = instar_vhdx::create(File::new(&native, facts), &options, size, &SEED).unwrap();
    assert_eq!(target.size(), size.next_multiple_of(512));
    write_disk(&native, target.as_mut(), disk, stride).unwrap();
    path
}

fn disk(size: u64) -> Vec<u8> {
    let mut bytes = pattern(0, size);
    for (index, block) in bytes.chunks_mut(1 << 20).enumerate() {
        match index % 13 {
            1 | 4..=11 => block.fill(0),
            3 => block.iter_mut().take(1 << 19).for_each(|byte| *byte = 0),
            _ => {}
        }
    }
    bytes
}

#[test]
fn qemu_img_reads_what_we_write_and_finds_nothing_to_say() {
    let dir = Bench::new();
    for size in [512, MIB - 512, MIB + 512, 8 * MIB, 8 * MIB + 512, 27 * MIB] {
        for (options, stride) in ALL.into_iter().flat_map(|options| [(options, 1), (options, 9)]) {
            let disk = disk(size);
            let ours = write(&dir, &disk, options, stride);
            let what = format!("{size} {}", said(options));
            assert_same(&qemu_reads("vhdx", &ours), &disk, &what);
            assert!(
                qemu(&["check", "-f", "vhdx", text(&ours)]).contains("No errors"),
                "{what}"
            );
        }
    }
}

/// BAT and metadata without the identifier of the disk.
fn tables(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let region = |index: usize| {
        let at = (192 << 10) + 16 + 32 * index;
        let offset = u64::from_le_bytes(bytes[at + 16..at + 24].try_into().unwrap());
        let length = u32::from_le_bytes(bytes[at + 24..at + 28].try_into().unwrap());
        let (start, length) = (usize::try_from(offset).unwrap(), usize::try_from(length).unwrap());
        bytes[start..start + length].to_vec()
    };
    let mut metadata = region(1);
    metadata[(64 << 10) + 16..(64 << 10) + 32].fill(0);
    [region(0), metadata].concat()
}

#[test]
fn tables_and_places_are_those_of_qemu_img() {
    let dir = Bench::new();
    for size in [0, MIB, 8 * MIB + 512, 17 * MIB] {
        for options in ALL.into_iter().filter(|options| !options.fixed) {
            let disk = disk(size);
            let ours = write(&dir, &disk, options, 4);
            let raw = dir.path("disk.raw");
            std::fs::write(&raw, &disk).unwrap();
            let theirs = dir.path("theirs.vhdx");
            qemu(&[
                "convert",
                "-f",
                "raw",
                "-O",
                "vhdx",
                "-o",
                &said(options),
                text(&raw),
                text(&theirs),
            ]);
            let what = format!("{size} {}", said(options));
            assert_same(&tables(&ours), &tables(&theirs), &what);
            assert_eq!(qemu_info("vhdx", &ours), qemu_info("vhdx", &theirs), "{what}");
        }
    }
}

#[test]
fn a_fixed_disk_has_all_its_blocks_in_a_row() {
    let dir = Bench::new();
    for options in ALL.into_iter().filter(|options| options.fixed) {
        let disk = disk(9 * MIB);
        let ours = write(&dir, &disk, options, 4);
        let block = info_number("vhdx", &ours, "cluster-size").unwrap();
        let file = std::fs::read(&ours).unwrap();
        let data = file.len() - usize::try_from((9 * MIB).next_multiple_of(block)).unwrap();
        assert_same(&file[data..data + disk.len()], &disk, "fixed");
    }
}

#[test]
fn block_sizes_are_chosen_and_rounded_as_by_qemu_img() {
    let dir = Bench::new();
    let (one, two) = (dir.path("ours.vhdx"), dir.path("theirs.vhdx"));
    let sizes = [
        0,
        1,
        1 << 30,
        (1 << 30) + 1,
        100 << 30,
        (100 << 30) + 1,
        33 << 40,
        64 << 40,
    ];
    let automatic = sizes.into_iter().map(|size| (size, 0));
    let given = [1, MIB, MIB + 1, 256 * MIB, 512 * MIB]
        .into_iter()
        .map(|block| (MIB, block));
    for (size, block_size) in automatic.chain(given) {
        let options = VhdxCreate {
            block_size,
            ..DEFAULT
        };
        let native = Native::new(1);
        let facts = native.target(&one);
        instar_vhdx::create(File::new(&native, facts), &options, size, &SEED)
            .unwrap()
            .finish()
            .unwrap();
        qemu(&[
            "create",
            "-q",
            "-f",
            "vhdx",
            "-o",
            &said(options),
            text(&two),
            &size.to_string(),
        ]);
        assert_eq!(
            qemu_info("vhdx", &one),
            qemu_info("vhdx", &two),
            "{size} {block_size}"
        );
        assert!(qemu(&["check", "-f", "vhdx", text(&one)]).contains("No errors"));
    }
}

#[test]
fn refuses_what_qemu_img_refuses_in_its_words() {
    let dir = Bench::new();
    let (one, two) = (dir.path("ours.vhdx"), dir.path("theirs.vhdx"));
    for (size, options) in [
        ((64 << 40) + 1, DEFAULT),
        (1 << 62, DEFAULT),
        (
            MIB,
            VhdxCreate {
                block_size: 3 * MIB,
                ..DEFAULT
            },
        ),
        (
            MIB,
            VhdxCreate {
                log_size: 0,
                ..DEFAULT
            },
        ),
        (
            MIB,
            VhdxCreate {
                log_size: 4 << 30,
                ..DEFAULT
            },
        ),
    ] {
        let native = Native::new(1);
        let facts = native.target(&one);
        let fault = instar_vhdx::create(File::new(&native, facts), &options, size, &SEED)
            .err()
            .unwrap();
        let output = run(&[
            "create",
            "-q",
            "-f",
            "vhdx",
            "-o",
            &said(options),
            text(&two),
            &size.to_string(),
        ]);
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && complaint.contains(&words(&fault)),
            "{complaint} {}",
            words(&fault)
        );
    }
}

#[test]
fn blocks_on_both_sides_of_a_bitmap_entry_and_of_a_window_of_the_table() {
    let dir = Bench::new();
    let path = dir.path("ours.vhdx");
    for block_state_zero in [true, false] {
        let native = Native::new(1);
        let facts = native.target(&path);
        let options = VhdxCreate {
            block_size: MIB,
            block_state_zero,
            ..DEFAULT
        };
        let size = 9 << 30;
        let mut target = instar_vhdx::create(File::new(&native, facts), &options, size, &SEED).unwrap();
        // 4096 blocks to a chunk, 8192 entries to a window. One allocation over the bitmap entry is one run in the file.
        let place = target.allocate(4095 * MIB, 2 * MIB).unwrap();
        assert_eq!(place.length, 2 * MIB);
        let blocks = [4095, 4096, 8189, 8190, 8191, 9215_u64];
        for block in blocks {
            let place = target.allocate(block * MIB, MIB).unwrap();
            let file = File::new(&native, facts);
            file.write(place.offset + 65536, &pattern(block * MIB, 512))
                .unwrap();
        }
        target.finish().unwrap();
        assert!(qemu(&["check", "-f", "vhdx", text(&path)]).contains("No errors"));
        let raw = dir.path("disk.raw");
        qemu(&["convert", "-f", "vhdx", "-O", "raw", text(&path), text(&raw)]);
        let raw = std::fs::File::open(&raw).unwrap();
        for block in blocks {
            let mut piece = vec![0; 1024];
            raw.read_exact_at(&mut piece, block * MIB + 65536 - 512).unwrap();
            assert_same(&piece[512..], &pattern(block * MIB, 512), "piece");
            assert!(piece[..512].iter().all(|byte| *byte == 0));
        }
    }
}

#[test]
fn an_unfinished_image_is_not_a_vhdx() {
    let dir = Bench::new();
    let path = dir.path("ours.vhdx");
    for options in ALL {
        let native = Native::new(1);
        let facts = native.target(&path);
        let mut target = instar_vhdx::create(File::new(&native, facts), &options, 9 * MIB, &SEED).unwrap();
        let place = target.allocate(0, 2 * MIB).unwrap();
        File::new(&native, facts).write(place.offset, &[1; 4096]).unwrap();
        assert!(!run(&["info", "-f", "vhdx", text(&path)]).status.success());
    }
}

#[test]
fn a_device_with_old_data_shows_none_of_it() {
    let dir = Bench::new();
    let path = dir.path("device");
    for options in ALL {
        let native = Native::new(1);
        let facts = as_device(&native, &path, 48 << 20);
        let mut target = instar_vhdx::create(File::new(&native, facts), &options, 20 * MIB, &SEED).unwrap();
        let place = target.allocate(9 * MIB, MIB).unwrap();
        assert!(!place.fresh);
        File::new(&native, facts)
            .write(place.offset, &pattern(9 * MIB, MIB))
            .unwrap();
        target.finish().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 48 << 20);
        let mut wanted = vec![0; 20 << 20];
        wanted[9 << 20..10 << 20].copy_from_slice(&pattern(9 * MIB, MIB));
        assert_same(&qemu_reads("vhdx", &path), &wanted, &said(options));
    }
}

#[test]
fn an_existing_file_is_emptied_first_and_zeroed_blocks_read_as_zeros() {
    let dir = Bench::new();
    let path = dir.path("ours.vhdx");
    for options in ALL {
        std::fs::write(&path, vec![0xee; 30 << 20]).unwrap();
        let native = Native::new(1);
        let facts = native.existing(&path);
        let mut target = instar_vhdx::create(File::new(&native, facts), &options, 12 * MIB, &SEED).unwrap();
        for piece in 0..12 {
            let place = target.allocate(piece * MIB, MIB).unwrap();
            File::new(&native, facts)
                .write(place.offset, &pattern(0, MIB))
                .unwrap();
        }
        target.zero(MIB, 11 * MIB).unwrap();
        target.finish().unwrap();
        let read = qemu_reads("vhdx", &path);
        assert_same(&read[..1 << 20], &pattern(0, MIB), "first");
        assert!(read[1 << 20..].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn the_same_seed_gives_the_same_file() {
    let dir = Bench::new();
    let disk = disk(5 * MIB);
    for options in ALL {
        let one = std::fs::read(write(&dir, &disk, options, 1)).unwrap();
        let two = std::fs::read(write(&dir, &disk, options, 9)).unwrap();
        assert!(one == two);
    }
}
