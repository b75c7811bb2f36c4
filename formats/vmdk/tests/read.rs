//! What qemu-img wrote, read by us.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test support outside test functions: a failure is a test failure"
)]

mod common;

use common::{Bench, GRAIN, SPLIT, disk, pattern, read_range};
use instar_disk::report::Specific;
use instar_disk::{File, fault};
use instar_testkit::{Native, oracle};

const ALL: [&str; 5] = [
    "monolithicSparse",
    "monolithicFlat",
    "twoGbMaxExtentSparse",
    "twoGbMaxExtentFlat",
    "streamOptimized",
];

#[test]
fn every_subformat_is_read_at_every_size_around_a_grain() {
    let bench = Bench::new();
    for subformat in ALL {
        for size in [
            512,
            1024,
            GRAIN - 512,
            GRAIN,
            GRAIN + 512,
            5 * GRAIN - 1024,
            9 * GRAIN + 1536,
        ] {
            let data = disk(size);
            bench.put("in.raw", &data);
            let option = format!("subformat={subformat}");
            bench.qemu(&[
                "convert", "-f", "raw", "-O", "vmdk", "-o", &option, "in.raw", "d.vmdk",
            ]);
            let ours = bench.assert_same("d.vmdk");
            assert!(ours == data, "{subformat} {size}");
        }
    }
}

#[test]
fn a_grain_table_and_its_neighbours_are_read() {
    let bench = Bench::new();
    for subformat in ["monolithicSparse", "streamOptimized"] {
        for grains in [511, 512, 513, 1025] {
            let data = common::grains(grains, [0, 1, 509, 510, 511, 512, 513, 1023, 1024]);
            bench.put("in.raw", &data);
            let option = format!("subformat={subformat}");
            bench.qemu(&[
                "convert", "-f", "raw", "-O", "vmdk", "-o", &option, "in.raw", "d.vmdk",
            ]);
            assert!(bench.assert_same("d.vmdk") == data, "{subformat} {grains}");
        }
    }
}

#[test]
fn a_stream_with_more_grains_than_one_batch_of_markers_is_read() {
    let bench = Bench::new();
    let data = common::grains(600, 0..600);
    bench.put("in.raw", &data);
    bench.qemu(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "vmdk",
        "-o",
        "subformat=streamOptimized",
        "in.raw",
        "d.vmdk",
    ]);
    assert!(bench.assert_same("d.vmdk") == data);
}

#[test]
fn split_disks_are_read_across_the_two_gibibyte_border() {
    let bench = Bench::new();
    let (before, length) = (SPLIT - 3 * GRAIN as u64, 6 * GRAIN);
    let data = pattern(length);
    for subformat in ["twoGbMaxExtentSparse", "twoGbMaxExtentFlat"] {
        let option = format!("subformat={subformat}");
        let raw = std::fs::File::create(bench.path("in.raw")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&raw, &data, before).unwrap();
        raw.set_len(2 * SPLIT + 512).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&raw, b"last", 2 * SPLIT).unwrap();
        bench.qemu(&[
            "convert", "-f", "raw", "-O", "vmdk", "-o", &option, "in.raw", "d.vmdk",
        ]);
        let host = Native::new(1);
        let mut chain = vec![instar_vmdk::open(File::new(&host, host.source(bench.path("d.vmdk")))).unwrap()];
        assert_eq!(chain[0].size(), 2 * SPLIT + 512);
        assert!(
            read_range(&host, &mut chain, before, length as u64).unwrap() == data,
            "{subformat}"
        );
        let end = read_range(&host, &mut chain, 2 * SPLIT - 4096, 4096 + 512).unwrap();
        assert!(
            end[..4096].iter().all(|byte| *byte == 0) && &end[4096..4100] == b"last",
            "{subformat}"
        );
        // The map covers everything without a gap, in few steps.
        let (mut at, mut steps) = (0, 0);
        while at < chain[0].size() {
            at += chain[0].map(at).unwrap().length;
            steps += 1;
        }
        assert_eq!(at, 2 * SPLIT + 512);
        assert!(steps < 100, "{steps} steps for {subformat}");
    }
}

#[test]
fn zeroed_grains_hide_the_parent() {
    let bench = Bench::new();
    bench.put("base.raw", &pattern(20 * GRAIN));
    bench.qemu(&["convert", "-f", "raw", "-O", "vmdk", "base.raw", "base.vmdk"]);
    let create = [
        "create",
        "-q",
        "-f",
        "vmdk",
        "-o",
        "zeroed_grain=on",
        "-b",
        "base.vmdk",
        "-F",
        "vmdk",
        "top.vmdk",
    ];
    bench.qemu(&create);
    for command in ["write -z 64k 128k", "write -P 9 1M 64k", "write -P 7 300k 1k"] {
        io(&bench, "top.vmdk", command);
    }
    let ours = bench.assert_same("top.vmdk");
    assert!(ours[GRAIN..3 * GRAIN].iter().all(|byte| *byte == 0));
    assert_eq!(ours[..GRAIN], pattern(GRAIN)[..]);
    assert_eq!(ours[300 << 10], 7);
}

#[test]
fn a_chain_of_three_is_read_and_a_changed_parent_is_refused() {
    let bench = Bench::new();
    bench.put("a.raw", &pattern(10 * GRAIN));
    bench.qemu(&[
        "convert",
        "-f",
        "raw",
        "-O",
        "vmdk",
        "-o",
        "subformat=twoGbMaxExtentSparse",
        "a.raw",
        "a.vmdk",
    ]);
    bench.qemu(&[
        "create", "-q", "-f", "vmdk", "-b", "a.vmdk", "-F", "vmdk", "b.vmdk",
    ]);
    io(&bench, "b.vmdk", "write -P 1 64k 64k");
    bench.qemu(&[
        "create", "-q", "-f", "vmdk", "-b", "b.vmdk", "-F", "vmdk", "c.vmdk", "2M",
    ]);
    io(&bench, "c.vmdk", "write -P 2 512 512");
    let ours = bench.assert_same("c.vmdk");
    assert_eq!((ours.len(), ours[512], ours[GRAIN]), (2 << 20, 2, 1));
    // Writing to the parent gives it a new content ID.
    io(&bench, "b.vmdk", "write -P 3 0 512");
    assert_eq!(bench.read("c.vmdk").unwrap_err().code, fault::vmdk::PARENT_CID);
    assert!(
        !bench
            .try_qemu(&["convert", "-O", "raw", "c.vmdk", "x.raw"])
            .status
            .success()
    );
}

#[test]
fn info_is_told_what_qemu_img_says() {
    let bench = Bench::new();
    bench.qemu(&["create", "-q", "-f", "vmdk", "base.vmdk", "5G"]);
    let mut cases: Vec<(String, Vec<&str>)> = vec![("base.vmdk".into(), vec![])];
    for subformat in ALL {
        let name = format!("{subformat}.vmdk");
        bench.qemu(&[
            "create",
            "-q",
            "-f",
            "vmdk",
            "-o",
            &format!("subformat={subformat}"),
            &name,
            "5G",
        ]);
        cases.push((name, vec![]));
    }
    bench.qemu(&[
        "create",
        "-q",
        "-f",
        "vmdk",
        "-b",
        "base.vmdk",
        "-F",
        "vmdk",
        "over.vmdk",
    ]);
    cases.push(("over.vmdk".into(), vec![]));
    for (name, _) in cases {
        let theirs: serde_json::Value =
            serde_json::from_str(&bench.qemu(&["info", "--output=json", &name])).unwrap();
        let ours = bench.describe(&name).unwrap();
        assert_eq!(theirs["virtual-size"], ours.virtual_size, "{name}");
        assert_eq!(theirs["cluster-size"].as_u64(), ours.cluster_size, "{name}");
        let text = |text: &instar_disk::ImageText| String::from_utf8(text.as_bytes().to_vec()).unwrap();
        let backing = ours.backing.as_ref().map(|backing| text(&backing.name));
        assert_eq!(
            theirs["backing-filename"].as_str().map(str::to_owned),
            backing,
            "{name}"
        );
        assert_eq!(theirs["dirty-flag"], false);
        assert_eq!(theirs.get("compressed").is_some(), ours.compressed);
        let Some(Specific::Vmdk(specific)) = ours.specific else {
            panic!("no vmdk data")
        };
        let data = &theirs["format-specific"]["data"];
        assert_eq!(data["cid"], specific.cid);
        assert_eq!(data["parent-cid"], specific.parent_cid);
        assert_eq!(data["create-type"], text(&specific.create_type));
        let extents = data["extents"].as_array().unwrap();
        assert_eq!(extents.len(), specific.extents.len());
        for (theirs, ours) in extents.iter().zip(&specific.extents) {
            assert_eq!(theirs["virtual-size"], ours.virtual_size);
            assert_eq!(theirs["format"], text(&ours.format));
            assert_eq!(theirs["cluster-size"].as_u64(), ours.cluster_size);
            assert_eq!(theirs["compressed"].as_bool().unwrap_or(false), ours.compressed);
            assert_eq!(theirs["filename"], ours.name.as_ref().map_or(name.clone(), text));
        }
    }
}

#[test]
fn probing_agrees_with_qemu_img() {
    let bench = Bench::new();
    bench.put("in.raw", &disk(3 * GRAIN));
    for subformat in ALL {
        let option = format!("subformat={subformat}");
        bench.qemu(&[
            "convert", "-f", "raw", "-O", "vmdk", "-o", &option, "in.raw", "d.vmdk",
        ]);
        assert!(instar_vmdk::probe(&bench.bytes("d.vmdk")), "{subformat}");
    }
    let cases: [&[u8]; 9] = [
        b"# x\nversion=1\n",
        b"#\n  \nversion=2\r\n",
        b"#\n\nversion=1\n",
        b"#\nversion=4\n",
        b"KDMV",
        b"COWD",
        b"#",
        b"version=3\n",
        b" \r\nversion=3\n",
    ];
    for bytes in cases {
        bench.put("probe", bytes);
        let output = bench.try_qemu(&["info", "probe"]);
        let raw = String::from_utf8_lossy(&output.stdout).contains("file format: raw");
        assert_eq!(
            instar_vmdk::probe(bytes),
            !raw,
            "{}",
            String::from_utf8_lossy(bytes)
        );
    }
}

fn io(bench: &Bench, name: &str, command: &str) {
    oracle::qemu_io_in(bench.directory(), "vmdk", name, &[command]);
}
