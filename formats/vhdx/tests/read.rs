//! Images that qemu-img wrote, and images built by hand, read byte for byte as qemu-img reads them. What qemu-img cannot
//! read (differencing disks, sectors of 4096 bytes) is compared with what the specification says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

mod build;

use std::path::Path;

use build::{ByHand, DATA, header, put, regions};
use instar_disk::fault::vhdx as faults;
use instar_disk::{File, Kind};
use instar_testkit::image::{read_all, read_image, read_range};
use instar_testkit::oracle::{info_number, qemu, qemu_complaint, qemu_io, qemu_reads, text};
use instar_testkit::pattern::{MIB, assert_same, pattern};
use instar_testkit::{Bench, Native};
use instar_vhdx::raw;

#[test]
fn reads_what_qemu_img_converts_at_every_boundary() {
    let dir = Bench::new();
    let cases = [
        ("block_size=1M", MIB),
        ("block_size=1M,block_state_zero=off", MIB),
        ("block_size=0", 8 * MIB),
        ("subformat=fixed", 8 * MIB),
        ("subformat=fixed,block_state_zero=off,block_size=2M", 2 * MIB),
        ("block_size=16M,log_size=3M", 16 * MIB),
    ];
    for (options, block) in cases {
        for size in [512, block - 512, block, block + 512, 3 * block + 1024] {
            let ranges = [
                (0, 512),
                (block - 512, 1024),
                (2 * block, 8192),
                (size - 512, 512),
            ];
            let ranges: Vec<_> = ranges.into_iter().filter(|(at, _)| *at < size).collect();
            let raw = dir.raw("disk.raw", size, &ranges);
            let image = dir.path("disk.vhdx");
            qemu(&[
                "convert",
                "-f",
                "raw",
                "-O",
                "vhdx",
                "-o",
                options,
                text(&raw),
                text(&image),
            ]);
            let ours = read_all(instar_vhdx::open, &image).unwrap();
            assert_same(&ours, &std::fs::read(&raw).unwrap(), &format!("{size} {options}"));
        }
    }
}

#[test]
fn reads_over_the_bitmap_entry_between_two_chunks() {
    let dir = Bench::new();
    // Blocks of 1 MiB: 4096 to a chunk; the table's pages of 4096 entries end elsewhere.
    let chunk = 4096 * MIB;
    let ranges = [
        (0, 512),
        (chunk - MIB - 512, 1024),
        (chunk - 4096, 8192),
        (chunk + MIB, 512),
        (2 * chunk, 4096),
    ];
    let raw = dir.raw("disk.raw", 2 * chunk + MIB, &ranges);
    for options in [
        "block_size=1M",
        "block_size=1M,block_state_zero=off,subformat=fixed",
    ] {
        let image = dir.path("disk.vhdx");
        qemu(&[
            "convert",
            "-f",
            "raw",
            "-O",
            "vhdx",
            "-o",
            options,
            text(&raw),
            text(&image),
        ]);
        let native = Native::new(1);
        let facts = native.source(&image);
        let mut opened = instar_vhdx::open(File::new(&native, facts)).unwrap();
        for (offset, length) in ranges {
            let start = offset.saturating_sub(MIB);
            let length = length + 2 * MIB;
            let length = length.min(2 * chunk + MIB - start);
            let ours = read_range(&native, opened.as_mut(), start, length).unwrap();
            let mut theirs = vec![0; usize::try_from(length).unwrap()];
            std::os::unix::fs::FileExt::read_exact_at(
                &std::fs::File::open(&raw).unwrap(),
                &mut theirs,
                start,
            )
            .unwrap();
            assert_same(&ours, &theirs, &format!("{options} {offset}"));
        }
    }
}

#[test]
fn reads_blocks_out_of_order_as_qemu_img_does() {
    let dir = Bench::new();
    let image = dir.path("disk.vhdx");
    qemu(&[
        "create",
        "-q",
        "-f",
        "vhdx",
        "-o",
        "block_size=1M",
        text(&image),
        "6M",
    ]);
    for (block, value) in [(4, 4), (1, 1), (2, 2), (0, 9), (3, 7)] {
        qemu_io(
            "vhdx",
            &image,
            &format!("write -P {value} {}k 4k", block * 1024 + 512),
        );
    }
    let ours = read_all(instar_vhdx::open, &image).unwrap();
    assert_eq!(ours[(4 * 1024 + 512) * 1024], 4);
    assert_same(&ours, &qemu_reads("vhdx", &image), "out of order");
}

#[test]
fn reads_every_state_of_a_block_as_qemu_img_does() {
    let dir = Bench::new();
    let image = dir.path("disk.vhdx");
    for state in 0..8 {
        let by_hand = ByHand {
            bat: &[(0, 6, 1), (1, state, 2), (2, 6, 0)],
            places: 3,
            ..ByHand::default()
        };
        std::fs::write(&image, by_hand.build()).unwrap();
        let ours = read_all(instar_vhdx::open, &image);
        match (ours, qemu_complaint("vhdx", &image)) {
            (Ok(ours), None) => assert_same(&ours, &qemu_reads("vhdx", &image), &format!("state {state}")),
            (Err(fault), Some(_)) => {
                assert_eq!((fault.code, fault.numbers[1]), (faults::BLOCK_STATE, state));
                assert!(state == 4 || state == 7);
            }
            (ours, theirs) => panic!("state {state}: {ours:?} but {theirs:?}"),
        }
    }
}

#[test]
fn bits_of_a_table_entry_that_mean_nothing_are_ignored_as_qemu_img_does() {
    let dir = Bench::new();
    let image = dir.path("disk.vhdx");
    let mut bytes = ByHand::default().build();
    for entry in [0, 2] {
        bytes[usize::try_from(build::BAT).unwrap() + 8 * entry + 1] |= 0xf5;
    }
    std::fs::write(&image, &bytes).unwrap();
    let ours = read_all(instar_vhdx::open, &image).unwrap();
    assert!(ours.iter().any(|byte| *byte != 0));
    assert_same(&ours, &qemu_reads("vhdx", &image), "reserved bits");
}

#[test]
fn reads_sectors_of_4096_bytes_which_qemu_img_refuses() {
    let dir = Bench::new();
    let image = dir.path("disk.vhdx");
    // The last block is cut short; its bitmap entries would come every 32768 blocks.
    let by_hand = ByHand {
        size: 4 * MIB - 8192,
        sector_size: 4096,
        bat: &[(0, 6, 1), (2, 6, 0), (3, 6, 2)],
        places: 3,
        ..ByHand::default()
    };
    std::fs::write(&image, by_hand.build()).unwrap();
    assert!(qemu_complaint("vhdx", &image).is_some());
    let ours = read_all(instar_vhdx::open, &image).unwrap();
    let mut wanted = [
        by_hand.data(1),
        vec![0; 1 << 20],
        by_hand.data(0),
        by_hand.data(2),
    ]
    .concat();
    wanted.truncate(usize::try_from(by_hand.size).unwrap());
    assert_same(&ours, &wanted, "4096");
}

/// A differencing disk: block 0 in part here, 1 in the parent, 2 here, 3 zeros, 4 in part, 5 unmapped.
fn differencing(sector_size: u32, bits: &dyn Fn(u64) -> bool) -> (ByHand<'static>, Vec<u8>) {
    let ratio = usize::try_from((1_u64 << 23) * u64::from(sector_size) / MIB).unwrap();
    let bat = vec![
        (0, 7, 1),
        (1, 0, 0),
        (2, 6, 0),
        (3, 2, 0),
        (4, 7, 2),
        (5, 3, 0),
        (ratio, 6, 3),
    ];
    let mut bitmap = vec![0; 1 << 20];
    for sector in 0..6 * MIB / u64::from(sector_size) {
        if bits(sector) {
            bitmap[usize::try_from(sector / 8).unwrap()] |= 1 << (sector % 8);
        }
    }
    let by_hand = ByHand {
        size: 6 * MIB - 8192,
        sector_size,
        bat: bat.leak(),
        places: 3,
        bitmap,
        parent: Some(&[("parent_linkage", "{x}"), ("relative_path", ".\\base\\p.vhdx")]),
        ..ByHand::default()
    };
    let parent = pattern(1 << 40, 6 * MIB - 3 * 8192);
    let mut wanted = parent.clone();
    wanted.resize(6 << 20, 0);
    for (block, state, place) in &by_hand.bat[..6] {
        let data = by_hand.data(*place);
        for (index, piece) in wanted[block << 20..(block + 1) << 20]
            .chunks_mut(usize::try_from(sector_size).unwrap())
            .enumerate()
        {
            let sector = (*block as u64 * MIB) / u64::from(sector_size) + index as u64;
            let from = index * piece.len();
            match state {
                6 => piece.copy_from_slice(&data[from..from + piece.len()]),
                7 if bits(sector) => piece.copy_from_slice(&data[from..from + piece.len()]),
                2 | 3 => piece.fill(0),
                _ => {}
            }
        }
    }
    wanted.truncate(usize::try_from(by_hand.size).unwrap());
    (by_hand, wanted)
}

#[test]
fn a_differencing_disk_has_some_sectors_and_leaves_the_rest_to_its_parent() {
    let dir = Bench::new();
    let image = dir.path("child.vhdx");
    for sector_size in [512, 4096] {
        let (by_hand, wanted) = differencing(sector_size, &|sector| {
            sector * sector % 7 < 3 || sector / 64 % 5 == 1
        });
        std::fs::write(&image, by_hand.build()).unwrap();
        let native = Native::new(1);
        let facts = native.source(&image);
        let mut opened = instar_vhdx::open(File::new(&native, facts)).unwrap();
        let backing = opened.backing().unwrap();
        assert_eq!(backing.name.as_bytes(), b"base/p.vhdx");
        assert_eq!(backing.format.unwrap().as_bytes(), b"vhdx");
        let parent = pattern(1 << 40, 6 * MIB - 3 * 8192);
        let ours = read_image(&native, opened.as_mut(), Some(&parent)).unwrap();
        assert_same(&ours, &wanted, &format!("differencing {sector_size}"));
    }
}

#[test]
fn a_parent_s_name_comes_from_the_best_key() {
    let dir = Bench::new();
    let image = dir.path("child.vhdx");
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: [(Pairs, Option<&[u8]>); 5] = [
        (
            &[
                ("absolute_win32_path", "\\\\?\\C:\\disks\\p.vhdx"),
                ("relative_path", "..\\p.vhdx"),
            ],
            Some(b"../p.vhdx"),
        ),
        (&[("absolute_win32_path", "C:\\disks\\p.vhdx")], Some(b"p.vhdx")),
        (&[("volume_path", "\\\\?\\Volume{1}\\q.vhdx")], Some(b"q.vhdx")),
        (&[("parent_linkage", "{1}")], None),
        (&[], None),
    ];
    for (pairs, wanted) in cases {
        let by_hand = ByHand {
            parent: Some(pairs),
            bat: &[(0, 6, 1), (1, 0, 0)],
            ..ByHand::default()
        };
        std::fs::write(&image, by_hand.build()).unwrap();
        let native = Native::new(1);
        let facts = native.source(&image);
        let mut opened = instar_vhdx::open(File::new(&native, facts)).unwrap();
        assert_eq!(
            opened.backing().as_ref().map(|backing| backing.name.as_bytes()),
            wanted
        );
        let below = opened.map(MIB);
        match wanted {
            Some(_) => assert_eq!(below.unwrap().kind, Kind::Unallocated),
            None => assert_eq!(below.unwrap_err().code, faults::NO_PARENT),
        }
        assert!(matches!(opened.map(0).unwrap().kind, Kind::Data { .. }));
    }
}

#[test]
fn the_valid_header_with_the_higher_number_counts_as_in_qemu_img() {
    let dir = Bench::new();
    let image = dir.path("disk.vhdx");
    let (one, two) = (64 << 10, 128 << 10);
    type Change<'a> = &'a dyn Fn(&mut [u8]);
    let cases: [(&str, Change<'_>, bool); 8] = [
        ("both", &|_| {}, true),
        ("first higher", &|bytes| header(bytes, one, 99, [0; 16]), true),
        ("first damaged", &|bytes| flip(bytes, one + 100), true),
        ("second damaged", &|bytes| flip(bytes, two + 4000), true),
        (
            "both damaged",
            &|bytes| {
                flip(bytes, one);
                flip(bytes, two);
            },
            false,
        ),
        ("identical", &|bytes| header(bytes, one, 8, [0; 16]), true),
        (
            "equal numbers, different",
            &|bytes| {
                put(bytes, one + 16, &[1]);
                header(bytes, one, 8, [0; 16]);
            },
            false,
        ),
        (
            "version 2",
            &|bytes| {
                for offset in [one, two] {
                    put(bytes, offset + 66, &[2]);
                    build::seal(bytes, offset, 4096);
                }
            },
            false,
        ),
    ];
    for (what, change, readable) in cases {
        let mut bytes = ByHand::default().build();
        change(&mut bytes);
        std::fs::write(&image, &bytes).unwrap();
        let ours = read_all(instar_vhdx::open, &image);
        assert_eq!(ours.is_ok(), readable, "{what}");
        match qemu_complaint("vhdx", &image) {
            None => assert_same(&ours.unwrap(), &qemu_reads("vhdx", &image), what),
            Some(said) => assert!(
                said.contains(&instar_testkit::words(&ours.unwrap_err())),
                "{what}: {said}"
            ),
        }
    }
}

#[test]
fn the_second_region_table_serves_when_the_first_is_damaged() {
    let dir = Bench::new();
    let image = dir.path("disk.vhdx");
    let by_hand = ByHand::default();
    let wanted = [
        by_hand.data(1),
        vec![0; 1 << 20],
        by_hand.data(0),
        vec![0; 1 << 20],
    ]
    .concat();
    let mut bytes = by_hand.build();
    bytes[192 << 10] ^= 1;
    std::fs::write(&image, &bytes).unwrap();
    // qemu-img looks at the first only.
    assert!(qemu_complaint("vhdx", &image).is_some());
    assert_same(
        &read_all(instar_vhdx::open, &image).unwrap(),
        &wanted,
        "second table",
    );
    bytes[256 << 10] ^= 1;
    std::fs::write(&image, &bytes).unwrap();
    assert_eq!(
        read_all(instar_vhdx::open, &image).unwrap_err().code,
        faults::NO_REGIONS
    );
}

#[test]
fn unknown_regions_and_items_are_refused_only_if_required_as_in_qemu_img() {
    let dir = Bench::new();
    let image = dir.path("disk.vhdx");
    for required in [0_u32, 1] {
        let mut bytes = ByHand::default().build();
        bytes.resize(bytes.len() + (1 << 20), 0);
        let entries = [
            (raw::REGION_BAT, build::BAT, MIB, 1),
            ([0x77; 16], bytes.len() as u64 - MIB, MIB, required),
            (raw::REGION_METADATA, build::METADATA, MIB, 1),
        ];
        regions(&mut bytes, 192 << 10, &entries);
        std::fs::write(&image, &bytes).unwrap();
        let ours = read_all(instar_vhdx::open, &image);
        assert_eq!(ours.is_ok(), required == 0);
        assert_eq!(qemu_complaint("vhdx", &image).is_none(), required == 0);
    }
    for flags in [0_u32, 1, 2, 4, 6] {
        let mut bytes = ByHand::default().build();
        put(&mut bytes, build::METADATA + 10, &[6]);
        put(&mut bytes, build::METADATA + 32 * 6, &[0x77; 16]);
        put(&mut bytes, build::METADATA + 32 * 6 + 24, &flags.to_le_bytes());
        std::fs::write(&image, &bytes).unwrap();
        let ours = read_all(instar_vhdx::open, &image);
        assert_eq!(ours.is_ok(), flags & 4 == 0, "{flags}");
        assert_eq!(
            qemu_complaint("vhdx", &image).is_none(),
            flags & 4 == 0,
            "{flags}"
        );
    }
}

#[test]
fn a_last_block_that_is_cut_short_is_read() {
    let dir = Bench::new();
    let image = dir.path("disk.vhdx");
    let by_hand = ByHand {
        size: 2 * MIB + 1024,
        bat: &[(0, 6, 1), (2, 6, 2)],
        places: 3,
        ..ByHand::default()
    };
    let bytes = by_hand.build();
    std::fs::write(&image, &bytes[..usize::try_from(DATA + 2 * MIB + 1024).unwrap()]).unwrap();
    let ours = read_all(instar_vhdx::open, &image).unwrap();
    assert_same(&ours[2 << 20..], &by_hand.data(2)[..1024], "short");
}

fn flip(bytes: &mut [u8], at: u64) {
    bytes[usize::try_from(at).unwrap()] ^= 1;
}

fn info(path: &Path) -> instar_disk::report::Info {
    let native = Native::new(1);
    let facts = native.source(path);
    instar_vhdx::open(File::new(&native, facts))
        .unwrap()
        .describe()
        .unwrap()
}

#[test]
fn info_says_what_qemu_img_says() {
    let dir = Bench::new();
    let image = dir.path("disk.vhdx");
    for options in [
        "subformat=dynamic",
        "subformat=fixed",
        "block_size=4M,log_size=2M",
    ] {
        for size in ["0", "1000", "10M", "2T"] {
            if (options, size) == ("subformat=fixed", "2T") {
                continue;
            }
            qemu(&["create", "-q", "-f", "vhdx", "-o", options, text(&image), size]);
            let info = info(&image);
            assert_eq!(
                Some(info.virtual_size),
                info_number("vhdx", &image, "virtual-size")
            );
            assert_eq!(info.cluster_size, info_number("vhdx", &image, "cluster-size"));
            assert!(!info.dirty && info.backing.is_none() && info.specific.is_none());
        }
    }
    assert!(instar_vhdx::probe(b"vhdxfile") && !instar_vhdx::probe(b"vhdxfil") && !instar_vhdx::probe(b""));
}
