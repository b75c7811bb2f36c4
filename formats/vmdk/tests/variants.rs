//! Images that qemu-img reads but does not write: built by hand, read by both.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "test support outside test functions: a failure is a test failure"
)]

mod common;

use common::build::{Hosted, Packing, cowd, descriptor, se_sparse};
use common::{Bench, GRAIN, disk, grains};
use instar_disk::fault;
use instar_disk::report::Specific;
use instar_testkit::pattern::assert_same;

/// Both read `name`, and both read `expected`.
fn assert_reads(bench: &Bench, name: &str, expected: &[u8], what: &str) {
    let ours = bench
        .read(name)
        .unwrap_or_else(|fault| panic!("{what}: {fault:?}"));
    assert_same(&ours, expected, &format!("we, {what}"));
    assert_same(&bench.qemu_read(name), expected, &format!("qemu-img, {what}"));
}

#[test]
fn every_version_is_read() {
    let bench = Bench::new();
    for version in 1..=3 {
        let data = disk(11 * GRAIN + 512);
        bench.put(
            "d.vmdk",
            &Hosted {
                version,
                ..Hosted::default()
            }
            .build(&data)
            .0,
        );
        assert_reads(&bench, "d.vmdk", &data, &format!("version {version}"));
    }
}

#[test]
fn odd_grain_and_table_sizes_are_read() {
    let bench = Bench::new();
    for (grain_sectors, entries) in [
        (1, 512),
        (8, 512),
        (128, 8),
        (256, 64),
        (2048, 512),
        (3, 7),
        (24, 100),
    ] {
        let data = disk(5 * GRAIN + 1536);
        let hosted = Hosted {
            grain_sectors,
            entries,
            ..Hosted::default()
        };
        bench.put("d.vmdk", &hosted.build(&data).0);
        assert_reads(&bench, "d.vmdk", &data, &format!("{grain_sectors} {entries}"));
    }
}

#[test]
fn streams_with_the_directory_at_the_end_are_read() {
    let bench = Bench::new();
    for size in [512, GRAIN, 12 * GRAIN + 1024] {
        let data = disk(size);
        bench.put("d.vmdk", &Hosted::stream().build(&data).0);
        assert_reads(&bench, "d.vmdk", &data, "stream");
        let plain = Hosted {
            footer: true,
            ..Hosted::default()
        };
        bench.put("d.vmdk", &plain.build(&data).0);
        assert_reads(&bench, "d.vmdk", &data, "uncompressed, with a footer");
        let front = Hosted {
            footer: false,
            ..Hosted::stream()
        };
        bench.put("d.vmdk", &front.build(&data).0);
        assert_reads(
            &bench,
            "d.vmdk",
            &data,
            "compressed, with the directory in the header",
        );
    }
}

#[test]
fn compressed_grains_without_markers_are_read() {
    let bench = Bench::new();
    // qemu-img gives such a stream one grain of file to be in; text stays below that.
    let mut data = grains(9, [0, 2, 3, 8]);
    data.truncate(8 * GRAIN + 1024);
    let bare = Hosted {
        packing: Packing::Bare,
        version: 3,
        create_type: Some("streamOptimized"),
        ..Hosted::default()
    };
    bench.put("d.vmdk", &bare.build(&data).0);
    assert_reads(&bench, "d.vmdk", &data, "bare");
}

#[test]
fn flat_extents_start_where_their_line_says() {
    let bench = Bench::new();
    let data = disk(4 * GRAIN);
    bench.put("whole", &data);
    let lines = "RW 8 FLAT \"whole\" 16\nRW 100 FLAT \"whole\" 0\n  RW   3  FLAT  \"whole\"  509  \n";
    for create_type in ["monolithicFlat", "twoGbMaxExtentFlat"] {
        bench.put("d.vmdk", descriptor(create_type, lines).as_bytes());
        let expected = [&data[16 * 512..24 * 512], &data[..100 * 512], &data[509 * 512..]].concat();
        assert_reads(&bench, "d.vmdk", &expected, create_type);
    }
}

#[test]
fn vmfs_extents_are_read() {
    let bench = Bench::new();
    let data = disk(4 * GRAIN + 512);
    bench.put("d-flat.vmdk", &data);
    bench.put(
        "d.vmdk",
        descriptor("vmfs", &format!("RW {} VMFS \"d-flat.vmdk\"", data.len() / 512)).as_bytes(),
    );
    assert_reads(&bench, "d.vmdk", &data, "vmfs");
    let Some(Specific::Vmdk(specific)) = bench.describe("d.vmdk").unwrap().specific else {
        panic!()
    };
    assert_eq!(specific.extents[0].format.as_bytes(), b"VMFS");
}

#[test]
fn esx_sparse_extents_are_read() {
    let bench = Bench::new();
    for (grain_sectors, size) in [
        (1, 3 * GRAIN + 512),
        (1, 4100 * 512),
        (16, 9 * GRAIN),
        (128, 20 * GRAIN + 512),
    ] {
        let data = disk(size);
        bench.put("d-delta.vmdk", &cowd(&data, grain_sectors).0);
        for (create_type, word) in [("vmfsSparse", "VMFSSPARSE"), ("vmfsSparse", "SPARSE")] {
            let line = format!("RW {} {word} \"d-delta.vmdk\"", data.len() / 512);
            bench.put("d.vmdk", descriptor(create_type, &line).as_bytes());
            assert_reads(&bench, "d.vmdk", &data, &format!("{grain_sectors} {size} {word}"));
        }
    }
}

#[test]
fn space_efficient_extents_are_read() {
    let bench = Bench::new();
    for size in [4096, 3 * GRAIN + 512, 4097 * 4096] {
        let data = if size > 1 << 20 {
            let mut data = grains(257, [0, 1, 255, 256]);
            data.truncate(size);
            data
        } else {
            disk(size)
        };
        let mut expected = data.clone();
        expected[..4096.min(size)].fill(0);
        bench.put("d-sesparse.vmdk", &se_sparse(&data, Some(0)).0);
        let line = format!("RW {} SESPARSE \"d-sesparse.vmdk\"", data.len() / 512);
        bench.put("d.vmdk", descriptor("seSparse", &line).as_bytes());
        assert_reads(&bench, "d.vmdk", &expected, &format!("seSparse {size}"));
    }
}

#[test]
fn extents_of_different_kinds_make_one_disk() {
    let bench = Bench::new();
    // Whole grains: qemu-img carries its answer for a partial last grain over into the next extent.
    let parts = [disk(3 * GRAIN), disk(2 * GRAIN), disk(GRAIN), disk(5 * GRAIN)];
    bench.put("a", &parts[0]);
    bench.put(
        "b",
        &Hosted {
            create_type: None,
            ..Hosted::default()
        }
        .build(&parts[1])
        .0,
    );
    bench.put("c", &cowd(&parts[2], 8).0);
    bench.put(
        "e",
        &Hosted {
            create_type: None,
            ..Hosted::stream()
        }
        .build(&parts[3])
        .0,
    );
    let sectors: Vec<usize> = parts.iter().map(|part| part.len() / 512).collect();
    let lines = format!(
        "RW {} FLAT \"a\" 0\nRW {} SPARSE \"b\"\nRW {} VMFSSPARSE \"c\"\n",
        sectors[0], sectors[1], sectors[2]
    );
    bench.put("d.vmdk", descriptor("twoGbMaxExtentSparse", &lines).as_bytes());
    assert_reads(&bench, "d.vmdk", &parts[..3].concat(), "mixed");
    assert_eq!(bench.describe("d.vmdk").unwrap().cluster_size, None);
    // qemu-img looks for an extent's footer at the descriptor's end; here only we read on.
    bench.put(
        "d.vmdk",
        descriptor(
            "twoGbMaxExtentSparse",
            &format!("{lines}RW {} SPARSE \"e\"", sectors[3]),
        )
        .as_bytes(),
    );
    assert_same(&bench.read("d.vmdk").unwrap(), &parts.concat(), "with a stream");
}

#[test]
fn a_header_may_only_wrap_the_descriptor() {
    let bench = Bench::new();
    let data = disk(2 * GRAIN);
    bench.put("d-flat", &data);
    let (mut file, _) = Hosted::default().build(&[0; 512]);
    file[12..20].fill(0);
    let text = descriptor(
        "monolithicFlat",
        &format!("RW {} FLAT \"d-flat\" 0", data.len() / 512),
    );
    file[512..21 * 512].fill(0);
    file[512..][..text.len()].copy_from_slice(text.as_bytes());
    bench.put("d.vmdk", &file);
    assert_reads(&bench, "d.vmdk", &data, "wrapper");
}

#[test]
fn a_descriptor_may_have_line_ends_of_windows_and_zeros_behind_it() {
    let bench = Bench::new();
    let data = disk(GRAIN);
    bench.put("d-flat", &data);
    let text = descriptor("monolithicFlat", "RW 128 FLAT \"d-flat\" 0").replace('\n', "\r\n");
    let mut bytes = text.into_bytes();
    bytes.resize(2048, 0);
    bench.put("d.vmdk", &bytes);
    assert_reads(&bench, "d.vmdk", &data, "crlf");
}

#[test]
fn a_piece_of_a_split_image_says_what_to_open_instead() {
    let bench = Bench::new();
    bench.put(
        "d-s001.vmdk",
        &Hosted {
            create_type: None,
            ..Hosted::default()
        }
        .build(&disk(GRAIN))
        .0,
    );
    assert_eq!(
        bench.read("d-s001.vmdk").unwrap_err().code,
        fault::vmdk::NO_DESCRIPTOR
    );
    assert!(!bench.try_qemu(&["info", "d-s001.vmdk"]).status.success());
    // One that qemu-img made has room for a descriptor, which is empty.
    bench.qemu(&[
        "create",
        "-q",
        "-f",
        "vmdk",
        "-o",
        "subformat=twoGbMaxExtentSparse",
        "e.vmdk",
        "1M",
    ]);
    assert_eq!(
        bench.read("e-s001.vmdk").unwrap_err().code,
        fault::vmdk::NO_DESCRIPTOR
    );
    bench.put("f.vmdk", &cowd(&disk(GRAIN), 8).0);
    assert_eq!(bench.read("f.vmdk").unwrap_err().code, fault::vmdk::NO_DESCRIPTOR);
    assert!(!bench.try_qemu(&["info", "f.vmdk"]).status.success());
}
