//! Images that qemu-img wrote, and images built by hand, read byte for byte as qemu-img reads them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use std::path::Path;

use instar_testkit::Bench;
use instar_testkit::image::read_all;
use instar_testkit::oracle::{qemu, qemu_io, qemu_reads, text};
use instar_testkit::pattern::{MIB, assert_same, pattern};

/// Sizes around a sector, a block, and a sector of the map (128 blocks).
const SIZES: [u64; 9] = [
    512,
    1536,
    MIB - 512,
    MIB,
    MIB + 512,
    3 * MIB,
    127 * MIB,
    128 * MIB,
    128 * MIB + 512,
];

/// Data at both ends of blocks, over a boundary, and in the last sector.
fn ranges(size: u64) -> Vec<(u64, u64)> {
    let wanted = [
        (0, 512),
        (MIB - 512, 1024),
        (2 * MIB, MIB),
        (5 * MIB + 4096, 8192),
        (127 * MIB + 512, 512),
        (size - 512, 512),
    ];
    wanted.into_iter().filter(|(at, _)| *at < size).collect()
}

#[test]
fn reads_what_qemu_img_converts_to_dynamic_and_static_at_every_boundary() {
    let dir = Bench::new();
    for size in SIZES {
        for options in ["static=off", "static=on"] {
            let raw = dir.raw("disk.raw", size, &ranges(size));
            let image = dir.path("disk.vdi");
            qemu(&[
                "convert",
                "-f",
                "raw",
                "-O",
                "vdi",
                "-o",
                options,
                text(&raw),
                text(&image),
            ]);
            let ours = read_all(instar_vdi::open, &image).unwrap();
            assert_same(&ours, &std::fs::read(&raw).unwrap(), &format!("{size} {options}"));
        }
    }
}

#[test]
fn reads_an_image_whose_places_are_out_of_order() {
    let dir = Bench::new();
    let image = dir.path("disk.vdi");
    qemu(&["create", "-q", "-f", "vdi", text(&image), "6M"]);
    for (block, value) in [(4, 4), (1, 1), (2, 2), (0, 9)] {
        qemu_io(
            "vdi",
            &image,
            &format!("write -P {value} {}k 4k", block * 1024 + 512),
        );
    }
    let ours = read_all(instar_vdi::open, &image).unwrap();
    assert_eq!(ours[4 * 1024 * 1024 + 512 * 1024], 4);
    assert_same(&ours, &qemu_reads("vdi", &image), "out of order");
}

/// A dynamic image by hand: `map` as it stands on disk, pattern in all of the `places` there are.
fn by_hand(path: &Path, size: u64, map: &[u32], places: u64) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0x40, &0xbeda_107f_u32.to_le_bytes());
    put(0x44, &0x0001_0001_u32.to_le_bytes());
    put(0x48, &0x190_u32.to_le_bytes());
    put(0x4c, &1_u32.to_le_bytes());
    put(0x154, &512_u32.to_le_bytes());
    put(0x158, &1024_u32.to_le_bytes());
    put(0x168, &512_u32.to_le_bytes());
    put(0x170, &size.to_le_bytes());
    put(0x178, &(1_u32 << 20).to_le_bytes());
    put(0x180, &u32::try_from(map.len()).unwrap().to_le_bytes());
    for (index, entry) in map.iter().enumerate() {
        put(512 + 4 * index, &entry.to_le_bytes());
    }
    bytes.extend(pattern(0, places * MIB));
    std::fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn reads_unallocated_discarded_shared_and_missing_places_as_qemu_img_does() {
    let dir = Bench::new();
    let image = dir.path("disk.vdi");
    // Place 1 serves two blocks, place 7 lies past the end of the file, the disk ends inside the last block.
    let map = [1, 0xffff_ffff, 0xffff_fffe, 1, 0, 7, 2];
    by_hand(&image, 7 * MIB - 1000, &map, 3);
    let ours = read_all(instar_vdi::open, &image).unwrap();
    assert_eq!(ours.len() as u64, 7 * MIB - 512);
    assert_same(&ours, &qemu_reads("vdi", &image), "by hand");
}

#[test]
fn reads_a_file_that_ends_inside_a_block_as_qemu_img_does() {
    let dir = Bench::new();
    let image = dir.path("disk.vdi");
    let bytes = by_hand(&image, 3 * MIB, &[2, 0, 1], 3);
    for cut in [
        1,
        511,
        512,
        4096,
        1024 * 1024,
        1024 * 1024 + 1,
        2 * 1024 * 1024 + 77,
    ] {
        std::fs::write(&image, &bytes[..bytes.len() - cut]).unwrap();
        let ours = read_all(instar_vdi::open, &image).unwrap();
        assert_same(&ours, &qemu_reads("vdi", &image), &format!("cut by {cut}"));
    }
}

#[test]
fn holes_of_a_static_image_are_mapped_and_not_read() {
    let dir = Bench::new();
    let image = dir.path("disk.vdi");
    qemu(&["create", "-q", "-f", "vdi", "-o", "static=on", text(&image), "1T"]);
    let native = instar_testkit::Native::new(1);
    let facts = native.source(&image);
    let mut opened = instar_vdi::open(instar_disk::File::new(&native, facts)).unwrap();
    // Past the block map, which is data and shares its last page of the file with the first blocks.
    let mapping = opened.map(512 * MIB).unwrap();
    assert!(matches!(mapping.kind, instar_disk::Kind::Zero { at: Some(_) }));
    assert!(mapping.length > 1024 * MIB, "{}", mapping.length);
}

#[test]
fn info_says_what_qemu_img_says() {
    let dir = Bench::new();
    for (size, options) in [("0", "static=off"), ("1000", "static=off"), ("10M", "static=on")] {
        let image = dir.path("disk.vdi");
        qemu(&["create", "-q", "-f", "vdi", "-o", options, text(&image), size]);
        let native = instar_testkit::Native::new(1);
        let facts = native.source(&image);
        let info = instar_vdi::open(instar_disk::File::new(&native, facts))
            .unwrap()
            .describe()
            .unwrap();
        assert_eq!(
            Some(info.virtual_size),
            instar_testkit::oracle::info_number("vdi", &image, "virtual-size")
        );
        assert_eq!(
            info.cluster_size,
            instar_testkit::oracle::info_number("vdi", &image, "cluster-size")
        );
        assert_eq!(info.format.name(), "vdi");
        assert!(!info.dirty && !info.encrypted && !info.compressed);
        assert!(info.backing.is_none() && info.specific.is_none() && info.snapshots.is_empty());
    }
}

#[test]
fn recognises_a_vdi_by_its_signature_and_nothing_else() {
    let dir = Bench::new();
    let image = dir.path("disk.vdi");
    qemu(&["create", "-q", "-f", "vdi", text(&image), "1M"]);
    let bytes = std::fs::read(&image).unwrap();
    assert!(instar_vdi::probe(&bytes[..512]));
    assert!(instar_vdi::probe(&bytes[..68]));
    for head in [&bytes[..67], &[], &[0xff; 512][..]] {
        assert!(!instar_vdi::probe(head));
    }
}
