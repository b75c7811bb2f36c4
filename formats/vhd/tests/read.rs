//! Images that qemu-img wrote, and images built by hand, read byte for byte as qemu-img reads them. What qemu-img cannot
//! read (differencing disks) is compared with what the specification says.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

mod build;

use build::{ByHand, dynamic, seal};
use instar_disk::{File, Kind};
use instar_testkit::image::{read_all, read_image};
use instar_testkit::oracle::{info_number, qemu, qemu_io, qemu_reads, text};
use instar_testkit::pattern::{MIB, assert_same, pattern};
use instar_testkit::{Bench, Native};

/// Around a sector, a block, and a sector of the table (128 blocks of 2 MiB); what they become is the geometry's affair.
const SIZES: [u64; 8] = [
    512,
    2 * MIB - 512,
    2 * MIB,
    2 * MIB + 512,
    9 * MIB,
    254 * MIB,
    256 * MIB,
    256 * MIB + 512,
];

fn ranges(size: u64) -> Vec<(u64, u64)> {
    let wanted = [
        (0, 512),
        (2 * MIB - 512, 1024),
        (4 * MIB, 2 * MIB),
        (7 * MIB + 4096, 8192),
        (254 * MIB + 512, 512),
        (size - 512, 512),
    ];
    wanted.into_iter().filter(|(at, _)| *at < size).collect()
}

#[test]
fn reads_what_qemu_img_converts_to_dynamic_and_fixed_at_every_boundary() {
    let dir = Bench::new();
    for size in SIZES {
        for options in [
            "subformat=dynamic",
            "subformat=fixed",
            "force_size=on",
            "subformat=fixed,force_size=on",
        ] {
            let raw = dir.raw("disk.raw", size, &ranges(size));
            let image = dir.path("disk.vhd");
            qemu(&[
                "convert",
                "-f",
                "raw",
                "-O",
                "vpc",
                "-o",
                options,
                text(&raw),
                text(&image),
            ]);
            let ours = read_all(instar_vhd::open, &image).unwrap();
            let mut wanted = std::fs::read(&raw).unwrap();
            assert!(ours.len() >= wanted.len());
            if options.contains("force_size") {
                assert_eq!(ours.len(), wanted.len());
            }
            wanted.resize(ours.len(), 0);
            assert_eq!(
                Some(ours.len() as u64),
                info_number("vpc", &image, "virtual-size")
            );
            assert_same(&ours, &wanted, &format!("{size} {options}"));
        }
    }
}

#[test]
fn reads_blocks_out_of_order_as_qemu_img_does() {
    let dir = Bench::new();
    let image = dir.path("disk.vhd");
    qemu(&["create", "-q", "-f", "vpc", text(&image), "12M"]);
    for (block, value) in [(4, 4), (1, 1), (2, 2), (0, 9)] {
        qemu_io(
            "vpc",
            &image,
            &format!("write -P {value} {}k 4k", block * 2048 + 512),
        );
    }
    let ours = read_all(instar_vhd::open, &image).unwrap();
    assert_eq!(ours[(4 * 2048 + 512) * 1024], 4);
    assert_same(&ours, &qemu_reads("vpc", &image), "out of order");
}

#[test]
fn reads_any_power_of_two_as_block_size_and_ignores_bitmaps_as_qemu_img_does() {
    let dir = Bench::new();
    let image = dir.path("disk.vhd");
    for block_size in [512, 4096, 64 << 10, 512 << 10, 4 << 20, 16 << 20] {
        for bits in [0xff, 0xaa, 0x00] {
            let blocks = 5;
            let by_hand = ByHand {
                size: block_size * blocks - 512 * u64::from(block_size > 512),
                block_size,
                blocks: &[Some(2), None, Some(0), None, Some(1)],
                bitmap: &|_| bits,
                disk_type: 3,
                parent: None,
            };
            std::fs::write(&image, dynamic(&by_hand)).unwrap();
            let ours = read_all(instar_vhd::open, &image).unwrap();
            assert!(ours.iter().any(|b| *b != 0));
            assert_same(
                &ours,
                &qemu_reads("vpc", &image),
                &format!("{block_size} {bits:x}"),
            );
        }
    }
}

#[test]
fn the_creator_decides_whether_geometry_or_footer_says_the_size() {
    let dir = Bench::new();
    let image = dir.path("disk.vhd");
    qemu(&["create", "-q", "-f", "vpc", text(&image), "10M"]);
    let made = std::fs::read(&image).unwrap();
    let creators: [&[u8; 4]; 12] = [
        b"vpc ",
        b"vs  ",
        b"win ",
        b"d2v ",
        b"tap\0",
        b"CTXS",
        b"wa\0\0",
        b"vbox",
        b"qemu",
        b"qem2",
        b"what",
        b"\0\0\0\0",
    ];
    let mut sizes = Vec::new();
    for creator in creators {
        for geometry in [
            [0x01, 0x2e, 4, 17],
            [0xff, 0xff, 16, 255],
            [0, 0, 0, 0],
            [0, 1, 2, 3],
        ] {
            let mut bytes = made.clone();
            bytes[28..32].copy_from_slice(creator);
            bytes[48..56].copy_from_slice(&(6 * MIB + 77).to_be_bytes());
            bytes[56..60].copy_from_slice(&geometry);
            seal(&mut bytes, 0, 512, 64);
            std::fs::write(&image, &bytes).unwrap();
            let ours = read_all(instar_vhd::open, &image).unwrap();
            assert_eq!(
                Some(ours.len() as u64),
                info_number("vpc", &image, "virtual-size"),
                "{creator:?} {geometry:?}"
            );
            sizes.push(ours.len());
        }
    }
    sizes.sort_unstable();
    sizes.dedup();
    assert!(sizes.len() >= 4);
}

#[test]
fn a_fixed_footer_may_lack_its_last_byte_as_old_versions_wrote_it() {
    let dir = Bench::new();
    let raw = dir.raw("disk.raw", 3 * MIB, &[(0, 3 * MIB)]);
    let image = dir.path("disk.vhd");
    qemu(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "vpc",
        "-o",
        "subformat=fixed",
        text(&raw),
        text(&image),
    ]);
    let bytes = std::fs::read(&image).unwrap();
    std::fs::write(&image, &bytes[..bytes.len() - 1]).unwrap();
    let ours = read_all(instar_vhd::open, &image).unwrap();
    assert_same(&ours, &qemu_reads("vpc", &image), "511");
}

#[test]
fn a_fixed_disk_is_found_by_its_footer_only_when_asked_for() {
    let dir = Bench::new();
    let image = dir.path("disk.vhd");
    qemu(&[
        "create",
        "-q",
        "-f",
        "vpc",
        "-o",
        "subformat=fixed",
        text(&image),
        "1M",
    ]);
    assert!(qemu(&["info", text(&image)]).contains("file format: raw"));
    assert!(!instar_vhd::probe(&std::fs::read(&image).unwrap()[..512]));
    qemu(&["create", "-q", "-f", "vpc", text(&image), "1M"]);
    assert!(qemu(&["info", text(&image)]).contains("file format: vpc"));
    let head = std::fs::read(&image).unwrap();
    assert!(
        instar_vhd::probe(&head[..512]) && instar_vhd::probe(&head[..8]) && !instar_vhd::probe(&head[..7])
    );
}

#[test]
fn holes_of_a_fixed_disk_are_mapped_and_not_read() {
    let dir = Bench::new();
    let image = dir.path("disk.vhd");
    qemu(&[
        "create",
        "-q",
        "-f",
        "vpc",
        "-o",
        "subformat=fixed,force_size=on",
        text(&image),
        "1T",
    ]);
    let native = Native::new(1);
    let facts = native.source(&image);
    let mut opened = instar_vhd::open(File::new(&native, facts)).unwrap();
    let mapping = opened.map(MIB).unwrap();
    assert!(matches!(mapping.kind, Kind::Zero { at: Some(_) }) && mapping.length > 1 << 39);
}

#[test]
fn a_differencing_disk_has_some_sectors_and_leaves_the_rest_to_its_parent() {
    let dir = Bench::new();
    let image = dir.path("child.vhd");
    // Runs of every length, over byte boundaries; a block of 64 KiB has one sector of bitmap, of which 16 bytes count.
    let bits: [u8; 16] = [
        0xff, 0x00, 0xf0, 0x0f, 0x80, 0x01, 0x7f, 0xfe, 0xaa, 0x55, 0x00, 0x00, 0x3c, 0xff, 0xff, 0x10,
    ];
    let by_hand = ByHand {
        size: 5 * 65536 - 1024,
        block_size: 65536,
        blocks: &[Some(1), None, Some(0), None, Some(2)],
        bitmap: &|index| bits.get(index).copied().unwrap_or(0xff),
        disk_type: 4,
        parent: Some(".\\parent.vhd"),
    };
    std::fs::write(&image, dynamic(&by_hand)).unwrap();
    let parent: Vec<u8> = pattern(1 << 40, by_hand.size - 4096);
    let native = Native::new(1);
    let facts = native.source(&image);
    let mut opened = instar_vhd::open(File::new(&native, facts)).unwrap();
    let backing = opened.backing().unwrap();
    assert_eq!(backing.name.as_bytes(), b"parent.vhd");
    assert_eq!(backing.format.unwrap().as_bytes(), b"vpc");
    assert!(opened.describe().unwrap().backing.is_some());

    let ours = read_image(&native, opened.as_mut(), Some(&parent)).unwrap();
    let mut wanted = parent;
    wanted.resize(usize::try_from(by_hand.size).unwrap(), 0);
    let places: Vec<_> = (0..3).map(|place| build::data(&by_hand, place)).collect();
    for (sector, piece) in wanted.chunks_mut(512).enumerate() {
        let (block, within) = (sector / 128, sector % 128);
        let here = bits[within / 8] >> (7 - within % 8) & 1 == 1;
        if let (Some(place), true) = (by_hand.blocks[block], here) {
            piece.copy_from_slice(
                &places[usize::try_from(place).unwrap()][within * 512..within * 512 + piece.len()],
            );
        }
    }
    assert_same(&ours, &wanted, "differencing");
}

#[test]
fn a_block_of_many_bitmap_pieces_is_read_piece_by_piece() {
    let dir = Bench::new();
    let image = dir.path("child.vhd");
    // 64 MiB a block: 16 KiB of bitmap, four pieces.
    let by_hand = ByHand {
        size: 64 * MIB,
        block_size: 64 * MIB,
        blocks: &[Some(0)],
        bitmap: &|index| if index / 3000 % 2 == 0 { 0xff } else { 0 },
        disk_type: 4,
        parent: Some("p.vhd"),
    };
    std::fs::write(&image, dynamic(&by_hand)).unwrap();
    let ours = read_all(instar_vhd::open, &image).unwrap();
    let mut wanted = build::data(&by_hand, 0);
    for (sector, piece) in wanted.chunks_mut(512).enumerate() {
        if sector / 8 / 3000 % 2 == 1 {
            piece.fill(0);
        }
    }
    assert_same(&ours, &wanted, "pieces");
}

#[test]
fn a_parent_s_name_comes_from_the_best_locator() {
    let dir = Bench::new();
    let image = dir.path("child.vhd");
    let name = |parent: Option<&str>| {
        let by_hand = ByHand {
            size: 65536,
            block_size: 65536,
            blocks: &[None],
            bitmap: &|_| 0,
            disk_type: 4,
            parent,
        };
        std::fs::write(&image, dynamic(&by_hand)).unwrap();
        let native = Native::new(1);
        let facts = native.source(&image);
        let mut opened = instar_vhd::open(File::new(&native, facts)).unwrap();
        let backing = opened.backing().map(|backing| backing.name.as_bytes().to_vec());
        (backing, opened.map(0).map(|mapping| mapping.kind))
    };
    assert_eq!(name(Some("..\\x\\p.vhd")).0.unwrap(), b"../x/p.vhd");
    // Without a locator: the name in the header, of which the last component.
    assert_eq!(name(Some("!D:\\disks\\p.vhd")).0.unwrap(), b"p.vhd");
    let (none, mapped) = name(None);
    assert!(none.is_none());
    assert_eq!(mapped.unwrap_err().code, instar_disk::fault::vhd::NO_PARENT);
}

#[test]
fn a_fixed_disk_of_no_size_is_read_though_qemu_img_cannot_read_its_own() {
    let dir = Bench::new();
    let image = dir.path("disk.vhd");
    qemu(&[
        "create",
        "-q",
        "-f",
        "vpc",
        "-o",
        "subformat=fixed",
        text(&image),
        "0",
    ]);
    assert!(instar_testkit::oracle::qemu_complaint("vpc", &image).is_some());
    assert!(read_all(instar_vhd::open, &image).unwrap().is_empty());
}

#[test]
fn info_says_what_qemu_img_says() {
    let dir = Bench::new();
    for options in ["subformat=dynamic", "subformat=fixed", "force_size=on"] {
        for size in ["0", "1000", "10M"] {
            if (options, size) == ("subformat=fixed", "0") {
                // qemu-img makes such a file and cannot open it.
                continue;
            }
            let image = dir.path("disk.vhd");
            qemu(&["create", "-q", "-f", "vpc", "-o", options, text(&image), size]);
            let native = Native::new(1);
            let facts = native.source(&image);
            let info = instar_vhd::open(File::new(&native, facts))
                .unwrap()
                .describe()
                .unwrap();
            assert_eq!(
                Some(info.virtual_size),
                info_number("vpc", &image, "virtual-size")
            );
            assert_eq!(info.cluster_size, info_number("vpc", &image, "cluster-size"));
            assert!(!info.dirty && info.backing.is_none() && info.specific.is_none());
        }
    }
}
