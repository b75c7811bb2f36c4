//! Images that lie. The driver refuses in qemu-img's words where it has any, and never does unbounded work.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

mod build;

use build::{BAT, ByHand, DATA, METADATA, put, regions, seal};
use instar_disk::FaultCode;
use instar_disk::fault::vhdx as faults;
use instar_testkit::image::walk;
use instar_testkit::oracle::qemu_complaint;
use instar_testkit::pattern::MIB;
use instar_testkit::{Bench, words};
use instar_vhdx::raw;

/// Calls that open may make: identifier, headers, regions, metadata, a locator, a mebibyte of BAT in pages of 32 KiB.
const OPEN_CALLS: u64 = 5 + 2 + 8 + 1 + 32;

/// Calls that one map may make: two pages of the BAT, a piece of a bitmap, extents.
const MAP_CALLS: u64 = 4;

#[test]
fn lying_headers_and_metadata_are_refused() {
    let dir = Bench::new();
    let image = dir.path("lie.vhdx");
    let item = |index: u64, field: u64| METADATA + 32 + 32 * index + field;
    let value = |offset: u64| METADATA + (64 << 10) + offset;
    let cases: [(u64, &[u8], FaultCode); 22] = [
        (0, b"X", faults::NOT_VHDX),
        (METADATA, b"X", faults::METADATA),
        (METADATA + 10, &[0xff, 0xff], faults::METADATA),
        (METADATA + 10, &[4], faults::METADATA_ITEM),
        (item(0, 0), &raw::ITEM_PAGE_83, faults::METADATA_ITEM),
        (item(0, 16), &0_u32.to_le_bytes(), faults::METADATA_ITEM),
        (item(0, 16), &u32::MAX.to_le_bytes(), faults::METADATA_ITEM),
        (item(4, 0), &[0x12; 16], faults::UNKNOWN_METADATA),
        (value(0), &0_u32.to_le_bytes(), faults::BLOCK_SIZE_READ),
        (value(0), &(1_u32 << 19).to_le_bytes(), faults::BLOCK_SIZE_READ),
        (value(0), &(3_u32 << 20).to_le_bytes(), faults::BLOCK_SIZE_READ),
        (value(0), &(1_u32 << 29).to_le_bytes(), faults::BLOCK_SIZE_READ),
        (value(4), &2_u32.to_le_bytes(), faults::METADATA_ITEM),
        (
            value(8),
            &((64_u64 << 40) + 512).to_le_bytes(),
            faults::DISK_TOO_LARGE,
        ),
        (value(8), &u64::MAX.to_le_bytes(), faults::DISK_TOO_LARGE),
        (value(8), &(1_u64 << 38).to_le_bytes(), faults::TABLE_TOO_SMALL),
        (value(32), &0_u32.to_le_bytes(), faults::SECTOR_SIZE),
        (value(32), &1024_u32.to_le_bytes(), faults::SECTOR_SIZE),
        (BAT, &((1_u64 << 60) | 6).to_le_bytes(), faults::BLOCK_START),
        (BAT, &6_u64.to_le_bytes(), faults::BLOCK_OVERLAP),
        (BAT, &((1 << 20) | 6_u64).to_le_bytes(), faults::BLOCK_OVERLAP),
        (BAT, &((3 << 20) | 6_u64).to_le_bytes(), faults::BLOCK_OVERLAP),
    ];
    for (at, lie, code) in cases {
        let mut bytes = ByHand::default().build();
        put(&mut bytes, at, lie);
        let fault = walk(instar_vhdx::open, &image, &bytes, OPEN_CALLS, MAP_CALLS).unwrap_err();
        assert_eq!(fault.code, code, "{at:#x} {lie:?}: {}", words(&fault));
        assert!(!words(&fault).contains('{'), "{}", words(&fault));
        // qemu-img looks at neither lengths nor the end of the format, and lets blocks lie in the header.
        let lenient = at == item(0, 20) || at == BAT || code == faults::DISK_TOO_LARGE;
        assert!(
            lenient || qemu_complaint("vhdx", &image).is_some(),
            "{at:#x} {lie:?}"
        );
    }
}

#[test]
fn blocks_past_the_end_are_refused_in_qemu_img_s_words() {
    let dir = Bench::new();
    let image = dir.path("lie.vhdx");
    let end = DATA + 2 * MIB;
    for (entry, offset) in [(0, end), (1, end + 5 * MIB), (3, DATA + 4 * MIB)] {
        let mut bytes = ByHand::default().build();
        put(&mut bytes, BAT + 8 * entry, &(offset | 6).to_le_bytes());
        let fault = walk(instar_vhdx::open, &image, &bytes, OPEN_CALLS, MAP_CALLS).unwrap_err();
        let said = qemu_complaint("vhdx", &image).expect("qemu-img refuses too");
        assert!(said.contains(&words(&fault)), "{said}\n{}", words(&fault));
    }
    for cut in [1, 511, 512, 4096, MIB] {
        let bytes = ByHand::default().build();
        let cut = &bytes[..bytes.len() - usize::try_from(cut).unwrap()];
        let walked = walk(instar_vhdx::open, &image, cut, OPEN_CALLS, MAP_CALLS);
        let said = qemu_complaint("vhdx", &image);
        // A file is counted in whole sectors: what is left of the last one counts as all of it.
        if bytes.len() - cut.len() < 512 {
            assert_eq!((walked.is_ok(), said), (true, None));
            continue;
        }
        let (fault, said) = (walked.unwrap_err(), said.expect("qemu-img refuses too"));
        assert!(said.contains(&words(&fault)), "{said}\n{}", words(&fault));
    }
}

#[test]
fn refuses_regions_that_overlap_are_misplaced_missing_or_there_twice() {
    let dir = Bench::new();
    let image = dir.path("lie.vhdx");
    let bat = (raw::REGION_BAT, BAT, MIB, 1);
    let metadata = (raw::REGION_METADATA, METADATA, MIB, 1);
    let other = |start, length| ([0x33; 16], start, length, 0);
    let cases: [(&[_], FaultCode); 13] = [
        (&[], faults::REGIONS_MISSING),
        (&[bat], faults::REGIONS_MISSING),
        (&[metadata], faults::REGIONS_MISSING),
        (&[bat, bat, metadata], faults::REGIONS_MISSING),
        (&[bat, metadata, other(BAT, MIB)], faults::REGION_PLACE),
        (&[bat, metadata, other(0, MIB)], faults::REGION_PLACE),
        (&[bat, metadata, other(build::LOG, MIB)], faults::REGION_PLACE),
        (&[bat, metadata, other(DATA + 512, MIB)], faults::REGION_PLACE),
        (
            &[bat, metadata, other(u64::MAX << 20, MIB * 2)],
            faults::REGION_PLACE,
        ),
        (&[bat, metadata, other(DATA, 0)], faults::REGION_PLACE),
        (
            &[(raw::REGION_BAT, BAT, 2 * MIB, 1), metadata],
            faults::REGION_PLACE,
        ),
        (&[bat, metadata, other(DATA + MIB, MIB)], faults::BLOCK_OVERLAP),
        (
            &[
                (raw::REGION_BAT, METADATA, MIB, 1),
                (raw::REGION_METADATA, BAT, MIB, 1),
            ],
            faults::METADATA,
        ),
    ];
    for (entries, code) in cases {
        let mut bytes = ByHand::default().build();
        for offset in [192 << 10, 256 << 10] {
            put(&mut bytes, offset, &[0; 256]);
            regions(&mut bytes, offset, entries);
        }
        let fault = walk(instar_vhdx::open, &image, &bytes, OPEN_CALLS, MAP_CALLS).unwrap_err();
        assert_eq!(fault.code, code, "{entries:?}: {}", words(&fault));
        assert!(
            qemu_complaint("vhdx", &image).is_some() || entries.len() > 2,
            "{entries:?}"
        );
    }
    // As many regions as a table holds, and one more than that.
    for (count, refused) in [(2045, faults::BLOCK_OVERLAP), (2046, faults::NO_REGIONS)] {
        let mut bytes = ByHand::default().build();
        let mut entries = vec![bat, metadata];
        entries.extend((0..count).map(|n| other(DATA + n * MIB, MIB)));
        for offset in [192 << 10, 256 << 10] {
            if entries.len() <= 2047 {
                regions(&mut bytes, offset, &entries);
            } else {
                put(&mut bytes, offset + 8, &2048_u32.to_le_bytes());
                seal(&mut bytes, offset, 64 << 10);
            }
        }
        let fault = walk(instar_vhdx::open, &image, &bytes, OPEN_CALLS, MAP_CALLS).unwrap_err();
        assert_eq!(fault.code, refused, "{}", words(&fault));
    }
}

#[test]
fn a_differencing_disk_without_a_bitmap_or_with_one_astray_is_refused() {
    let dir = Bench::new();
    let image = dir.path("lie.vhdx");
    for (state, offset, code) in [
        (0, 0, faults::NO_BITMAP),
        (7, DATA, faults::NO_BITMAP),
        (6, 0, faults::BLOCK_OVERLAP),
        (6, BAT, faults::BLOCK_OVERLAP),
        (6, 1 << 50, faults::BLOCK_END),
    ] {
        let by_hand = ByHand {
            bat: &[(0, 7, 1)],
            parent: Some(&[("relative_path", "p.vhdx")]),
            ..ByHand::default()
        };
        let mut bytes = by_hand.build();
        put(&mut bytes, BAT + 8 * 4096, &(offset | state).to_le_bytes());
        let fault = walk(instar_vhdx::open, &image, &bytes, OPEN_CALLS, MAP_CALLS).unwrap_err();
        assert_eq!(fault.code, code, "{}", words(&fault));
    }
}

#[test]
fn many_blocks_in_one_place_cost_one_read_for_each_page_of_the_table() {
    let dir = Bench::new();
    let image = dir.path("one.vhdx");
    // 100 GiB in blocks of 1 MiB, all of them the same megabyte of the file.
    let mut bytes = ByHand {
        size: 100 << 30,
        ..ByHand::default()
    }
    .build();
    for entry in 0..102_400 + 25 {
        if entry % 4097 != 4096 {
            put(&mut bytes, BAT + 8 * entry, &(DATA | 6).to_le_bytes());
        }
    }
    std::fs::write(&image, &bytes).unwrap();
    let native = instar_testkit::Native::new(1);
    let counting = instar_testkit::Counting::new(&native);
    let facts = native.source(&image);
    let mut opened = instar_vhdx::open(instar_disk::File::new(&counting, facts)).unwrap();
    assert!(counting.take().requests <= OPEN_CALLS);
    let mut at = 0;
    while at < opened.size() {
        at += opened.map(at).unwrap().length;
    }
    // 26 pages of the table, and the extents of one place.
    assert!(counting.take().requests <= 26 + 1);
}
