//! Images that lie, are cut short or lead elsewhere: refused, or read as qemu-img reads them; never a crash, never work
//! without bound.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::cast_possible_truncation,
    reason = "test support outside test functions: a failure is a test failure"
)]

mod common;

use common::build::{Hosted, Places, cowd, descriptor, marker, se_sparse};
use common::{Bench, GRAIN, disk, grains, pattern};
use instar_disk::{Fault, FaultCode, File, fault};
use instar_testkit::Native;
use instar_testkit::conformance::{Format, walk};
use instar_testkit::pattern::assert_same;

/// What a look at a hostile image may cost; the largest is a text of 1 MiB.
const FORMAT: Format = Format {
    open: instar_vmdk::open,
    open_requests: 40,
    map_requests: 8,
    bytes: 2 << 20,
    heap: 3 << 20,
};

/// One look at `bytes`, by the suite of every format.
fn look(bench: &Bench, bytes: &[u8]) -> core::result::Result<(), Fault> {
    walk(&FORMAT, &bench.put("hostile.vmdk", bytes)).map(drop)
}

fn refusal(bench: &Bench, bytes: &[u8]) -> FaultCode {
    look(bench, bytes).expect_err("this image must be refused").code
}

fn set(bytes: &[u8], at: usize, value: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..][..value.len()].copy_from_slice(value);
    bytes
}

/// An extent is named by a path, like a backing file; which paths are opened the gate decides, for every format alike (A3).
#[test]
fn extents_are_named_by_paths() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("sub")).unwrap();
    for name in ["beside", "sub/below", "p:q"] {
        bench.put(name, &pattern(512));
    }
    let absolute = bench.path("beside").to_str().unwrap().to_owned();
    for name in [&*absolute, "sub/below", "./beside", "sub/../beside", "p:q"] {
        let text = descriptor("monolithicFlat", &format!("RW 1 FLAT \"{name}\" 0"));
        assert!(look(&bench, text.as_bytes()).is_ok(), "{name}");
    }
}

/// Names inside a file that has everything are not names: they are never opened.
#[test]
fn the_name_in_an_embedded_descriptor_is_not_followed() {
    let bench = Bench::new();
    let data = disk(2 * GRAIN);
    let (file, _) = Hosted::default().build(&data);
    let text = descriptor("monolithicSparse", "RW 256 SPARSE \"/etc/passwd\"");
    let mut file = set(&file, 512, &[0; 4096]);
    file[512..][..text.len()].copy_from_slice(text.as_bytes());
    bench.put("d.vmdk", &file);
    assert_same(&bench.assert_same("d.vmdk"), &data, "own name");
}

/// Descriptors that lead to descriptors (C7): qemu-img follows them until its stack is used up.
#[test]
fn extents_that_are_descriptors_are_refused() {
    let bench = Bench::new();
    for kind in [
        "FLAT \"hostile.vmdk\" 0",
        "SPARSE \"hostile.vmdk\"",
        "VMFS \"hostile.vmdk\"",
    ] {
        let text = descriptor("twoGbMaxExtentSparse", &format!("RW 1 {kind}"));
        assert_eq!(refusal(&bench, text.as_bytes()), fault::vmdk::EXTENT_LOOP);
    }
    // A header without capacity wraps a descriptor, which names a header without capacity …
    let wrapper = |names: &str| {
        let (file, _) = Hosted::default().build(&[0; 512]);
        let text = descriptor("twoGbMaxExtentSparse", &format!("RW 1 SPARSE \"{names}\""));
        let mut file = set(&set(&file, 12, &[0; 8]), 512, &[0; 4096]);
        file[512..][..text.len()].copy_from_slice(text.as_bytes());
        file
    };
    bench.put("a.vmdk", &wrapper("b.vmdk"));
    bench.put("b.vmdk", &wrapper("a.vmdk"));
    assert_eq!(bench.read("a.vmdk").unwrap_err().code, fault::vmdk::EXTENT_LOOP);
    bench.put(
        "c.vmdk",
        descriptor("twoGbMaxExtentSparse", "RW 1 SPARSE \"b.vmdk\"").as_bytes(),
    );
    assert_eq!(bench.read("c.vmdk").unwrap_err().code, fault::vmdk::EXTENT_LOOP);
    bench.put(
        "e.vmdk",
        descriptor("twoGbMaxExtentSparse", "RW 1 SPARSE \"f.vmdk\"").as_bytes(),
    );
    bench.put(
        "f.vmdk",
        descriptor("twoGbMaxExtentSparse", "RW 1 SPARSE \"e.vmdk\"").as_bytes(),
    );
    assert_eq!(bench.read("e.vmdk").unwrap_err().code, fault::vmdk::NOT_VMDK);
}

/// Header and footer must tell one story (B3), in every field.
#[test]
fn a_footer_that_contradicts_its_header_is_refused() {
    let bench = Bench::new();
    let (file, _) = Hosted::stream().build(&disk(3 * GRAIN));
    look(&bench, &file).unwrap();
    let footer = file.len() - 1024;
    for byte in 0..79 {
        for bit in 0..8 {
            let mut lie = file.clone();
            lie[footer + byte] ^= 1 << bit;
            // The directory's place is the footer's to say; the redundant one, the length of the metadata as long as the
            // file has as much, and the state of the writer are ignored.
            match byte {
                48..56 | 72 => look(&bench, &lie).unwrap(),
                56..64 => drop(look(&bench, &lie)),
                64..72 => {
                    let longer = look(&bench, &lie).err();
                    assert!(
                        longer.is_none_or(|fault| fault.code == fault::vmdk::TRUNCATED),
                        "byte {byte}"
                    );
                }
                _ => {
                    let code = refusal(&bench, &lie);
                    assert!(
                        [fault::vmdk::FOOTER, fault::vmdk::FOOTER_DIFFERS].contains(&code),
                        "byte {byte}"
                    );
                }
            }
        }
    }
    for (at, what) in [
        (footer - 512 + 8, "size"),
        (footer - 512 + 12, "type"),
        (footer + 512, "end"),
        (footer + 520, "end"),
        (footer + 524, "end"),
    ] {
        assert_eq!(
            refusal(&bench, &set(&file, at, &[7])),
            fault::vmdk::FOOTER,
            "{what}"
        );
    }
    assert_eq!(
        refusal(&bench, &set(&file, footer + 56, &[0xff; 8])),
        fault::vmdk::FOOTER,
        "it points to itself"
    );
    assert_eq!(refusal(&bench, &file[..footer]), fault::vmdk::FOOTER);
    assert_eq!(
        refusal(&bench, &[&file[..], &[0; 512]].concat()),
        fault::vmdk::FOOTER
    );
    let (small, _) = Hosted {
        grain_sectors: 1,
        ..Hosted::stream()
    }
    .build(&[1; 512]);
    assert_eq!(refusal(&bench, &small[..1024]), fault::vmdk::FOOTER);
}

/// A descriptor elsewhere, too long, or with another story than the header (B3).
#[test]
fn a_moved_or_contradicting_descriptor_is_refused() {
    let bench = Bench::new();
    let (file, _) = Hosted::default().build(&disk(2 * GRAIN));
    for (offset, size) in [
        (2_u64, 20_u64),
        (0x7fff_ffff_ffff_ffff, 20),
        (1, 0),
        (1, 4096),
        (1, u64::MAX),
        (u64::MAX, 1),
    ] {
        let moved = set(&set(&file, 28, &offset.to_le_bytes()), 36, &size.to_le_bytes());
        assert_eq!(
            refusal(&bench, &moved),
            fault::vmdk::DESCRIPTOR_PLACE,
            "{offset} {size}"
        );
    }
    assert_eq!(
        refusal(&bench, &set(&file, 28, &[0; 8])),
        fault::vmdk::NO_DESCRIPTOR
    );
    for (create_type, lines) in [
        ("monolithicFlat", "RW 256 FLAT \"/etc/passwd\" 0"),
        ("vmfs", "RW 256 VMFS \"x\""),
        ("monolithicSparse", "RW 256 FLAT \"x\" 0"),
        ("monolithicSparse", "RW 128 SPARSE \"x\"\nRW 128 SPARSE \"y\""),
    ] {
        let text = descriptor(create_type, lines);
        let mut lie = set(&file, 512, &[0; 4096]);
        lie[512..][..text.len()].copy_from_slice(text.as_bytes());
        assert_eq!(
            refusal(&bench, &lie),
            fault::vmdk::EMBEDDED_EXTENT,
            "{create_type} {lines}"
        );
    }
    let text = descriptor("monolithicSparse", "RW 256 SPARSE \"x\"").replace("createType", "CREATETYPE");
    let mut lie = set(&file, 512, &[0; 4096]);
    lie[512..][..text.len()].copy_from_slice(text.as_bytes());
    assert_eq!(refusal(&bench, &lie), fault::vmdk::AMBIGUOUS);
}

#[test]
fn text_files_are_judged_by_all_of_their_bytes() {
    let bench = Bench::new();
    bench.put("x", &[0; 512]);
    let good = descriptor("monolithicFlat", "RW 1 FLAT \"x\" 0");
    look(&bench, good.as_bytes()).unwrap();
    look(&bench, &[good.as_bytes(), &[0; 100], &pattern(4096)].concat()).unwrap();
    let polyglot = [good.as_bytes(), &[0; 100], good.as_bytes()].concat();
    assert_eq!(refusal(&bench, &polyglot), fault::vmdk::AFTER_TEXT);
    let long = format!("{good}{}", "# comment\n".repeat(120_000));
    assert_eq!(refusal(&bench, long.as_bytes()), fault::vmdk::DESCRIPTOR_SIZE);
    assert_eq!(refusal(&bench, &pattern(2 << 20)), fault::vmdk::NOT_VMDK);
    assert_eq!(
        refusal(&bench, descriptor("monolithicFlat", "").as_bytes()),
        fault::vmdk::NO_EXTENTS
    );
    for create_type in [
        "fullDevice",
        "monolithicSparse",
        "streamOptimized",
        "vmfsRaw",
        "custom",
        "",
    ] {
        let text = descriptor(create_type, "RW 1 FLAT \"x\" 0");
        assert_eq!(
            refusal(&bench, text.as_bytes()),
            fault::vmdk::CREATE_TYPE,
            "{create_type}"
        );
    }
    for bytes in [&b""[..], b"K", b"KDMV", b"COWD", b"#", b"\0\0\0\0"] {
        drop(look(&bench, bytes).unwrap_err());
    }
}

#[test]
fn extents_that_are_not_what_their_line_says_are_refused() {
    let bench = Bench::new();
    let data = disk(2 * GRAIN);
    bench.put("flat", &data);
    bench.put(
        "sparse",
        &Hosted {
            create_type: None,
            ..Hosted::default()
        }
        .build(&data)
        .0,
    );
    bench.put("cowd", &cowd(&data, 8).0);
    bench.put("se", &se_sparse(&data, None).0);
    for (line, code) in [
        ("RW 257 FLAT \"flat\" 0", fault::vmdk::TRUNCATED),
        ("RW 256 FLAT \"flat\" 1", fault::vmdk::TRUNCATED),
        (
            "RW 256 FLAT \"flat\" 18446744073709551615",
            fault::vmdk::TRUNCATED,
        ),
        ("RW 257 VMFS \"flat\"", fault::vmdk::TRUNCATED),
        ("RW 255 SPARSE \"sparse\"", fault::vmdk::EXTENT_SIZE),
        ("RW 257 VMFSSPARSE \"cowd\"", fault::vmdk::EXTENT_SIZE),
        ("RW 257 SESPARSE \"se\"", fault::vmdk::EXTENT_SIZE),
        ("RW 256 SPARSE \"flat\"", fault::vmdk::NOT_VMDK),
        ("RW 256 SESPARSE \"flat\"", fault::vmdk::SE_SPARSE),
        ("RW 9223372036854775807 FLAT \"flat\" 0", fault::vmdk::CAPACITY),
    ] {
        let text = descriptor("twoGbMaxExtentSparse", line);
        assert_eq!(refusal(&bench, text.as_bytes()), code, "{line}");
    }
}

/// Tables that claim more than the file could hold (C2, D1): refused before anything is allocated for them.
#[test]
fn lying_header_fields_are_refused() {
    let bench = Bench::new();
    let (file, _) = Hosted::default().build(&disk(3 * GRAIN));
    let words: [(usize, u64, FaultCode); 14] = [
        (12, u64::MAX, fault::vmdk::CAPACITY),
        (12, 1 << 55, fault::vmdk::CAPACITY),
        (12, 1 << 50, fault::vmdk::DIRECTORY_SIZE),
        (12, 1 << 34, fault::vmdk::TABLE_PAST_END),
        (20, 0, fault::vmdk::GRAIN_SIZE),
        (20, 1 << 22, fault::vmdk::GRAIN_SIZE),
        (20, u64::MAX, fault::vmdk::GRAIN_SIZE),
        (56, 0, fault::vmdk::TABLE_IN_METADATA),
        (56, 1, fault::vmdk::TABLE_IN_METADATA),
        (56, 20, fault::vmdk::TABLE_IN_METADATA),
        (56, 1 << 40, fault::vmdk::TABLE_PAST_END),
        (56, u64::MAX - 1, fault::vmdk::TABLE_PAST_END),
        (64, 1 << 40, fault::vmdk::TRUNCATED),
        (64, u64::MAX, fault::vmdk::TRUNCATED),
    ];
    for (at, value, code) in words {
        assert_eq!(
            refusal(&bench, &set(&file, at, &value.to_le_bytes())),
            code,
            "{value} at {at}"
        );
    }
    for (at, value, code) in [
        (4, 4_u32, fault::vmdk::VERSION),
        (44, 0, fault::vmdk::TABLE_ENTRIES),
        (44, 513, fault::vmdk::TABLE_ENTRIES),
        (44, u32::MAX, fault::vmdk::TABLE_ENTRIES),
        (8, 1 | 1 << 18, fault::vmdk::FLAGS),
        (8, 1 | 1 << 31, fault::vmdk::FLAGS),
        (8, 1 | 1 << 16, fault::vmdk::COMPRESSION),
        (8, 1 | 1 << 17, fault::vmdk::COMPRESSION),
        (73, 0x0a0d_200d, fault::vmdk::TEXT_TRANSFER),
    ] {
        assert_eq!(
            refusal(&bench, &set(&file, at, &value.to_le_bytes())),
            code,
            "{value} at {at}"
        );
    }
    assert_eq!(
        refusal(&bench, &set(&file, 77, &[1, 0])),
        fault::vmdk::COMPRESSION
    );
    assert_eq!(
        refusal(&bench, &set(&file, 77, &[2, 0])),
        fault::vmdk::COMPRESSION
    );
}

/// Entries that lead into the metadata or out of the file.
#[test]
fn lying_table_entries_are_refused() {
    let bench = Bench::new();
    let (file, places) = Hosted::default().build(&disk(3 * GRAIN));
    for (sector, code) in [
        (1_u32, fault::vmdk::TABLE_IN_METADATA),
        (20, fault::vmdk::TABLE_IN_METADATA),
        (u32::MAX, fault::vmdk::TABLE_PAST_END),
        (
            u32::try_from(file.len() / 512).unwrap(),
            fault::vmdk::TABLE_PAST_END,
        ),
    ] {
        assert_eq!(
            refusal(&bench, &set(&file, places.directory, &sector.to_le_bytes())),
            code,
            "table at {sector}"
        );
    }
    for (sector, code) in [
        (1_u32, fault::vmdk::GRAIN_IN_METADATA),
        (20, fault::vmdk::GRAIN_IN_METADATA),
        (u32::MAX, fault::vmdk::GRAIN_PAST_END),
        (
            u32::try_from(file.len() / 512).unwrap(),
            fault::vmdk::GRAIN_PAST_END,
        ),
    ] {
        assert_eq!(
            refusal(&bench, &set(&file, places.tables[0], &sector.to_le_bytes())),
            code,
            "grain at {sector}"
        );
    }
}

#[test]
fn lying_esx_headers_are_refused() {
    let bench = Bench::new();
    let data = disk(3 * GRAIN);
    let text = descriptor("vmfsSparse", &format!("RW {} VMFSSPARSE \"x\"", data.len() / 512));
    let refused = |file: &[u8]| {
        bench.put("x", file);
        refusal(&bench, text.as_bytes())
    };
    let (file, places) = cowd(&data, 8);
    for (at, value, code) in [
        (4, 2_u32, fault::vmdk::VERSION),
        (12, 0, fault::vmdk::CAPACITY),
        (12, u32::MAX, fault::vmdk::DIRECTORY_SIZE),
        (16, 0, fault::vmdk::GRAIN_SIZE),
        (16, u32::MAX, fault::vmdk::GRAIN_SIZE),
        (20, 0, fault::vmdk::TABLE_IN_METADATA),
        (20, u32::MAX, fault::vmdk::TABLE_PAST_END),
        (24, 0, fault::vmdk::DIRECTORY_SIZE),
        (places.directory, u32::MAX, fault::vmdk::TABLE_PAST_END),
        (places.tables[0], u32::MAX, fault::vmdk::GRAIN_PAST_END),
    ] {
        assert_eq!(
            refused(&set(&file, at, &value.to_le_bytes())),
            code,
            "cowd: {value} at {at}"
        );
    }
}

#[test]
fn lying_space_efficient_headers_are_refused() {
    let bench = Bench::new();
    let data = disk(3 * GRAIN);
    let text = descriptor("seSparse", &format!("RW {} SESPARSE \"x\"", data.len() / 512));
    let refused = |file: &[u8]| {
        bench.put("x", file);
        refusal(&bench, text.as_bytes())
    };
    let (file, places) = se_sparse(&data, Some(1));
    let fields = [
        0,
        8,
        24,
        32,
        40,
        48,
        56,
        64,
        72,
        208,
        511,
        512,
        512 + 24,
        512 + 32,
        1023,
    ];
    for at in fields {
        let mut lie = file.clone();
        lie[at] ^= 1;
        assert_eq!(refused(&lie), fault::vmdk::SE_SPARSE, "seSparse byte {at}");
    }
    for (at, value, code) in [
        (80, u64::MAX, fault::vmdk::TRUNCATED),
        (128, 0, fault::vmdk::TABLE_IN_METADATA),
        (128, u64::MAX, fault::vmdk::TABLE_PAST_END),
        (136, 0, fault::vmdk::DIRECTORY_SIZE),
        (144, u64::MAX, fault::vmdk::TABLE_PAST_END),
        (192, u64::MAX, fault::vmdk::GRAIN_PAST_END),
        (places.directory, 1, fault::vmdk::SE_SPARSE_ENTRY),
        (
            places.directory,
            0x1000_0000_ffff_ffff,
            fault::vmdk::TABLE_PAST_END,
        ),
        (
            places.directory,
            0x1000_0001_0000_0000,
            fault::vmdk::SE_SPARSE_ENTRY,
        ),
        (places.tables[0], 5, fault::vmdk::SE_SPARSE_ENTRY),
        (
            places.tables[0],
            0x4000_0000_0000_0000,
            fault::vmdk::SE_SPARSE_ENTRY,
        ),
        (
            places.tables[0],
            0x3fff_ffff_ffff_ffff,
            fault::vmdk::GRAIN_PAST_END,
        ),
    ] {
        assert_eq!(
            refused(&set(&file, at, &value.to_le_bytes())),
            code,
            "seSparse: {value:x} at {at}"
        );
    }
}

/// Compressed grains that claim another length than they have (D2).
#[test]
fn lying_grain_markers_are_refused() {
    let bench = Bench::new();
    let data = disk(GRAIN);
    let front = Hosted {
        footer: false,
        ..Hosted::stream()
    };
    let (file, places) = front.build(&data);
    let grain = places.grains[0];
    for size in [0, 2 * GRAIN as u32 - 11, u32::MAX] {
        assert_eq!(
            refusal(&bench, &set(&file, grain + 8, &size.to_le_bytes())),
            fault::vmdk::GRAIN_LENGTH,
            "{size}"
        );
    }
    let past = 2 * GRAIN as u32 - 12;
    assert_eq!(
        refusal(&bench, &set(&file, grain + 8, &past.to_le_bytes())),
        fault::vmdk::GRAIN_PAST_END
    );
    // A table entry that leads to a marker of metadata finds no grain there.
    let mut other = file.clone();
    other.extend_from_slice(&marker(4, 1));
    let entry = u32::try_from(file.len() / 512).unwrap().to_le_bytes();
    assert_eq!(
        refusal(&bench, &set(&other, places.tables[0], &entry)),
        fault::vmdk::GRAIN_LENGTH
    );
    // The marker itself past the end: the last bytes of the file are less than one.
    let mut cut = set(&file, places.tables[0], &entry);
    cut.extend_from_slice(&[1; 7]);
    assert_eq!(refusal(&bench, &cut), fault::vmdk::GRAIN_PAST_END);
    // A stream of other bytes is damaged, and a stream that ends early is too.
    for lie in [
        set(&file, grain + 14, &[0xff; 40]),
        set(&file, grain + 8, &20_u32.to_le_bytes()),
    ] {
        bench.put("d.vmdk", &lie);
        assert_eq!(
            bench.read("d.vmdk").unwrap_err().code,
            fault::core::BAD_COMPRESSED_DATA
        );
        assert!(
            !bench
                .try_qemu(&["convert", "-O", "raw", "d.vmdk", "x.raw"])
                .status
                .success()
        );
    }
}

/// All directory entries share a table, all its entries share a grain (C3): one question still costs next to nothing, and
/// the engine is told how many bytes there really are.
#[test]
fn tables_shared_by_a_terabyte_cost_no_more_than_one() {
    let bench = Bench::new();
    let (file, places) = Hosted::default().build(&grains(513, 0..513));
    let mut lie = file.clone();
    for index in 0..512 {
        lie.copy_within(
            places.tables[0]..places.tables[0] + 4,
            places.tables[0] + index * 4,
        );
    }
    let directory = lie.len();
    let tables = 32_u64 << 10;
    for _ in 0..tables {
        lie.extend_from_slice(&u32::try_from(places.tables[0] / 512).unwrap().to_le_bytes());
    }
    let lie = set(&lie, 56, &(directory as u64 / 512).to_le_bytes());
    let lie = set(&lie, 12, &(tables * 512 * 128).to_le_bytes());
    look(&bench, &lie).unwrap();
    let native = Native::new(1);
    let image = instar_vmdk::open(File::new(&native, native.source(bench.path("hostile.vmdk")))).unwrap();
    let files = image.files();
    let sizes: Vec<_> = files.iter().map(|facts| facts.size).collect();
    assert_eq!((image.size(), sizes), (1 << 40, vec![lie.len() as u64]));
}

/// Every bit of the header, one at a time: refused, or read as qemu-img reads it.
#[test]
fn a_flipped_bit_in_a_header_is_refused_or_read_as_by_qemu_img() {
    let bench = Bench::new();
    let data = disk(3 * GRAIN + 512);
    let mut accepted = 0;
    for hosted in [
        Hosted::default(),
        Hosted {
            footer: false,
            ..Hosted::stream()
        },
    ] {
        let (file, _) = hosted.build(&data);
        for bit in 0..80 * 8 {
            let mut lie = file.clone();
            lie[bit / 8] ^= 1 << (bit % 8);
            if look(&bench, &lie).is_err() {
                continue;
            }
            if bench.describe("hostile.vmdk").unwrap().virtual_size > 64 << 20 {
                continue;
            }
            let Ok(ours) = bench.read("hostile.vmdk") else {
                continue;
            };
            accepted += 1;
            assert_same(&ours, &bench.qemu_read("hostile.vmdk"), &format!("bit {bit}"));
        }
    }
    assert!(accepted > 100, "only {accepted} were comparable");
}

/// Every byte of a descriptor, one at a time, the same.
#[test]
fn a_changed_byte_in_a_descriptor_is_refused_or_read_as_by_qemu_img() {
    let bench = Bench::new();
    let data = disk(2 * GRAIN);
    bench.put("flat", &data);
    let text = descriptor("monolithicFlat", "RW 100 FLAT \"flat\" 7\nRW 9 FLAT \"flat\" 0");
    let mut accepted = 0;
    for (index, change) in (0..text.len()).flat_map(|index| [(index, 1_u8), (index, 0x10), (index, 0x20)]) {
        let mut lie = text.clone().into_bytes();
        lie[index] ^= change;
        if look(&bench, &lie).is_err() {
            continue;
        }
        let Ok(ours) = bench.read("hostile.vmdk") else {
            continue;
        };
        accepted += 1;
        // Most of the text is comments and geometry; comparing some of those is enough.
        if accepted % 3 == 0 || text.as_bytes()[index].is_ascii_digit() {
            assert_same(
                &ours,
                &bench.qemu_read("hostile.vmdk"),
                &format!("byte {index} ^ {change}"),
            );
        }
    }
    assert!(accepted > 50, "only {accepted} were comparable");
}

/// Random damage, in quantity: never a panic, never more requests than allowed.
#[test]
fn random_damage_does_no_harm() {
    let bench = Bench::new();
    let data = disk(5 * GRAIN + 512);
    bench.put("x", &cowd(&data, 16).0);
    let text = descriptor("vmfsSparse", &format!("RW {} VMFSSPARSE \"x\"", data.len() / 512));
    let images: [(Vec<u8>, Places); 3] = [
        Hosted::default().build(&data),
        Hosted::stream().build(&data),
        (text.into_bytes(), Places::default()),
    ];
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut refused = 0;
    for round in 0..1500 {
        let (file, places) = &images[round % images.len()];
        let mut lie = file.clone();
        for _ in 0..=random(3) {
            let areas = [
                0,
                512,
                places.directory,
                places.tables.first().copied().unwrap_or(0),
                places.grains.first().copied().unwrap_or(0),
            ];
            let at = (areas[random(areas.len())] + random(80)).min(lie.len() - 1);
            lie[at] = [0, 1, 0x7f, 0x80, 0xff, u8::try_from(random(256)).unwrap()][random(6)];
        }
        refused += usize::from(look(&bench, &lie).is_err());
    }
    assert!((100..1400).contains(&refused), "{refused} of 1500 refused");
}
