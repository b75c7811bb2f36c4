//! Damaged and lying images: refused in qemu-img's words or read as it reads them, never a panic, never unbounded work.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

mod support;

use instar_disk::job::{Repair, SnapshotName};
use instar_disk::{File, Findings, Kind, fault};
use instar_qcow2::{OpenOptions, raw};
use instar_testkit::{Asked, Counting, Native, Report, words};
use support::{Bench, Chain, KIB, MIB, assert_same, edited};

const READ: OpenOptions = OpenOptions { info_only: false };
const INFO: OpenOptions = OpenOptions { info_only: true };

fn small() -> (Bench, Vec<u8>) {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 image 10M");
    let bytes = bench.bytes("image");
    (bench, bytes)
}

fn be32(value: u32) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

fn be64(value: u64) -> Vec<u8> {
    value.to_be_bytes().to_vec()
}

fn extension(kind: u32, length: u32, bytes: &[u8]) -> Vec<u8> {
    let mut all = [be32(kind), be32(length)].concat();
    all.extend_from_slice(bytes);
    all
}

/// qemu-img's words for refusing `line`, without the names in front of them; none if it does not refuse.
fn theirs(bench: &Bench, line: &str) -> Option<String> {
    let output = bench.try_qemu_img(line);
    if output.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let text = text.lines().next().unwrap_or_default().to_owned();
    let place = text.find("': ").map_or(0, |place| place + 3);
    Some(text[place..].to_owned())
}

fn ours(bench: &Bench, options: OpenOptions) -> Option<String> {
    let host = Native::new(1);
    let facts = host.source(bench.path("image"));
    let opened = instar_qcow2::open(File::new(&host, facts), options);
    let outcome = match opened {
        Ok(mut image) if options.info_only => image.describe().map(|_| ()),
        Ok(_) => Ok(()),
        Err(fault) => Err(fault),
    };
    outcome.err().map(|fault| words(&fault))
}

/// Both tools refuse the image with the same words, or neither does.
fn same_words(bench: &Bench, name: &str) {
    assert_eq!(
        ours(bench, INFO),
        theirs(bench, "info -f qcow2 image"),
        "info: {name}"
    );
    // Opens it to be read, and reads nothing: a disk may have exabytes.
    let read = theirs(bench, "dd -f qcow2 -O raw bs=512 count=0 if=image of=out.raw");
    assert_eq!(ours(bench, READ), read, "dd: {name}");
}

type Edit = (u64, Vec<u8>);

fn try_edits(cases: Vec<(&str, Vec<Edit>)>) {
    let (bench, bytes) = small();
    for (name, edits) in cases {
        let edits: Vec<(u64, &[u8])> = edits.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
        bench.put("image", &edited(&bytes, &edits));
        same_words(&bench, name);
    }
}

#[test]
fn refuses_bad_header_fields_in_the_words_of_qemu() {
    try_edits(vec![
        ("magic", vec![(0, b"XXXX".to_vec())]),
        ("version 0", vec![(4, be32(0))]),
        ("version 1", vec![(4, be32(1))]),
        ("version 4", vec![(4, be32(4))]),
        ("clusters of 256 bytes", vec![(20, be32(8))]),
        ("clusters of 4 MiB", vec![(20, be32(22))]),
        ("clusters of 2^64 bytes", vec![(20, be32(64))]),
        ("header of 100 bytes", vec![(100, be32(100))]),
        ("header of 104 bytes", vec![(100, be32(104)), (104, be64(0))]),
        ("header of one cluster", vec![(100, be32(65536))]),
        ("header of more than a cluster", vec![(100, be32(65544))]),
        ("header of an odd length", vec![(100, be32(113))]),
        ("backing name outside", vec![(8, be64(65537))]),
        ("backing name at the end", vec![(8, be64(65536))]),
        (
            "backing name behind the end",
            vec![(8, be64(65536)), (16, be32(1))],
        ),
        (
            "backing name of 1024 bytes",
            vec![(8, be64(4096)), (16, be32(1024))],
        ),
        (
            "backing name of 1023 NULs",
            vec![(8, be64(4096)), (16, be32(1023))],
        ),
        (
            "backing name inside the header",
            vec![(8, be64(8)), (16, be32(0))],
        ),
        ("compression type 2", vec![(104, vec![2])]),
        ("zstd without its bit", vec![(104, vec![1])]),
        ("zlib with the bit", vec![(72, be64(8))]),
        ("unknown bits", vec![(72, be64(0x8000_0000_0000_0020))]),
        ("named and unknown bits", vec![(72, be64(0xff00_0020))]),
        ("data file without a name", vec![(72, be64(4))]),
        ("raw data file without a data file", vec![(88, be64(2))]),
        (
            "unknown compatible and autoclear bits",
            vec![(80, be64(!0)), (88, be64(!3))],
        ),
        ("subclusters of 256 bytes", vec![(20, be32(13)), (72, be64(16))]),
        ("refcounts of 128 bits", vec![(96, be32(7))]),
        ("encryption method 3", vec![(32, be32(3))]),
        ("LUKS without its header", vec![(32, be32(2))]),
        ("no refcount table", vec![(56, be32(0))]),
        ("refcount table of 129 clusters", vec![(56, be32(129))]),
        ("refcount table at 1", vec![(48, be64(1))]),
        ("refcount table at 2^63", vec![(48, be64(1 << 63))]),
        ("65537 snapshots", vec![(60, be32(65537))]),
        ("snapshots at 5", vec![(60, be32(1)), (64, be64(5))]),
        ("L1 table above 32 MiB", vec![(36, be32(4_194_305))]),
        ("L1 table of 32 MiB", vec![(36, be32(4_194_304))]),
        ("L1 table at 8", vec![(40, be64(8))]),
        ("L1 table at 0", vec![(40, be64(0))]),
        ("L1 table behind the end", vec![(40, be64(1 << 50))]),
        ("no L1 table", vec![(36, be32(0))]),
    ]);
}

#[test]
fn refuses_bad_sizes_in_the_words_of_qemu() {
    let sizes = [
        0,
        1,
        511,
        512,
        1000,
        10 << 20 | 1,
        1 << 49,
        1 << 51,
        (1 << 51) + 1,
        1 << 55,
        1 << 60,
    ];
    let sizes = sizes.into_iter().chain([1 << 62, (1 << 63) - 1, 1 << 63]);
    let mut cases = Vec::new();
    for size in sizes {
        cases.push(("small L1 table", vec![(24, be64(size))]));
        cases.push(("large L1 table", vec![(24, be64(size)), (36, be32(4_194_304))]));
    }
    try_edits(cases);
}

#[test]
fn refuses_bad_extensions_in_the_words_of_qemu() {
    use raw::extension::{BACKING_FORMAT, BITMAPS, CRYPTO_HEADER};
    let bitmaps = |count: u32, reserved: u32, size: u64, offset: u64| {
        let bytes = [be32(count), be32(reserved), be64(size), be64(offset)].concat();
        vec![(88, be64(1)), (112, extension(BITMAPS, 24, &bytes))]
    };
    try_edits(vec![
        ("behind the area", vec![(116, be32(70000))]),
        ("to the end of the area", vec![(116, be32(65536 - 120))]),
        ("one byte behind the area", vec![(116, be32(65536 - 119))]),
        ("length 2^32 - 1", vec![(116, be32(!0))]),
        ("unknown", vec![(112, be32(0x1234_5678))]),
        (
            "format of 16 bytes",
            vec![(112, extension(BACKING_FORMAT, 16, b""))],
        ),
        (
            "format of 15 bytes",
            vec![(112, extension(BACKING_FORMAT, 15, b""))],
        ),
        ("crypto", vec![(112, extension(CRYPTO_HEADER, 16, b""))]),
        (
            "crypto of 15 bytes",
            vec![(32, be32(2)), (112, extension(CRYPTO_HEADER, 15, b""))],
        ),
        (
            "crypto at an odd place",
            vec![
                (32, be32(2)),
                (112, extension(CRYPTO_HEADER, 16, &[0, 0, 0, 0, 0, 0, 0, 1])),
            ],
        ),
        ("bitmaps of 0 bytes", vec![(112, extension(BITMAPS, 0, b""))]),
        ("reserved", bitmaps(1, 1, 32, 65536)),
        ("no bitmaps", bitmaps(0, 0, 32, 65536)),
        ("65536 bitmaps", bitmaps(65536, 0, 32, 65536)),
        ("directory at 1", bitmaps(1, 0, 32, 1)),
        ("directory of 64 MiB", bitmaps(1, 0, 1024 * 65535 + 1, 65536)),
    ]);
}

/// qemu-img reads bitmaps whatever it is asked for; we read them when they are to be shown.
#[test]
fn refuses_bad_bitmap_directories_in_the_words_of_qemu() {
    let entry = |table: u64, size: u32, flags: u32, kind: u8, bits: u8, name: u16, extra: u32| {
        let mut bytes = [be64(table), be32(size), be32(flags), vec![kind, bits]].concat();
        bytes.extend_from_slice(&name.to_be_bytes());
        bytes.extend_from_slice(&be32(extra));
        bytes.extend_from_slice(b"bitmap\0\0");
        bytes
    };
    let good = entry(65536 * 5, 1, 0, 1, 16, 6, 0);
    let cases = [
        ("good", 1, good.clone()),
        ("nothing", 1, Vec::new()),
        ("two where one is", 1, [good.clone(), good.clone()].concat()),
        ("one where two are", 2, good.clone()),
        ("cut", 1, good[..20].to_vec()),
        ("cut in the name", 1, good[..30].to_vec()),
        ("table at 0", 1, entry(0, 1, 0, 1, 16, 6, 0)),
        ("table at 7", 1, entry(7, 1, 0, 1, 16, 6, 0)),
        ("no table", 1, entry(65536 * 5, 0, 0, 1, 16, 6, 0)),
        ("large table", 1, entry(65536 * 5, 1 << 28, 0, 1, 16, 6, 0)),
        ("large bitmap", 1, entry(65536 * 5, 1 << 14, 0, 1, 16, 6, 0)),
        ("flags", 1, entry(65536 * 5, 1, 4, 1, 16, 6, 0)),
        ("kind", 1, entry(65536 * 5, 1, 0, 0, 16, 6, 0)),
        ("fine", 1, entry(65536 * 5, 1, 0, 1, 8, 6, 0)),
        ("coarse", 1, entry(65536 * 5, 1, 0, 1, 32, 6, 0)),
        ("no name", 1, entry(65536 * 5, 1, 0, 1, 16, 0, 0)[..24].to_vec()),
        ("extra data", 1, entry(65536 * 5, 1, 0, 1, 16, 6, 1)),
        ("in use and coarse", 1, entry(65536 * 5, 1, 1, 1, 31, 6, 0)),
    ];
    let (bench, bytes) = small();
    for (name, count, directory) in cases {
        let length = directory.len() as u64;
        let header = [be32(count), be32(0), be64(length), be64(65536 * 4)].concat();
        let mut image = bytes.clone();
        image.resize(65536 * 6, 0);
        let header = extension(raw::extension::BITMAPS, 24, &header);
        let edits: [(u64, &[u8]); 4] = [
            (88, &be64(1)),
            (112, &header),
            (144, &be64(0)),
            (65536 * 4, &directory),
        ];
        bench.put("image", &edited(&image, &edits));
        let theirs = theirs(&bench, "info -f qcow2 image");
        assert_eq!(ours(&bench, INFO), theirs, "{name}");
        assert_eq!(ours(&bench, READ), None, "{name}");
    }
}

#[test]
fn unknown_features_are_called_by_the_names_in_the_image() {
    let (bench, bytes) = small();
    let mut image = bytes.clone();
    // The table's entries for compression type and extended L2 are renamed to bits 40 and 63.
    image[0x108 + 1] = 40;
    image[0x138 + 1] = 63;
    image[72..80].copy_from_slice(&(1_u64 << 40 | 1 << 63 | 1 << 50).to_be_bytes());
    bench.put("image", &image);
    same_words(&bench, "named");
    let text = ours(&bench, READ).unwrap();
    assert!(text.starts_with("Unsupported qcow2 feature(s): compression type, extended"));
    // Not read as a table where it is cut, of another kind, or missing.
    for (at, byte) in [(0x108, 1), (0x119, 7), (0x76, 0), (0x70, 1)] {
        let mut image = image.clone();
        image[at] = byte;
        bench.put("image", &image);
        same_words(&bench, "changed table");
    }
}

#[test]
fn a_version_2_header_ends_at_byte_72() {
    let bench = Bench::new();
    bench.pattern("source.raw", MIB);
    bench.qemu_img("convert -f raw -O qcow2 -o compat=0.10 source.raw image");
    let mut bytes = bench.bytes("image");
    // Extensions begin at byte 72 there: an unknown one that covers what would be feature bits in version 3.
    bytes[72..80].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 200]);
    bytes[80..280].fill(0xff);
    bench.put("image", &bytes);
    assert_eq!(ours(&bench, INFO), None);
    bench.compare("image");
}

#[test]
fn every_flipped_bit_of_the_header_is_judged_as_qemu_judges_it() {
    let (bench, bytes) = small();
    let mut refused = 0;
    for bit in 0..120 * 8 {
        let mut image = bytes.clone();
        image[bit / 8] ^= 1 << (bit % 8);
        bench.put("image", &image);
        let (ours, theirs) = (ours(&bench, INFO), theirs(&bench, "info -f qcow2 image"));
        // Snapshots behind the file's end have no name, and qemu-img shows them so.
        if ours.as_deref().is_some_and(|text| text.contains("before entry")) {
            continue;
        }
        // The highest bit of the encryption method: qemu-img prints the number as a negative one.
        if bit != 32 * 8 + 7 {
            assert_eq!(ours, theirs, "bit {bit}");
        }
        refused += usize::from(ours.is_some());
    }
    assert!(refused > 300, "{refused}");
}

/// Maps everything, through a host that counts; gives what was read, or the first fault.
fn map_all(bench: &Bench, image: &str, calls: u64) -> Result<u64, String> {
    let native = Native::new(1);
    let facts = native.source(bench.path(image));
    let host = Counting::new(&native);
    let mut opened = instar_qcow2::open(File::new(&host, facts), READ).map_err(|fault| words(&fault))?;
    assert!(host.take().bytes <= 2 * MIB + 128 * KIB);
    let size = opened.size();
    let (mut offset, mut made) = (0, 0);
    while offset < size && made < calls {
        let mapped = opened.map(offset);
        let Asked {
            requests: reads,
            bytes,
            largest,
        } = host.take();
        assert!(
            reads <= 8 + 128 && bytes <= 8 * 32 * KIB + 64 * KIB,
            "{reads} {bytes}"
        );
        assert!(largest <= 64 * KIB);
        let mapping = mapped.map_err(|fault| words(&fault))?;
        assert!(mapping.length >= 1 && offset + mapping.length <= size);
        offset += mapping.length;
        made += 1;
    }
    Ok(made)
}

fn random(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state ^ (*state >> 29)
}

/// Random entries that are often nearly right.
fn damage(bytes: &mut [u8], state: &mut u64, from: usize, to: usize) {
    for _ in 0..1 + random(state) % 4 {
        let at = (from + random(state) as usize % (to - from)) & !7;
        let length = bytes.len() as u64;
        let value = match random(state) % 8 {
            0 => random(state),
            1 => 1 << (random(state) % 64),
            2 => (random(state) % (2 * length)) & !511,
            3 => (random(state) % length) & !0xffff | 1 << 63,
            4 => (random(state) % length) & !0xffff | 1,
            5 => (random(state) % length) | 1 << 62 | (random(state) & 0xff) << 54,
            6 => 1,
            _ => 0,
        };
        bytes[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }
}

#[test]
fn random_table_entries_give_what_qemu_reads_or_a_refusal() {
    let mut state = 11;
    let (mut good, mut bad) = (0, 0);
    for options in [
        "-o cluster_size=65536",
        "-o cluster_size=4096",
        "-c",
        "-o extended_l2=on,cluster_size=16384",
        "-o compat=0.10,cluster_size=512",
    ] {
        let bench = Bench::new();
        bench.pattern("source.raw", 700 * KIB);
        bench.qemu_img(&format!("convert -f raw -O qcow2 {options} source.raw whole"));
        let whole = bench.bytes("whole");
        let l1 = u64::from_be_bytes(whole[40..48].try_into().unwrap()) as usize;
        let l2 = u64::from_be_bytes(whole[l1..l1 + 8].try_into().unwrap()) as usize & !(1 << 63);
        for round in 0..40 {
            let mut bytes = whole.clone();
            match round % 4 {
                0 => damage(&mut bytes, &mut state, l1, l1 + 8),
                1 => damage(&mut bytes, &mut state, l2, l2 + 16),
                _ => damage(&mut bytes, &mut state, l2, l2 + 8 * 12),
            }
            bench.put("image", &bytes);
            let mapped = map_all(&bench, "image", u64::MAX);
            let theirs = bench.try_qemu_img("convert -f qcow2 -O raw image out.raw");
            let host = Native::new(1);
            let facts = host.source(bench.path("image"));
            let mut chain = Chain::open(&host, File::new(&host, facts), true).unwrap();
            let ours = chain.try_read_all(&host);
            assert_eq!(
                ours.is_ok(),
                theirs.status.success(),
                "{options} round {round}: {mapped:?}"
            );
            if let Ok(ours) = ours {
                assert_same(&ours, &bench.bytes("out.raw"), options);
                good += 1;
            } else {
                bad += 1;
            }
        }
    }
    assert!(good > 20 && bad > 20, "{good} {bad}");
}

#[test]
fn table_faults_name_what_is_wrong() {
    let bench = Bench::new();
    bench.pattern("source.raw", MIB);
    bench.qemu_img("convert -f raw -O qcow2 source.raw image");
    let whole = bench.bytes("image");
    let l1 = u64::from_be_bytes(whole[40..48].try_into().unwrap());
    let l2 = u64::from_be_bytes(whole[l1 as usize..][..8].try_into().unwrap()) & !(1 << 63);
    let expect = |version: u8, at: u64, value: u64, text: &str| {
        let bytes = edited(&whole, &[(7, &[version]), (at, &be64(value))]);
        bench.put("image", &bytes);
        let fault = map_all(&bench, "image", u64::MAX).unwrap_err();
        assert!(fault.contains(text), "{fault}");
    };
    expect(
        3,
        l1,
        0x8000_0000_0000_0200,
        "L2 table offset 512 unaligned (L1 index: 0)",
    );
    expect(
        3,
        l2,
        0x8000_0000_0001_0200,
        "Cluster allocation offset 66048 unaligned",
    );
    expect(
        2,
        l2 + 8,
        1,
        "Zero cluster entry found in pre-v3 image (guest offset: 65536)",
    );
}

#[test]
fn contradicting_subclusters_are_refused() {
    let bench = Bench::new();
    bench.pattern("source.raw", MIB);
    bench.qemu_img("convert -f raw -O qcow2 -o extended_l2=on source.raw image");
    let whole = bench.bytes("image");
    let l1 = u64::from_be_bytes(whole[40..48].try_into().unwrap());
    let l2 = u64::from_be_bytes(whole[l1 as usize..][..8].try_into().unwrap()) & !(1 << 63);
    let entry = u64::from_be_bytes(whole[l2 as usize..][..8].try_into().unwrap());
    for (entry, bits) in [(entry, 1 << 32 | 1), (0, 1)] {
        let bytes = edited(&whole, &[(l2, &be64(entry)), (l2 + 8, &be64(bits))]);
        bench.put("image", &bytes);
        let fault = map_all(&bench, "image", u64::MAX).unwrap_err();
        assert!(fault.contains("Invalid cluster entry found"), "{fault}");
        bench.refusal("convert -f qcow2 -O raw image out.raw");
    }
}

#[test]
fn a_data_file_holds_clusters_at_their_own_place_only() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 -o data_file=data image 4M");
    bench.qemu_io("image", &["write -P 1 0 256k"]);
    let whole = bench.bytes("image");
    let l1 = u64::from_be_bytes(whole[40..48].try_into().unwrap());
    let l2 = u64::from_be_bytes(whole[l1 as usize..][..8].try_into().unwrap()) & !(1 << 63);
    for (value, text) in [
        (
            (1 << 63) | (65536 * 3),
            "does not match guest cluster offset: 65536",
        ),
        (
            (1 << 62) | (65536 * 3),
            "Compressed cluster entry found in image with external",
        ),
    ] {
        bench.put("image", &edited(&whole, &[(l2 + 8, &be64(value))]));
        let fault = map_all(&bench, "image", u64::MAX).unwrap_err();
        assert!(fault.contains(text), "{fault}");
        bench.refusal("convert -f qcow2 -O raw image out.raw");
    }
}

#[test]
fn a_data_file_is_not_opened_to_be_described() {
    let (bench, bytes) = small();
    let name = extension(raw::extension::DATA_FILE, 11, b"/etc/passwd\0\0\0\0\0");
    bench.put("image", &edited(&bytes, &[(72, &be64(4)), (112, &name)]));
    let native = Native::new(1);
    let facts = native.source(bench.path("image"));
    let mut image = instar_qcow2::open(File::new(&native, facts), INFO).unwrap();
    let info = image.describe().unwrap();
    let Some(instar_disk::report::Specific::Qcow2(info)) = info.specific else {
        panic!("no qcow2 in the description");
    };
    assert_eq!(info.data_file.unwrap().as_bytes(), b"/etc/passwd");
    assert!(image.map(0).is_err());
}

#[test]
fn encrypted_images_are_described_but_not_read_without_a_key() {
    let (bench, bytes) = small();
    bench.put("image", &edited(&bytes, &[(32, &be32(1))]));
    assert_eq!(bench.fault("image", READ).code, fault::qcow2::NO_KEY);
    let native = Native::new(1);
    let facts = native.source(bench.path("image"));
    let mut image = instar_qcow2::open(File::new(&native, facts), INFO).unwrap();
    assert!(image.describe().unwrap().encrypted);
    assert_eq!(image.map(0).unwrap_err().code, fault::qcow2::NO_KEY);
}

#[test]
fn lying_counts_cost_what_is_there() {
    let (bench, bytes) = small();
    let cases: [Vec<Edit>; 4] = [
        vec![(36, be32(4_194_304)), (40, be64(1 << 40))],
        vec![(60, be32(65536)), (64, be64(1 << 40))],
        vec![(60, be32(65536)), (64, be64(0))],
        vec![
            (88, be64(1)),
            (
                112,
                extension(
                    raw::extension::BITMAPS,
                    24,
                    &[be32(65535), be32(0), be64(1024 * 65535), be64(1 << 40)].concat(),
                ),
            ),
        ],
    ];
    for edits in cases {
        let edits: Vec<(u64, &[u8])> = edits.iter().map(|(at, bytes)| (*at, &bytes[..])).collect();
        bench.put("image", &edited(&bytes, &edits));
        let native = Native::new(1);
        let facts = native.source(bench.path("image"));
        let host = Counting::new(&native);
        let mut image = instar_qcow2::open(File::new(&host, facts), INFO).unwrap();
        let described = image.describe();
        let Asked {
            requests: reads,
            bytes: read,
            ..
        } = host.take();
        assert!(read <= MIB && reads <= 16, "{reads} reads, {read} bytes");
        drop(described);
        map_all(&bench, "image", 1000).unwrap();
    }
}

#[test]
fn the_head_of_extensions_is_read_once_however_small_they_are() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 -o cluster_size=2M image 10M");
    let mut bytes = bench.bytes("image");
    // Unknown extensions without content fill the cluster of 2 MiB.
    for at in (112..(2 << 20)).step_by(8) {
        bytes[at..at + 8].copy_from_slice(&extension(0x7777_7777, 0, b""));
    }
    bench.put("image", &bytes);
    let native = Native::new(1);
    let facts = native.source(bench.path("image"));
    let host = Counting::new(&native);
    instar_qcow2::open(File::new(&host, facts), READ).unwrap();
    let Asked {
        requests: reads,
        bytes: read,
        ..
    } = host.take();
    assert!(
        reads <= 40 && read <= 2 * MIB + 128 * KIB,
        "{reads} reads, {read} bytes"
    );
}

#[test]
fn snapshots_without_end_are_not_listed() {
    let (bench, bytes) = small();
    let mut image = bytes.clone();
    // 65535 empty entries, all of them in the file.
    image.resize(65536 * 4 + 40 * 65535, 0);
    bench.put(
        "image",
        &edited(&image, &[(60, &be32(65535)), (64, &be64(65536 * 4))]),
    );
    assert_eq!(bench.fault("image", INFO).code, fault::core::TABLE_LIMIT);
    assert_eq!(ours(&bench, READ), None);
}

#[test]
fn the_snapshot_table_that_a_repair_completes_is_read_in_large_pieces() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 image 4M");
    let mut bytes = bench.bytes("image");
    let table = bytes.len().next_multiple_of(65536);
    let l1 = bytes[40..48].to_vec();
    bytes.resize(table + 40 * 4096, 0);
    for entry in bytes[table..].chunks_exact_mut(40) {
        // The image's own L1 table, of one entry, and none of the extra data that version 3 demands.
        entry[..8].copy_from_slice(&l1);
        entry[8..12].copy_from_slice(&be32(1));
    }
    bench.put(
        "image",
        &edited(&bytes, &[(60, &be32(4096)), (64, &be64(table as u64))]),
    );
    let native = Native::new(1);
    let host = Counting::new(&native);
    let file = File::new(&host, native.existing(bench.path("image")));
    let mut image = instar_qcow2::check(file).unwrap();
    let checked = image.repair(Repair::All, &mut Findings::new(&host)).unwrap();
    assert_eq!((checked.corruptions, checked.check_errors), (0, 0));
    let asked = host.take();
    assert!(asked.requests <= 5000, "{asked:?}");
    drop(image);
    bench.qemu_img("check -q image");
}

#[test]
fn bad_snapshots_are_refused_in_the_words_of_qemu() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 image 4M");
    bench.qemu_io("image", &["write -P 1 0 1M"]);
    bench.qemu_img("snapshot -c one image");
    let whole = bench.bytes("image");
    let table = u64::from_be_bytes(whole[64..72].try_into().unwrap());
    bench.put("image", &edited(&whole, &[(table + 36, &be32(1025))]));
    assert_eq!(
        ours(&bench, INFO).unwrap(),
        theirs(&bench, "info -f qcow2 image").unwrap()
    );
    for (at, bytes, text) in [
        (table, be64(3), "Snapshot L1 table offset invalid"),
        (table + 8, be32(4_194_305), "Snapshot L1 table too large"),
    ] {
        bench.put("image", &edited(&whole, &[(at, &bytes)]));
        let said = bench.refusal("convert -l one -O raw image out.raw");
        assert!(said.contains(text), "{said}");
        let name = SnapshotName::Either(b"one".to_vec());
        let fault = bench.with("image", |image| image.select_snapshot(&name).unwrap_err());
        assert_eq!(words(&fault), text);
    }
    let name = SnapshotName::Either(b"two".to_vec());
    let fault = bench.with("image", |image| image.select_snapshot(&name).unwrap_err());
    assert_eq!(fault.code, fault::core::NO_SNAPSHOT);
}

#[test]
fn bitmaps_that_may_be_stale_are_warned_about() {
    let (bench, bytes) = small();
    let bitmaps = extension(raw::extension::BITMAPS, 24, &[0; 24]);
    bench.put("image", &edited(&bytes, &[(112, &bitmaps)]));
    let native = Native::new(1);
    let facts = native.source(bench.path("image"));
    instar_qcow2::open(File::new(&native, facts), READ).unwrap();
    let reports = native.reports();
    let [Report::Warning(warning)] = &reports[..] else {
        panic!("{reports:?}");
    };
    let output = bench.try_qemu_img("info image");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&words(&warning.fault)), "{said}");
}

#[test]
fn one_table_for_all_entries_is_mapped_in_bounded_steps() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 image 16T");
    bench.qemu_io("image", &["write -P 1 0 64k"]);
    let mut bytes = bench.bytes("image");
    let l1 = u64::from_be_bytes(bytes[40..48].try_into().unwrap()) as usize;
    let l2 = u64::from_be_bytes(bytes[l1..l1 + 8].try_into().unwrap());
    for index in 0..32768 {
        bytes[l1 + index * 8..][..8].copy_from_slice(&l2.to_be_bytes());
    }
    let table = (l2 & !(1 << 63)) as usize;
    let first: [u8; 8] = bytes[table..table + 8].try_into().unwrap();
    for index in 0..8192 {
        bytes[table + index * 8..][..8].copy_from_slice(&first);
    }
    bench.put("image", &bytes);
    let started = std::time::Instant::now();
    let made = map_all(&bench, "image", 100_000).unwrap();
    assert_eq!(made, 100_000);
    assert!(started.elapsed().as_secs() < 160);
}

#[test]
fn no_cut_makes_a_description_panic() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 -o cluster_size=512 image 100k");
    bench.qemu_io("image", &["write -P 1 0 100k"]);
    bench.qemu_img("snapshot -c one image");
    bench.qemu_img("bitmap --add -g 512 image b");
    let whole = bench.bytes("image");
    let mut good = 0;
    for length in (0..whole.len()).step_by(512).chain(0..120) {
        bench.put("image", &whole[..length]);
        good += usize::from(ours(&bench, INFO).is_none());
        let _refused = map_all(&bench, "image", u64::MAX);
    }
    assert!(good < whole.len() / 512);
    bench.put("image", &whole);
    assert_eq!(ours(&bench, INFO), None);
}

#[test]
fn a_table_that_cannot_be_read_spoils_only_its_own_range() {
    // Small clusters: many tables are read in one batch, and one that cannot be must not spoil those before it.
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 -o cluster_size=1024 image 1M");
    bench.qemu_io("image", &["write -P 1 0 1M"]);
    let whole = bench.bytes("image");
    let l1 = u64::from_be_bytes(whole[40..48].try_into().unwrap());
    bench.put("image", &edited(&whole, &[(l1 + 8 * 3, &be64(1 << 63 | 0x200))]));
    bench.with("image", |image| {
        let mut offset = 0;
        while offset < 384 * KIB {
            let mapping = image.map(offset).unwrap();
            assert!(matches!(mapping.kind, Kind::Data { .. }));
            offset += mapping.length;
        }
        assert_eq!(offset, 384 * KIB);
        assert!(image.map(offset).is_err());
        assert!(image.map(512 * KIB).is_ok());
    });
}
