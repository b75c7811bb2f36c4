//! Every variant of image that qemu-img makes is read as qemu-img reads it: the bytes, and what each range is.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "tests"
)]

mod support;

use instar_disk::job::SnapshotName;
use instar_disk::{File, Kind};
use instar_testkit::Native;
use serde_json::Value;
use support::{Bench, Chain, KIB, MIB, assert_same};

/// An image of the pattern, converted with `options`.
fn converted(bench: &Bench, options: &str, size: u64) {
    bench.pattern("source.raw", size);
    bench.qemu_img(&format!("convert -f raw -O qcow2 {options} source.raw image"));
}

fn check(options: &str) {
    let bench = Bench::on_disk();
    converted(&bench, options, 3 * MIB + 512 * 5);
    let theirs = bench.bytes("source.raw");
    assert_same(&bench.ours("image"), &theirs, options);
    compare_maps(&bench, "image");
}

/// What we map is what `qemu-img map` shows: kinds, offsets, depths.
fn compare_maps(bench: &Bench, image: &str) {
    let text = bench.qemu_img(&format!("map -f qcow2 --output=json {image}"));
    let theirs: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut theirs: Vec<Extent> = theirs.iter().map(Extent::of_json).collect();
    let host = Native::new(1);
    let facts = host.source(bench.path(image));
    let mut chain = Chain::open(&host, File::new(&host, facts), true).unwrap();
    let size = chain.top().size();
    let mut ours: Vec<Extent> = Vec::new();
    let mut offset = 0;
    while offset < size {
        let (mapping, depth) = chain.map(offset).unwrap();
        let extent = Extent::of_kind(offset, mapping.length, depth, mapping.kind);
        offset += mapping.length;
        match ours.last_mut() {
            Some(last) if last.continues(&extent) => last.length += extent.length,
            _ => ours.push(extent),
        }
    }
    assert_eq!(offset, size);
    // What no layer has is at no depth; where space waits for it in one of them is not ours to say.
    for extent in ours.iter_mut().chain(&mut theirs) {
        if !extent.present {
            extent.depth = 0;
            extent.offset = None;
        }
    }
    let (ours, theirs) = (merge(ours), merge(theirs));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "{image}");
    }
    assert_eq!(ours.len(), theirs.len());
}

fn merge(extents: Vec<Extent>) -> Vec<Extent> {
    let mut merged: Vec<Extent> = Vec::new();
    for extent in extents {
        match merged.last_mut() {
            Some(last) if last.continues(&extent) => last.length += extent.length,
            _ => merged.push(extent),
        }
    }
    merged
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Extent {
    start: u64,
    length: u64,
    depth: u64,
    present: bool,
    zero: bool,
    data: bool,
    compressed: bool,
    offset: Option<u64>,
}

impl Extent {
    fn of_json(value: &Value) -> Self {
        let flag = |name: &str| value[name].as_bool().unwrap();
        Self {
            start: value["start"].as_u64().unwrap(),
            length: value["length"].as_u64().unwrap(),
            depth: value["depth"].as_u64().unwrap(),
            present: flag("present"),
            zero: flag("zero"),
            data: flag("data"),
            compressed: flag("compressed"),
            offset: value["offset"].as_u64(),
        }
    }

    fn of_kind(start: u64, length: u64, depth: usize, kind: Kind) -> Self {
        let (zero, data, compressed, offset) = match kind {
            Kind::Data { offset, .. } => (false, true, false, Some(offset)),
            Kind::Zero { at } => (true, false, false, at.map(|(_, offset)| offset)),
            Kind::Unallocated => (true, false, false, None),
            Kind::Encoded(_) => (false, true, true, None),
            Kind::Sealed(_) => (false, true, false, None),
        };
        Self {
            start,
            length,
            depth: depth as u64,
            present: kind != Kind::Unallocated,
            zero,
            data,
            compressed,
            offset,
        }
    }

    fn continues(&self, next: &Self) -> bool {
        let follows = match (self.offset, next.offset) {
            (Some(offset), Some(next)) => offset + self.length == next,
            (None, None) => true,
            _ => false,
        };
        let flags = |e: &Self| (e.depth, e.present, e.zero, e.data, e.compressed);
        follows && flags(self) == flags(next)
    }
}

#[test]
fn reads_both_versions() {
    check("-o compat=0.10");
    check("-o compat=1.1");
    check("-o compat=1.1,lazy_refcounts=on");
}

#[test]
fn reads_every_cluster_size() {
    for bits in 9..=21 {
        check(&format!("-o cluster_size={}", 1 << bits));
        check(&format!("-o compat=0.10,cluster_size={}", 1 << bits));
    }
}

#[test]
fn reads_every_refcount_width() {
    for bits in [1, 2, 4, 8, 16, 32, 64] {
        check(&format!("-o refcount_bits={bits}"));
    }
}

#[test]
fn reads_compressed_clusters_of_every_size_and_codec() {
    for bits in [9, 10, 12, 14, 16, 18, 21] {
        check(&format!("-c -o cluster_size={}", 1 << bits));
        check(&format!("-c -o compression_type=zstd,cluster_size={}", 1 << bits));
        check(&format!("-c -o compat=0.10,cluster_size={}", 1 << bits));
    }
}

#[test]
fn reads_extended_l2_of_every_cluster_size() {
    for bits in 14..=21 {
        check(&format!("-o extended_l2=on,cluster_size={}", 1 << bits));
        check(&format!("-c -o extended_l2=on,cluster_size={}", 1 << bits));
    }
}

/// Writes, zero writes with and without space, and discards, at clusters and across them.
fn churn(bench: &Bench, image: &str, unit: u64) {
    let mut commands = Vec::new();
    let mut state = 7_u64;
    for step in 0..120_u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let start = (state >> 33) % (6 * MIB / unit) * unit;
        let length = (1 + (state >> 20) % 9) * unit;
        let command = match (state >> 55) % 5 {
            0 => "write -z",
            1 => "write -z -u",
            2 => "discard",
            _ => "write -P",
        };
        let value = if command == "write -P" {
            format!("{} ", step + 1)
        } else {
            String::new()
        };
        commands.push(format!("{command} {value}{start} {length}"));
    }
    let lines: Vec<&str> = commands.iter().map(String::as_str).collect();
    bench.qemu_io(image, &lines);
}

#[test]
fn reads_what_a_guest_leaves_behind() {
    let variants = [
        ("cluster_size=512", 512),
        ("cluster_size=4096", 4096),
        ("cluster_size=65536", 65536),
        ("cluster_size=65536", 512),
        ("extended_l2=on,cluster_size=16384", 512),
        ("extended_l2=on,cluster_size=65536", 2048),
        ("extended_l2=on,cluster_size=65536", 65536),
        ("extended_l2=on,cluster_size=131072", 3072),
        ("compat=0.10,cluster_size=4096", 4096),
        ("lazy_refcounts=on", 8192),
    ];
    for (options, unit) in variants {
        let bench = Bench::on_disk();
        bench.qemu_img(&format!("create -q -f qcow2 -o {options} image 8M"));
        churn(&bench, "image", unit);
        bench.compare("image");
        compare_maps(&bench, "image");
    }
}

#[test]
fn reads_chains_whose_layers_differ_in_size_and_layout() {
    for (overlay, unit) in [
        ("cluster_size=65536", 4096),
        ("extended_l2=on,cluster_size=32768", 1024),
        ("cluster_size=512", 512),
        ("compat=0.10", 65536),
    ] {
        for (base_size, top_size) in [(8 * MIB, 8 * MIB), (5 * MIB + 1536, 8 * MIB), (12 * MIB, 8 * MIB)] {
            let bench = Bench::on_disk();
            bench.pattern("base.raw", base_size);
            bench.qemu_img("create -q -f qcow2 -b base.raw -F raw middle 7M");
            bench.qemu_io(
                "middle",
                &["write -P 200 1M 100k", "write -z 2M 192k", "discard 3M 64k"],
            );
            let create = format!("create -q -f qcow2 -o {overlay} -b middle -F qcow2 image {top_size}");
            bench.qemu_img(&create);
            churn(&bench, "image", unit);
            bench.compare("image");
            compare_maps(&bench, "image");
        }
    }
}

#[test]
fn reads_preallocated_images() {
    for preallocation in ["metadata", "falloc", "full"] {
        for options in [
            "cluster_size=65536",
            "cluster_size=1024",
            "extended_l2=on,cluster_size=16384",
        ] {
            let bench = Bench::on_disk();
            bench.qemu_img(&format!(
                "create -q -f qcow2 -o preallocation={preallocation},{options} image 6M"
            ));
            bench.qemu_io(
                "image",
                &["write -P 5 100k 1M", "write -z 300k 256k", "discard 2M 1M"],
            );
            bench.compare("image");
        }
    }
}

#[test]
fn a_preallocated_table_maps_in_one_step() {
    let bench = Bench::on_disk();
    bench.qemu_img("create -q -f qcow2 -o preallocation=full image 64M");
    bench.with("image", |image| {
        let mapping = image.map(512).unwrap();
        assert_eq!(mapping.length, 64 * MIB - 512);
        assert!(matches!(mapping.kind, Kind::Data { .. }));
    });
}

#[test]
fn reads_external_data_files() {
    for options in [
        "data_file=data",
        "data_file=data,data_file_raw=on",
        "data_file=data,extended_l2=on,cluster_size=16384",
    ] {
        let bench = Bench::on_disk();
        bench.qemu_img(&format!("create -q -f qcow2 -o {options} image 8M"));
        bench.qemu_io(
            "image",
            &["write -P 1 0 64k", "write -P 2 1M 200k", "write -z 1100k 20k"],
        );
        churn(&bench, "image", 4096);
        bench.compare("image");
        compare_maps(&bench, "image");
        let files = bench.with("image", |image| image.files());
        let sizes: Vec<_> = files.iter().map(|facts| facts.size).collect();
        let lengths = ["image", "data"].map(|name| bench.bytes(name).len() as u64);
        assert_eq!(sizes, lengths);
    }
}

#[test]
fn the_first_cluster_of_a_data_file_is_data() {
    let bench = Bench::on_disk();
    bench.qemu_img("create -q -f qcow2 -o data_file=data image 1M");
    bench.qemu_io("image", &["write -P 9 0 64k"]);
    let kind = bench.with("image", |image| image.map(0).unwrap().kind);
    assert!(matches!(kind, Kind::Data { offset: 0, .. }), "{kind:?}");
    bench.compare("image");
}

#[test]
fn reads_snapshots_by_id_and_by_name() {
    let bench = Bench::on_disk();
    bench.qemu_img("create -q -f qcow2 image 4M");
    bench.qemu_io("image", &["write -P 1 0 2M"]);
    bench.qemu_img("snapshot -c 2 image");
    bench.qemu_io("image", &["write -P 2 1M 2M", "write -z 0 128k"]);
    bench.qemu_img("snapshot -c second image");
    bench.qemu_img("resize -q image 9M");
    bench.qemu_io("image", &["write -P 3 0 9M"]);
    bench.qemu_img("snapshot -c third image");
    bench.qemu_io("image", &["discard 0 9M"]);
    for name in ["1", "2", "3", "second", "third"] {
        let theirs = bench.reference("image", &format!("-l {name}"));
        let host = Native::new(1);
        let facts = host.source(bench.path("image"));
        let mut chain = Chain::open(&host, File::new(&host, facts), true).unwrap();
        // Something of the active state is in the caches already.
        chain.map(0).unwrap();
        let wanted = SnapshotName::Either(name.as_bytes().to_vec());
        chain.top().select_snapshot(&wanted).unwrap();
        assert_same(&chain.read_all(&host), &theirs, name);
    }
    let exact = |id: Option<&str>, name: Option<&str>| {
        let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
        let name = SnapshotName::Exact {
            id: bytes(id),
            name: bytes(name),
        };
        bench.with("image", |image| image.select_snapshot(&name).is_ok())
    };
    assert!(exact(Some("1"), Some("2")));
    assert!(exact(Some("2"), Some("second")));
    assert!(exact(None, Some("third")));
    assert!(!exact(Some("1"), Some("third")));
    assert!(!exact(None, Some("1")));
    assert!(!exact(None, None));
}

#[test]
fn a_shrunken_image_shows_its_snapshot_in_the_present_size() {
    let bench = Bench::on_disk();
    bench.qemu_img("create -q -f qcow2 image 4M");
    bench.qemu_io("image", &["write -P 1 0 4M"]);
    bench.qemu_img("snapshot -c one image");
    bench.qemu_img("resize -q --shrink image 1M");
    let theirs = bench.reference("image", "-l one");
    let host = Native::new(1);
    let facts = host.source(bench.path("image"));
    let mut chain = Chain::open(&host, File::new(&host, facts), true).unwrap();
    let wanted = SnapshotName::Either(b"one".to_vec());
    chain.top().select_snapshot(&wanted).unwrap();
    assert_same(&chain.read_all(&host), &theirs, "snapshot of a larger disk");
}

#[test]
fn reads_images_marked_dirty_or_corrupt() {
    for bit in [1_u8, 2, 3] {
        let bench = Bench::on_disk();
        converted(&bench, "", 2 * MIB);
        let mut bytes = bench.bytes("image");
        bytes[79] |= bit;
        bench.put("image", &bytes);
        bench.compare("image");
    }
}

#[test]
fn reads_truncated_images_as_qemu_does() {
    for options in [
        "-o cluster_size=512",
        "-o cluster_size=4096",
        "-o extended_l2=on,cluster_size=16384",
        "",
    ] {
        let bench = Bench::on_disk();
        converted(&bench, options, 100 * KIB);
        let whole = bench.bytes("image");
        let step = if whole.len() > 40_000 { 4096 + 512 } else { 512 };
        for length in (0..whole.len()).step_by(step).chain([whole.len() - 1, 113, 112]) {
            bench.put("cut", &whole[..length]);
            let theirs = bench.try_qemu_img("convert -f qcow2 -O raw cut cut.raw");
            let host = Native::new(1);
            let facts = host.source(bench.path("cut"));
            let ours = Chain::open(&host, File::new(&host, facts), true);
            match (ours, theirs.status.success()) {
                (Ok(mut chain), true) => {
                    let same = format!("{options} cut to {length}");
                    assert_same(&chain.read_all(&host), &bench.bytes("cut.raw"), &same);
                }
                (ours, theirs) => assert_eq!(ours.is_ok(), theirs, "{options} cut to {length}"),
            }
        }
    }
}

#[test]
fn reads_sizes_that_are_no_multiple_of_anything() {
    for size in [512, 1024, 65536 - 512, 65536 + 512, 3 * 512 * 129] {
        for options in ["-o cluster_size=512", "", "-c -o cluster_size=2M"] {
            let bench = Bench::on_disk();
            converted(&bench, options, size);
            bench.compare("image");
            compare_maps(&bench, "image");
        }
    }
    let bench = Bench::on_disk();
    bench.qemu_img("create -q -f qcow2 image 0");
    assert_eq!(bench.with("image", |image| image.size()), 0);
}

#[test]
fn an_empty_disk_of_any_size_takes_few_calls() {
    for (options, size, calls) in [
        ("cluster_size=65536", "1T", 1),
        ("cluster_size=65536", "2P", 200),
        ("cluster_size=2M", "1E", 1000),
        ("cluster_size=512", "128G", 200),
    ] {
        let bench = Bench::on_disk();
        bench.qemu_img(&format!("create -q -f qcow2 -o {options} image {size}"));
        bench.with("image", |image| {
            let (mut offset, mut made) = (0, 0);
            while offset < image.size() {
                let mapping = image.map(offset).unwrap();
                assert_eq!(mapping.kind, Kind::Unallocated);
                offset += mapping.length;
                made += 1;
            }
            assert!(made <= calls, "{options} {size}: {made}");
        });
    }
}

#[test]
fn any_offset_may_be_asked_first() {
    let bench = Bench::on_disk();
    for options in [
        "cluster_size=1024",
        "cluster_size=65536",
        "extended_l2=on,cluster_size=16384",
    ] {
        bench.qemu_img(&format!("create -q -f qcow2 -o {options} image 8M"));
        churn(&bench, "image", 512);
        let theirs = bench.reference("image", "");
        let host = Native::new(1);
        let facts = host.source(bench.path("image"));
        let mut chain = Chain::open(&host, File::new(&host, facts), true).unwrap();
        let mut decoder = instar_codecs::Decoder::new();
        let mut state = 3_u64;
        for _ in 0..4000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let offset = (state >> 30) % (8 * MIB);
            let (mapping, _) = chain.map(offset).unwrap();
            let length = mapping.length.min(8192) as usize;
            let mut bytes = vec![0; length];
            let encoded = matches!(mapping.kind, Kind::Encoded(_));
            assert!(!encoded);
            support::fetch(&host, &mut decoder, mapping.kind, &mut bytes).unwrap();
            assert_same(&bytes, &theirs[offset as usize..][..length], options);
        }
    }
}
