//! B2, B3, C2, C3, C7, D1, D2 for the formats of other products: files in two formats at once, and tables that lie, overlap, form
//! loops or all lead to one place. Every run is bounded in time and address space.

use std::fs;
use std::time::Duration;

use instar_tests::compare::{allocated, same_bytes};
use instar_tests::disk::{self, Piece};
use instar_tests::seal::Edited;
use instar_tests::{Bench, both_sandboxes};

use crate::{refused, run, run_within};

/// Of hundreds of runs in a row one may meet a busy machine; a walk without end takes longer than this.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// `image`, 3 MiB with data at its start and at its end.
fn image(bench: &Bench, format: &str, options: &str) -> Edited {
    let pieces = [Piece::Data(0, 20_000, 1), Piece::Data(3 * MIB - 4096, 4096, 2)];
    bench.make_image(3 * MIB, &pieces, format, options);
    Edited::open(&bench.path("image"))
}

/// One lie: what it is about, where it stands, and the bytes there.
pub(crate) type Lie = (&'static str, u64, Vec<u8>);

fn le32(values: &[u32]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.to_le_bytes().to_vec()).collect()
}

fn le64(values: &[u64]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.to_le_bytes().to_vec()).collect()
}

pub(crate) fn be32(values: &[u32]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.to_be_bytes().to_vec()).collect()
}

pub(crate) fn be64(values: &[u64]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.to_be_bytes().to_vec()).collect()
}

pub(crate) fn lies(table: Vec<(&'static str, u64, Vec<Vec<u8>>)>) -> Vec<Lie> {
    table
        .into_iter()
        .flat_map(|(what, at, values)| values.into_iter().map(move |value| (what, at, value)))
        .collect()
}

/// Tells each lie alone. We refuse it and leave no target, or read what qemu-img reads; `seal` makes checksums right. Gives how many
/// were refused.
fn tell(bench: &Bench, format: &str, options: &str, lies: &[Lie], seal: fn(&Edited)) -> usize {
    let mut refusals = 0;
    for (what, at, bytes) in lies {
        let lie = image(bench, format, options);
        lie.put(*at, bytes);
        seal(&lie);
        let what = format!("{format}: {what} is {bytes:02x?}");
        let words = ["convert", "-f", format, "--max-size", "1T", "-O", "raw", "image", "ours"];
        let ours = run_within(bench, PATIENT, &words);
        run_within(bench, PATIENT, &["info", "-f", format, "image"]);
        if ours.code() == Some(0) {
            assert!(allocated(&bench.path("ours")) < 16 * MIB, "{what}: much disk was written");
            // A disk of a terabyte would keep the reference busy for long.
            if bench.path("ours").metadata().unwrap().len() < 64 * MIB {
                let theirs = bench.qemu(["convert", "-f", format, "-O", "raw", "image", "theirs"]);
                if theirs.code() == Some(0) {
                    same_bytes(bench, "theirs", "ours", &what);
                }
            }
        } else {
            refusals += 1;
            assert!(!bench.path("ours").exists(), "{what}: refused, yet a target stands");
        }
        for name in ["theirs", "ours"] {
            let _ = fs::remove_file(bench.path(name));
        }
    }
    refusals
}

/// A terabyte of "data" in a small file: refused, or stopped, long before it is written.
pub(crate) fn is_stopped(bench: &Bench) {
    assert!(allocated(&bench.path("image")) < 24 * MIB, "the file is small");
    for target in ["raw", "qcow2"] {
        run_within(bench, Duration::from_secs(30), &["convert", "--untrusted", "-O", target, "image", "out"])
            .fails();
        assert!(!bench.path("out").exists());
    }
    run_within(bench, Duration::from_secs(20), &["convert", "--timeout", "2", "-O", "raw", "image", "out"])
        .fails();
    assert!(!bench.path("out").exists());
    run(bench, &["info", "image"]).succeeds();
}

fn u32_at(image: &Edited, at: u64) -> u64 {
    u32::from_le_bytes(image.get(at, 4).try_into().unwrap()).into()
}

fn u64_at(image: &Edited, at: u64) -> u64 {
    u64::from_le_bytes(image.get(at, 8).try_into().unwrap())
}

/// Where in a sparse VMDK the grain directory and its first table are.
fn grain_tables(image: &Edited) -> (u64, u64) {
    let directory = u64_at(image, 56) * 512;
    (directory, u32_at(image, directory) * 512)
}

/// By qemu-img: log at 1 MiB, BAT at 2 MiB, metadata at 3 MiB.
mod vhdx {
    use super::{KIB, MIB};
    pub(super) const HEADERS: [u64; 2] = [64 * KIB, 128 * KIB];
    /// The first table, which counts as long as its checksum is right.
    pub(super) const REGIONS: u64 = 192 * KIB;
    pub(super) const LOG: u64 = MIB;
    pub(super) const TABLE: u64 = 2 * MIB;
    pub(super) const METADATA: u64 = 3 * MIB;
    pub(super) const ITEMS: u64 = METADATA + 64 * KIB;
}

fn seal_vhdx(image: &Edited) {
    for header in vhdx::HEADERS {
        image.seal_vhdx(header, 4096);
    }
    image.seal_vhdx(vhdx::REGIONS, 64 << 10);
}

fn seal_vhd(image: &Edited) {
    image.seal_vhd_footer(0).seal_vhd_header();
}

/// A log entry of the VHDX specification at `at` of the log, which says where the log begins, with one data descriptor each for `places`.
fn log_entry(image: &Edited, at: u64, tail: u64, sequence: u64, length: u32, places: &[u64]) {
    let start = vhdx::LOG + at;
    let end = image.end().to_le_bytes();
    image
        .put(start, b"loge")
        .put(start + 8, &length.to_le_bytes())
        .put(start + 12, &u32::try_from(tail).unwrap().to_le_bytes())
        .put(start + 16, &sequence.to_le_bytes())
        .put(start + 24, &u32::try_from(places.len()).unwrap().to_le_bytes())
        .put(start + 32, &[0x11; 16])
        .put(start + 48, &end)
        .put(start + 56, &end);
    for (descriptor, place) in (start + 64..).step_by(32).zip(places) {
        image
            .put(descriptor, b"desc")
            .put(descriptor + 16, &place.to_le_bytes())
            .put(descriptor + 24, &sequence.to_le_bytes());
    }
    for data in (start + 4096..start + u64::from(length)).step_by(4096).take(places.len()) {
        image
            .put(data, b"data")
            .put(data + 4, &0_u32.to_le_bytes())
            .put(data + 4092, &u32::try_from(sequence).unwrap().to_le_bytes());
    }
}

/// The image has a log that must be replayed.
fn dirty(image: &Edited) {
    for header in vhdx::HEADERS {
        image.put(header + 48, &[0x11; 16]);
    }
    seal_vhdx(image);
}

both_sandboxes!(
    b2_a_file_of_two_formats_is_refused_with_both_named,
    b3_a_descriptor_that_is_moved_too_large_or_misspelt_is_refused,
    c2_d1_lying_vdi_headers,
    c2_d1_lying_vdi_maps,
    c2_d1_lying_parallels_headers,
    c2_d1_lying_parallels_tables,
    c3_all_clusters_of_a_parallels_are_one,
    c2_d1_lying_qcow_headers,
    c2_d1_lying_qcow_tables,
    c3_all_clusters_of_a_qcow_are_one,
    c2_d1_lying_qed_headers,
    c2_d1_lying_qed_tables,
    c3_all_clusters_of_a_qed_are_one,
    c2_d1_lying_vhd_headers,
    c2_d1_lying_vhd_tables,
    c2_d1_lying_vhdx_headers_and_regions,
    c2_d1_lying_vhdx_metadata_and_tables,
    c2_d1_lying_vmdk_headers,
    c2_d1_d2_lying_vmdk_tables_and_markers,
    c3_all_blocks_of_a_vdi_are_one,
    c3_all_blocks_of_a_vhd_are_one,
    c3_all_blocks_of_a_vhdx_are_one,
    c3_all_tables_and_grains_of_a_vmdk_are_one,
    c7_logs_in_circles_end,
    c7_a_log_that_writes_over_headers_tables_and_itself_is_harmless,
    c7_a_log_full_of_changes_is_bounded,
    c7_d1_descriptors_that_lead_in_circles_are_refused,
    parents_in_circles_end,
);

fn b2_a_file_of_two_formats_is_refused_with_both_named(bench: &Bench) {
    // What stands at byte 0 excludes what else may stand there; a VDI is known by byte 64.
    for (format, options) in [
        ("vpc", ""),
        ("vhdx", ""),
        ("vmdk", ""),
        ("qed", ""),
        ("qcow", ""),
        ("parallels", ""),
        ("qcow2", "compat=0.10"),
    ] {
        image(bench, format, options).put(64, &0xbeda_107f_u32.to_le_bytes());
        let outcome = run(bench, &["convert", "--untrusted", "-O", "raw", "image", "out"]);
        outcome.fails_with("more than one format");
        assert!(outcome.errors().contains(format) && outcome.errors().contains("vdi"), "{outcome}");
        assert!(!bench.path("out").exists());
    }
    // A text file is a VMDK descriptor; as a VDI it would be something else.
    let mut text = b"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 1 FLAT \"x\" 0\n".to_vec();
    text.resize(512, b'\n');
    text[64..68].copy_from_slice(&0xbeda_107f_u32.to_le_bytes());
    fs::write(bench.path("image"), text).unwrap();
    run(bench, &["convert", "--untrusted", "-O", "raw", "image", "out"]).fails();
}

fn b3_a_descriptor_that_is_moved_too_large_or_misspelt_is_refused(bench: &Bench) {
    for (at, value, words) in [
        (28, 2_u64, "it must start at sector 1"),
        (28, u64::MAX, "it must start at sector 1"),
        (36, 1 << 40, "it must start at sector 1"),
        (36, 0, "it must start at sector 1"),
    ] {
        image(bench, "vmdk", "").put(at, &value.to_le_bytes());
        refused(bench, "image", words);
    }
    let sound = image(bench, "vmdk", "").get(512, 1024);
    let text = String::from_utf8(sound.split(|byte| *byte == 0).next().unwrap().to_vec()).unwrap();
    for (from, to) in [
        ("createType", "CREATETYPE"),
        ("CID", "cid"),
        ("parentCID", "ParentCid"),
        ("SPARSE", "Flat"),
        ("SPARSE", "Sparse"),
    ] {
        let image = image(bench, "vmdk", "");
        image.put(512, &[0; 1024]).put(512, text.replace(from, to).as_bytes());
        run(bench, &["convert", "-O", "raw", "image", "out"]).fails();
        assert!(!bench.path("out").exists(), "{to}");
    }
    // The descriptor as a file of its own, longer than any reader looks.
    let long = format!("{text}{}", "# comment\n".repeat(11_000_000));
    fs::write(bench.path("image"), long).unwrap();
    run(bench, &["convert", "-O", "raw", "image", "out"]).fails();
    run(bench, &["info", "image"]);
}

fn c2_d1_lying_vdi_headers(bench: &Bench) {
    let lies = lies(vec![
        ("version", 0x44, le32(&[0, 0x0001_0002, 0x0002_0001, u32::MAX])),
        ("map offset", 0x154, le32(&[0, 1, 513, 1 << 20, u32::MAX, 0xffff_fe00])),
        ("data offset", 0x158, le32(&[0, 1, 512, u32::MAX, 0xffff_fe00])),
        ("sector size", 0x168, le32(&[0, 1, 4096, u32::MAX])),
        ("disk size", 0x170, le64(&[1, 511, (3 << 20) + 1, 1 << 40, 1 << 62, u64::MAX])),
        ("block size", 0x178, le32(&[0, 1, 512, 1 << 21, u32::MAX])),
        ("extra bytes", 0x17c, le32(&[1, 512, u32::MAX])),
        ("blocks", 0x180, le32(&[0, 1, 2, 0x1fff_ff80, 0x1fff_ff81, u32::MAX])),
        ("allocated", 0x184, le32(&[0, 77, u32::MAX])),
        ("parent", 0x1a8, le32(&[1])),
    ]);
    assert!(tell(bench, "vdi", "", &lies, |_| {}) > 20);
}

fn c2_d1_lying_vdi_maps(bench: &Bench) {
    let lies =
        lies(vec![("place", 512, le32(&[0, 1, 2, 3, 77, 0xffff_fffd, 0xffff_fffe, 0x7fff_ffff, 1 << 31]))]);
    tell(bench, "vdi", "", &lies, |_| {});
}

fn c2_d1_lying_parallels_headers(bench: &Bench) {
    let told = lies(vec![
        ("version", 16, le32(&[0, 1, 3, u32::MAX])),
        ("tracks", 28, le32(&[0, 1, 63, 127, 129, 4_186_127, 4_186_128, u32::MAX])),
        ("entries", 32, le32(&[0, 1, 48, 1 << 20, 536_870_911, 536_870_912, u32::MAX])),
        ("sectors", 36, le64(&[0, 1, 6143, 6145, 1 << 40, 1 << 54, 1 << 55, 1 << 63, u64::MAX])),
        ("in use", 44, le32(&[1, 0x746f_6e59, 0x312e_3276, u32::MAX])),
        ("data", 48, le32(&[0, 1, 2, 129, 1 << 20, u32::MAX])),
        ("flags", 52, le32(&[1, u32::MAX])),
        ("extension", 56, le64(&[1, 128, 6144, 1 << 40, 1 << 54, u64::MAX])),
    ]);
    assert!(tell(bench, "parallels", "cluster_size=64k", &told, |_| {}) > 15);
}

fn c2_d1_lying_parallels_tables(bench: &Bench) {
    let values = le32(&[0, 1, 2, 3, 4, 5, 77, 1 << 20, 1 << 31, u32::MAX]);
    let lies = lies(vec![("first", 64, values.clone()), ("last", 64 + 4 * 47, values)]);
    assert!(tell(bench, "parallels", "cluster_size=64k", &lies, |_| {}) > 5);
}

fn c3_all_clusters_of_a_parallels_are_one(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "parallels", "image", "1T"]).succeeds();
    let image = Edited::open(&bench.path("image"));
    let cluster = u32::try_from(image.end() >> 20).unwrap();
    image
        .put(64, &cluster.to_le_bytes().repeat(1 << 20))
        .put(u64::from(cluster) << 20, &disk::pattern(0, 1 << 20, 1));
    is_stopped(bench);
}

fn c2_d1_lying_qcow_headers(bench: &Bench) {
    let edges = [0, 1, 2, 511, 3 << 20 | 1, 1 << 40, 1 << 49, 1 << 63, u64::MAX];
    let told = lies(vec![
        ("version", 4, be32(&[0, 2, 3, 4, u32::MAX])),
        ("disk size", 24, be64(&edges)),
        ("cluster size", 32, vec![vec![0], vec![8], vec![9], vec![16], vec![17], vec![255]]),
        ("table size", 33, vec![vec![0], vec![5], vec![6], vec![13], vec![14], vec![255]]),
        ("encryption", 36, be32(&[1, 2, u32::MAX])),
        ("L1 offset", 40, be64(&[0, 1, 40, 47, 49, 4096, 1 << 20, 1 << 40, 1 << 63, u64::MAX])),
        ("name offset", 8, be64(&[1, 48, 1 << 40, 1 << 63, u64::MAX])),
        ("name length", 16, be32(&[1, 1023, 1024, u32::MAX])),
    ]);
    assert!(tell(bench, "qcow", "", &told, |_| {}) > 25);
}

fn c2_d1_lying_qcow_tables(bench: &Bench) {
    let table = {
        let sound = image(bench, "qcow", "");
        u64::from_be_bytes(sound.get(48, 8).try_into().unwrap())
    };
    let stream = |offset: u64, length: u64| 1 << 63 | length << 51 | offset;
    let entries = [
        0,
        1,
        48,
        512,
        4096,
        8192,
        8193,
        1 << 40,
        1 << 62,
        1 << 63,
        stream(8192, 4095),
        stream(8192, 1),
        stream(0, 100),
        stream((1 << 51) - 1, 4095),
        u64::MAX,
    ];
    let lies = lies(vec![
        ("L1", 48, be64(&entries)),
        ("L2", table, be64(&entries)),
        ("L2, later", table + 16, be64(&entries)),
    ]);
    tell(bench, "qcow", "", &lies, |_| {});
}

fn c3_all_clusters_of_a_qcow_are_one(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow", "image", "100G"]).succeeds();
    let image = Edited::open(&bench.path("image"));
    let table = image.end().next_multiple_of(4096);
    let cluster = table + 4096;
    // One L2 table for everything, all of whose entries are one cluster.
    image
        .put(48, &u64::to_be_bytes(table).repeat(51_200))
        .put(table, &cluster.to_be_bytes().repeat(512))
        .put(cluster, &disk::pattern(0, 4096, 1));
    is_stopped(bench);
}

fn c2_d1_lying_qed_headers(bench: &Bench) {
    let told = lies(vec![
        ("cluster size", 4, le32(&[0, 1, 4095, 4096, 2 << 16, 64 << 20, 128 << 20, u32::MAX])),
        ("table size", 8, le32(&[0, 1, 2, 3, 8, 16, 32, u32::MAX])),
        ("header size", 12, le32(&[0, 2, 5, 6, 1 << 16, u32::MAX])),
        ("features", 16, le64(&[1, 2, 4, 7, 8, 1 << 63, u64::MAX])),
        ("compatible features", 24, le64(&[1, u64::MAX])),
        ("features of others", 32, le64(&[1, u64::MAX])),
        (
            "L1 offset",
            40,
            le64(&[0, 1, 1 << 15, 2 << 16, 3 << 16, 1 << 40, 1 << 63, u64::MAX, u64::MAX << 16]),
        ),
        (
            "image size",
            48,
            le64(&[0, 1, 511, 3 << 20 | 1, 1 << 40, 1 << 46, (1 << 46) + 512, 1 << 63, u64::MAX]),
        ),
    ]);
    assert!(tell(bench, "qed", "", &told, |_| {}) > 25);
    let named = lies(vec![
        ("name offset", 56, le32(&[0, 1, 65536, u32::MAX])),
        ("name length", 60, le32(&[1, 4095, 4096, 65536, u32::MAX])),
    ]);
    for (what, at, bytes) in named {
        image(bench, "qed", "")
            .put(16, &1_u64.to_le_bytes())
            .put(56, &[64, 0, 0, 0, 3, 0, 0, 0])
            .put(64, b"abc")
            .put(at, &bytes);
        run(bench, &["convert", "-O", "raw", "image", "out"]).fails();
        run(bench, &["info", "--backing-chain", "image"]);
        assert!(!bench.path("out").exists(), "{what}");
    }
}

fn c2_d1_lying_qed_tables(bench: &Bench) {
    let l1 = 1 << 16;
    let entries = [
        0,
        1,
        512,
        1 << 15,
        1 << 16,
        2 << 16,
        5 << 16,
        6 << 16,
        1 << 40,
        1 << 62,
        1 << 63,
        u64::MAX,
        u64::MAX << 16,
    ];
    let table = {
        let sound = image(bench, "qed", "");
        u64::from_le_bytes(sound.get(l1, 8).try_into().unwrap())
    };
    let lies = lies(vec![
        ("L1", l1, le64(&entries)),
        ("L2", table, le64(&entries)),
        ("L2, later", table + 16, le64(&entries)),
    ]);
    tell(bench, "qed", "", &lies, |_| {});
}

fn c3_all_clusters_of_a_qed_are_one(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qed", "-o", "table_size=16", "image", "1T"]).succeeds();
    let image = Edited::open(&bench.path("image"));
    let table = 17 << 16;
    let cluster = table + (16 << 16);
    // One L2 table for everything, all of whose entries are one cluster.
    image
        .put(1 << 16, &u64::to_le_bytes(table).repeat(16))
        .put(table, &cluster.to_le_bytes().repeat(1 << 17))
        .put(cluster, &disk::pattern(0, 1 << 16, 1));
    is_stopped(bench);
}

fn c2_d1_lying_vhd_headers(bench: &Bench) {
    let lies = lies(vec![
        ("data offset", 16, be64(&[0, 1, 511, 1 << 40, u64::MAX, u64::MAX - 511])),
        ("size", 48, be64(&[0, 1, 512, 1 << 40, 1 << 62, u64::MAX])),
        ("geometry", 56, be32(&[0, 0xffff_10ff, u32::MAX])),
        ("type", 60, be32(&[0, 1, 2, 4, 5, u32::MAX])),
        ("table offset", 512 + 16, be64(&[0, 1, 512, 1 << 40, u64::MAX, u64::MAX - 3])),
        ("entries", 512 + 28, be32(&[0, 1, 0x2000_0000, 0x4000_0000, u32::MAX])),
        ("block size", 512 + 32, be32(&[0, 1, 511, 513, 3 << 20, 1 << 31, u32::MAX])),
    ]);
    assert!(tell(bench, "vpc", "force_size=on", &lies, seal_vhd) > 20);
}

fn c2_d1_lying_vhd_tables(bench: &Bench) {
    let lies =
        lies(vec![("block", 1536, be32(&[0, 1, 2, 3, 4, 5, 77, 1 << 20, u32::MAX - 1, u32::MAX, 1 << 31]))]);
    assert!(tell(bench, "vpc", "force_size=on", &lies, |_| {}) > 4);
}

fn c2_d1_lying_vhdx_headers_and_regions(bench: &Bench) {
    let mut table = Vec::new();
    for header in vhdx::HEADERS {
        table.push(("log version", header + 64, le32(&[1, 0xffff, u32::MAX])));
        table.push(("log length", header + 68, le32(&[0, 1, 4096, 1 << 31, u32::MAX])));
        table.push(("log offset", header + 72, le64(&[0, 1, 512 << 10, 1 << 40, u64::MAX, u64::MAX << 20])));
    }
    table.push(("regions", vhdx::REGIONS + 8, le32(&[0, 1, 3, 2047, 2048, u32::MAX])));
    for entry in [vhdx::REGIONS + 16, vhdx::REGIONS + 48] {
        table.push((
            "region offset",
            entry + 16,
            le64(&[0, 1, MIB, 5 * MIB + 512, 1 << 40, u64::MAX, u64::MAX << 20]),
        ));
        table.push(("region length", entry + 24, le32(&[0, 1, 4096, 2 << 20, u32::MAX, 0xfff0_0000])));
    }
    let lies = lies(table);
    assert!(tell(bench, "vhdx", "block_size=1M", &lies, seal_vhdx) > 20);
}

fn c2_d1_lying_vhdx_metadata_and_tables(bench: &Bench) {
    let mut table =
        vec![("items", vhdx::METADATA + 8, le32(&[0, 1 << 16, 4 << 16, 2047 << 16, 0xffff << 16]))];
    for item in (0..5).map(|number| vhdx::METADATA + 32 + 32 * number) {
        table.push(("item offset", item + 16, le32(&[0, 1, 65_535, MIB as u32, u32::MAX])));
        table.push(("item length", item + 20, le32(&[0, 1, u32::MAX])));
    }
    table.extend([
        ("block size", vhdx::ITEMS, le32(&[0, 1, 512, 3 << 20, 1 << 29, 1 << 31, u32::MAX])),
        ("disk size", vhdx::ITEMS + 8, le64(&[1, 511, 1 << 38, (64 << 40) + 512, 1 << 62, u64::MAX])),
        (
            "entry",
            vhdx::TABLE,
            le64(&[
                1,
                4,
                6,
                7,
                MIB | 6,
                (2 * MIB) | 6,
                (3 * MIB) | 6,
                (1 << 40) | 6,
                u64::MAX,
                u64::MAX << 20 | 6,
            ]),
        ),
    ]);
    let lies = lies(table);
    assert!(tell(bench, "vhdx", "block_size=1M", &lies, |_| {}) > 20);
}

fn c2_d1_lying_vmdk_headers(bench: &Bench) {
    let lies = lies(vec![
        ("version", 4, le32(&[0, 4, u32::MAX])),
        ("flags", 8, le32(&[0, 1 << 16, 1 << 17, 1 << 18, u32::MAX])),
        ("capacity", 12, le64(&[0, 1, 1 << 34, 1 << 50, 1 << 55, u64::MAX])),
        ("grain size", 20, le64(&[0, 1, 3, 1 << 22, 1 << 40, u64::MAX])),
        ("entries", 44, le32(&[0, 1, 511, 513, 1 << 30, u32::MAX])),
        ("redundant directory", 48, le64(&[0, u64::MAX])),
        ("directory", 56, le64(&[0, 1, 20, 1 << 40, u64::MAX - 1, u64::MAX])),
        ("overhead", 64, le64(&[0, 1 << 40, u64::MAX])),
        ("compression", 77, vec![vec![1, 0], vec![2, 0], vec![0xff, 0xff]]),
    ]);
    assert!(tell(bench, "vmdk", "", &lies, |_| {}) > 20);
    tell(bench, "vmdk", "subformat=streamOptimized", &lies, |_| {});
}

fn c2_d1_d2_lying_vmdk_tables_and_markers(bench: &Bench) {
    let (directory, table) = grain_tables(&image(bench, "vmdk", ""));
    let sectors = [1, 20, 127, 1 << 20, 1 << 31, u32::MAX];
    let plain = lies(vec![("table", directory, le32(&sectors)), ("grain", table, le32(&sectors))]);
    // A table among the redundant ones reads as nothing.
    assert!(tell(bench, "vmdk", "", &plain, |_| {}) + 2 >= plain.len());
    let stream = image(bench, "vmdk", "subformat=streamOptimized");
    let (directory, table) = grain_tables(&stream);
    let grain = u32_at(&stream, table) * 512;
    let packed = lies(vec![
        ("table", directory, le32(&sectors)),
        ("grain", table, le32(&sectors)),
        // The length of a compressed grain: CVE-2026-2243 read past the end of a buffer that was too short for it.
        ("length", grain + 8, le32(&[0, 1, 11, 12, 131_061, 131_072, 1 << 30, u32::MAX])),
    ]);
    assert!(tell(bench, "vmdk", "subformat=streamOptimized", &packed, |_| {}) + 4 > packed.len());
}

fn c3_all_blocks_of_a_vdi_are_one(bench: &Bench) {
    image(bench, "vdi", "");
    bench.qemu(["create", "-q", "-f", "vdi", "image", "1T"]).succeeds();
    let image = Edited::open(&bench.path("image"));
    let end = image.end();
    image.put(512, &vec![0; 4 << 20]).put(end, &disk::pattern(0, MIB, 1));
    is_stopped(bench);
}

fn c3_all_blocks_of_a_vhd_are_one(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "vpc", "-o", "force_size=on", "image", "1T"]).succeeds();
    let image = Edited::open(&bench.path("image"));
    let block = 1536 + (2 << 20);
    let entries: Vec<u8> = u32::try_from(block / 512).unwrap().to_be_bytes().repeat(1 << 19);
    image.put(1536, &entries).put(block, &[0xff; 512]).put(block + 512, &disk::pattern(0, 2 * MIB, 1));
    is_stopped(bench);
}

fn c3_all_blocks_of_a_vhdx_are_one(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "vhdx", "-o", "block_size=1M", "image", "100G"]).succeeds();
    let image = Edited::open(&bench.path("image"));
    let block = image.end();
    image.put(block, &disk::pattern(0, MIB, 1));
    let entries: Vec<u8> = (block | 6).to_le_bytes().repeat(4096);
    for chunk in 0..25 {
        image.put(vhdx::TABLE + chunk * 4097 * 8, &entries);
    }
    is_stopped(bench);
}

fn c3_all_tables_and_grains_of_a_vmdk_are_one(bench: &Bench) {
    let image = image(bench, "vmdk", "");
    let (_, table) = grain_tables(&image);
    let grain = image.get(table, 4);
    image.put(table, &grain.repeat(512));
    // A directory for a terabyte at the end, each of its entries the one table.
    let directory = image.end().next_multiple_of(512);
    let entry = u32::try_from(table / 512).unwrap().to_le_bytes();
    image
        .put(directory, &entry.repeat(32 << 10))
        .put(56, &(directory / 512).to_le_bytes())
        .put(12, &(2_u64 << 30).to_le_bytes());
    is_stopped(bench);
}

fn c7_logs_in_circles_end(bench: &Bench) {
    // Whose tail is itself, is elsewhere, is between entries, is past the end; of no length, too long; that claim each other's bytes.
    let cases: [&[(u64, u64, u64, u32)]; 8] = [
        &[(0, 0, 1, 4096)],
        &[(0, 4096, 1, 4096), (4096, 0, 2, 4096)],
        &[(0, 4096, 1, 8192), (4096, 0, 2, 8192)],
        &[(0, 0, 1, 0)],
        &[(0, 0, 1, 1 << 20)],
        &[(0, 0, 1, u32::MAX)],
        &[(0, (1 << 20) - 4096, 1, 4096), ((1 << 20) - 4096, 0, u64::MAX >> 33, 8192)],
        &[(0, 512, 1, 4096)],
    ];
    for entries in cases {
        let image = image(bench, "vhdx", "block_size=1M");
        for (at, tail, sequence, length) in entries {
            log_entry(&image, *at, *tail, *sequence, *length, &[]);
            if (4096..=1 << 20).contains(length) {
                image.seal_vhdx(vhdx::LOG + at, *length as usize);
            }
        }
        dirty(&image);
        run(bench, &["convert", "-O", "raw", "image", "out"]);
        run(bench, &["info", "image"]);
        let _ = fs::remove_file(bench.path("out"));
    }
}

fn c7_a_log_that_writes_over_headers_tables_and_itself_is_harmless(bench: &Bench) {
    for places in [
        [0_u64, 64 * KIB, 192 * KIB].as_slice(),
        &[vhdx::LOG, vhdx::LOG + 4096],
        &[vhdx::TABLE, vhdx::TABLE, vhdx::TABLE],
        &[vhdx::METADATA],
        &[u64::MAX, u64::MAX - 4095, 1 << 62],
        &[1, 4095, 4097],
    ] {
        let image = image(bench, "vhdx", "block_size=1M");
        let length = 4096 * (1 + u32::try_from(places.len()).unwrap());
        log_entry(&image, 0, 0, 1, length, places);
        image.seal_vhdx(vhdx::LOG, length as usize);
        dirty(&image);
        let before = fs::read(bench.path("image")).unwrap();
        run(bench, &["convert", "-O", "raw", "image", "out"]);
        run(bench, &["info", "image"]);
        assert!(fs::read(bench.path("image")).unwrap() == before, "the source was written to");
        let _ = fs::remove_file(bench.path("out"));
    }
}

fn c7_a_log_full_of_changes_is_bounded(bench: &Bench) {
    let image = image(bench, "vhdx", "block_size=1M");
    // An entry of a mebibyte that is all descriptors: 126 to a sector, and no data.
    let places: Vec<u64> = (0..32_000).map(|number| vhdx::TABLE + number % 3 * 4096).collect();
    log_entry(&image, 0, 0, 1, 1 << 20, &places);
    for (descriptor, _) in (vhdx::LOG + 64..).step_by(32).zip(&places) {
        image.put(descriptor, b"zero").put(descriptor + 8, &4096_u64.to_le_bytes());
    }
    image.seal_vhdx(vhdx::LOG, 1 << 20);
    dirty(&image);
    run(bench, &["convert", "-O", "raw", "image", "out"]);
    run(bench, &["info", "image"]);
}

fn c7_d1_descriptors_that_lead_in_circles_are_refused(bench: &Bench) {
    let text = |names: &str| {
        format!(
            "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"twoGbMaxExtentSparse\"\n\nRW 6144 SPARSE \"{names}\"\n\nddb.adapterType = \"ide\"\n"
        )
    };
    // Files without capacity wrap descriptors; these name each other.
    for (name, names) in [("one", "two"), ("two", "one")] {
        image(bench, "vmdk", "").put(12, &[0; 8]).put(512, &[0; 1024]).put(512, text(names).as_bytes());
        fs::rename(bench.path("image"), bench.path(name)).unwrap();
    }
    refused(bench, "one", "is itself a descriptor");
    fs::write(bench.path("image"), text("image")).unwrap();
    run(bench, &["convert", "-O", "raw", "image", "out"]).fails();
    fs::write(bench.path("image"), text("one")).unwrap();
    refused(bench, "image", "is itself a descriptor");
    // A thousand extents that are one file.
    let lines: String = (0..2000).map(|_| "RW 6144 SPARSE \"sound\"\n").collect();
    image(bench, "vmdk", "subformat=twoGbMaxExtentSparse");
    fs::rename(bench.path("image-s001"), bench.path("sound"))
        .or_else(|_| fs::rename(bench.path("image-s001.vmdk"), bench.path("sound")))
        .unwrap();
    fs::write(bench.path("image"), text("sound").replace("RW 6144 SPARSE \"sound\"\n", &lines)).unwrap();
    run(bench, &["convert", "-O", "raw", "image", "out"]);
}

fn parents_in_circles_end(bench: &Bench) {
    // A VMDK whose parent is itself, and two that are each other's.
    for (name, parent) in [("one.vmdk", "one.vmdk"), ("one.vmdk", "two.vmdk"), ("two.vmdk", "one.vmdk")] {
        let image = image(bench, "vmdk", "");
        let text = String::from_utf8(image.get(512, 1024)).unwrap();
        let text = text
            .trim_end_matches('\0')
            .replace("parentCID=ffffffff", "parentCID=fffffffe")
            .replace("# Extent", &format!("parentFileNameHint=\"{parent}\"\n\n# Extent"));
        image.put(512, &[0; 1024]).put(512, text.as_bytes());
        fs::rename(bench.path("image"), bench.path(name)).unwrap();
    }
    run(bench, &["convert", "-O", "raw", "one.vmdk", "out"]).fails();
    run(bench, &["info", "--backing-chain", "one.vmdk"]);
    assert!(!bench.path("out").exists());
}
