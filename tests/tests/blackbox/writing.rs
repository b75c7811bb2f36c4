//! Writing: qemu-img reads the images that instar makes, finds nothing wrong with them, and finds the same features in them.

use instar_tests::compare::{
    allocated, checks_clean, qemu_info, qemu_map, qemu_own_ranges, qemu_reads, same_bytes,
};
use instar_tests::disk::{self, Piece, USUAL_BYTES};
use instar_tests::variant;
use instar_tests::{Bench, Sandbox, both_sandboxes};

/// `-o` lists for new qcow2 images.
const LAYOUTS: &[&str] = &[
    "cluster_size=512",
    "cluster_size=1k",
    "cluster_size=2k",
    "cluster_size=4k",
    "cluster_size=8k",
    "cluster_size=16k",
    "cluster_size=32k",
    "cluster_size=64k",
    "cluster_size=128k",
    "cluster_size=256k",
    "cluster_size=512k",
    "cluster_size=1M",
    "cluster_size=2M",
    "compat=0.10",
    "compat=v2,cluster_size=512",
    "compat=1.1",
    "compat=v3",
    "refcount_bits=1",
    "refcount_bits=2",
    "refcount_bits=4",
    "refcount_bits=8",
    "refcount_bits=32",
    "refcount_bits=64",
    "refcount_bits=64,cluster_size=512",
    "refcount_bits=1,cluster_size=2M",
    "lazy_refcounts=on",
    "lazy_refcounts",
    "extended_l2=on",
    "extended_l2=on,cluster_size=16k",
    "extended_l2=on,cluster_size=2M",
    "preallocation=metadata",
    "preallocation=falloc",
    "preallocation=full",
    "preallocation=metadata,cluster_size=4k",
    "preallocation=metadata,extended_l2=on",
];

const COMPRESSED: &[&str] = &[
    "",
    "compat=0.10",
    "cluster_size=512",
    "cluster_size=4k",
    "cluster_size=2M",
    "extended_l2=on",
    "compression_type=zlib",
    "compression_type=zstd",
    "compression_type=zstd,cluster_size=512",
    "compression_type=zstd,cluster_size=2M",
    "refcount_bits=64",
];

/// Writes the usual disk with each option list and looks at the result through qemu-img.
fn write_all(bench: &Bench, lists: &[&str], words: &[&str]) {
    disk::usual(&bench.path("disk.raw"));
    for list in lists {
        let options: &[&str] = if list.is_empty() { &[] } else { &["-o", list] };
        let all = |target| {
            let start = ["convert", "-f", "raw", "-O", "qcow2"];
            start
                .into_iter()
                .chain(words.iter().copied())
                .chain(options.iter().copied())
                .chain(["disk.raw", target])
        };
        bench.qemu(all("theirs")).succeeds();
        let ours = bench.instar(all("ours"));
        assert_eq!(ours.code(), Some(0), "{list}: {ours}");
        ours.succeeds();
        checks_clean(bench, "ours", list);
        qemu_reads(bench, "ours", "disk.raw", list);
        let [theirs, ours] = ["theirs", "ours"].map(|image| qemu_info(bench, image));
        for key in ["virtual-size", "cluster-size", "format-specific", "dirty-flag", "format"] {
            assert_eq!(theirs[key], ours[key], "{list}: {key}");
        }
    }
}

both_sandboxes!(
    writes_every_layout,
    writes_compressed_clusters,
    allocates_what_qemu_img_allocates,
    leaves_holes_in_raw_targets,
    compresses_about_as_well_as_qemu_img,
    writes_overlays_of_a_backing_file,
    any_number_of_lanes_gives_the_same_disk,
    shows_progress_as_qemu_img_does,
    shows_progress_as_json,
    a_disk_of_a_terabyte_of_nothing_converts_at_once,
    refuses_options_that_qemu_img_refuses,
);

fn writes_every_layout(bench: &Bench) {
    write_all(bench, LAYOUTS, &[]);
}

fn writes_compressed_clusters(bench: &Bench) {
    write_all(bench, COMPRESSED, &["-c"]);
}

fn allocates_what_qemu_img_allocates(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for sparse in ["4k", "512", "8k", "64k", "0"] {
        for list in [
            "cluster_size=64k",
            "cluster_size=512",
            "cluster_size=4k",
            "extended_l2=on",
            "preallocation=metadata",
        ] {
            let words = |target| {
                ["convert", "-f", "raw", "-O", "qcow2", "-S", sparse, "-o", list, "disk.raw", target]
            };
            bench.qemu(words("theirs")).succeeds();
            bench.instar(words("ours")).succeeds();
            let what = format!("-S {sparse} -o {list}");
            qemu_reads(bench, "ours", "disk.raw", &what);
            assert_eq!(qemu_map(bench, "theirs"), qemu_map(bench, "ours"), "{what}");
        }
    }
}

fn leaves_holes_in_raw_targets(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    for sparse in ["4k", "512", "64k", "0"] {
        let words = |target| ["convert", "-O", "raw", "-S", sparse, "image", target];
        bench.qemu(words("theirs")).succeeds();
        bench.instar(words("ours")).succeeds();
        same_bytes(bench, "theirs", "ours", sparse);
        let [theirs, ours] = ["theirs", "ours"].map(|name| allocated(&bench.path(name)));
        assert!(
            ours <= theirs + 65536,
            "-S {sparse}: {ours} bytes are allocated, qemu-img allocates {theirs}"
        );
        assert!(sparse != "0" || ours >= USUAL_BYTES, "-S 0: only {ours} bytes are allocated");
    }
}

fn compresses_about_as_well_as_qemu_img(bench: &Bench) {
    disk::make(
        &bench.path("disk.raw"),
        8 << 20,
        &[Piece::Text(0, 6 << 20), Piece::Data(6 << 20, 1 << 20, 5)],
    );
    for list in ["compression_type=zlib", "compression_type=zstd"] {
        let words = |target| ["convert", "-c", "-O", "qcow2", "-o", list, "disk.raw", target];
        bench.qemu(words("theirs")).succeeds();
        bench.instar(words("ours")).succeeds();
        let [theirs, ours] = ["theirs", "ours"].map(|name| bench.path(name).metadata().unwrap().len());
        assert!(ours * 100 <= theirs * 105, "{list}: {ours} bytes, qemu-img needs {theirs}");
    }
}

fn writes_overlays_of_a_backing_file(bench: &Bench) {
    disk::make(&bench.path("base.raw"), USUAL_BYTES, &disk::usual_pieces(1));
    for chain in
        [variant::CHAINS[0], variant::CHAINS[4], variant::CHAINS[5], variant::CHAINS[8], variant::CHAINS[7]]
    {
        let bench = &Bench::new(bench.sandbox());
        chain.make(bench);
        disk::usual(&bench.path("under.raw"));
        for words in [
            ["-B", "under.raw", "-F", "raw"].as_slice(),
            &["-o", "backing_file=under.raw,backing_fmt=raw"],
            &["-o", "backing_file=under.raw,backing_fmt=raw,extended_l2=on"],
            &["-o", "cluster_size=4k", "-B", "under.raw", "-F", "raw"],
        ] {
            let all =
                |target| ["convert", "-O", "qcow2"].iter().chain(words).copied().chain(["image", target]);
            bench.qemu(all("theirs")).succeeds();
            bench.instar(all("ours")).succeeds();
            let what = format!("{}: {}", chain.name, words.join(" "));
            checks_clean(bench, "ours", &what);
            let [theirs, ours] = ["theirs", "ours"].map(|image| qemu_info(bench, image));
            for key in ["virtual-size", "backing-filename", "backing-filename-format", "format-specific"] {
                assert_eq!(theirs[key], ours[key], "{what}: {key}");
            }
            bench.qemu(["convert", "-O", "raw", "theirs", "theirs.raw"]).succeeds();
            qemu_reads(bench, "ours", "theirs.raw", &what);
            let [theirs, ours] = ["theirs", "ours"].map(|image| qemu_own_ranges(bench, image));
            assert_eq!(theirs, ours, "{what}");
        }
    }
}

fn any_number_of_lanes_gives_the_same_disk(bench: &Bench) {
    disk::make(
        &bench.path("disk.raw"),
        24 << 20,
        &[Piece::Data(0, 5 << 20, 1), Piece::Text(7 << 20, 9 << 20), Piece::Data(20 << 20, 4 << 20, 2)],
    );
    for words in [["-m", "1"].as_slice(), &["-m", "2", "-W"], &["-m", "16", "-W", "-c"], &["-m", "4", "-c"]] {
        let all = ["convert", "-f", "raw", "-O", "qcow2"].iter().chain(words).chain(&["disk.raw", "ours"]);
        bench.instar(all).succeeds();
        checks_clean(bench, "ours", &words.join(" "));
        qemu_reads(bench, "ours", "disk.raw", &words.join(" "));
    }
}

fn shows_progress_as_qemu_img_does(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let words = |target| ["convert", "-p", "-O", "qcow2", "disk.raw", target];
    let theirs = bench.qemu(words("theirs"));
    let ours = bench.instar(words("ours"));
    for outcome in [&theirs, &ours] {
        let text = outcome.succeeds().text();
        assert!(text.starts_with("    (0.00/100%)\r"), "{text:?}");
        assert!(text.ends_with("    (100.00/100%)\r\n"), "{text:?}");
    }
    let quiet = bench.instar(["convert", "-p", "-q", "-O", "qcow2", "disk.raw", "ours"]);
    assert_eq!(quiet.succeeds().text(), "");
}

fn shows_progress_as_json(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    let lines = |text: String| -> Vec<serde_json::Value> {
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let outcome = bench.instar(["convert", "--progress=json", "-O", "qcow2", "disk.raw", "ours"]);
    assert_eq!((outcome.code(), outcome.text().as_str()), (Some(0), ""), "{outcome}");
    let seen = lines(outcome.errors());
    let last = seen.last().unwrap();
    assert_eq!(
        (&last["done"], &last["total"]),
        (&disk::USUAL_BYTES.into(), &disk::USUAL_BYTES.into()),
        "{seen:?}"
    );
    // To a descriptor of the caller's: here standard output.
    let outcome = bench.instar(["checksum", "--progress=json:1", "ours"]);
    let (progress, checksum) =
        outcome.succeeds().text().split_once("blake3").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    assert!(checksum.ends_with("  ours\n"), "{outcome}");
    assert!(lines(progress).iter().all(|line| line["rate"].is_u64()), "{outcome}");
    bench.instar(["convert", "--progress=json:99", "disk.raw", "out"]).fails_with("descriptor 99");
    bench.instar(["convert", "--progress=text", "disk.raw", "out"]).fails_with("doesn't allow an argument");
}

fn a_disk_of_a_terabyte_of_nothing_converts_at_once(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1T"]).succeeds();
    bench.instar(["convert", "-O", "raw", "image", "out.raw"]).succeeds();
    assert_eq!(bench.path("out.raw").metadata().unwrap().len(), 1 << 40);
    bench.instar(["convert", "-f", "raw", "-O", "qcow2", "out.raw", "out"]).succeeds();
    checks_clean(bench, "out", "1 TiB");
    assert_eq!(qemu_info(bench, "out")["virtual-size"], 1_u64 << 40);
    assert!(allocated(&bench.path("out")) < 1 << 20);
}

fn refuses_options_that_qemu_img_refuses(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for words in [
        "-O qcow2 -o cluster_size=3000",
        "-O qcow2 -o cluster_size=4M",
        "-O qcow2 -o cluster_size=256",
        "-O qcow2 -o refcount_bits=3",
        "-O qcow2 -o compat=0.10,refcount_bits=8",
        "-O qcow2 -o compat=0.10,lazy_refcounts=on",
        "-O qcow2 -o compat=0.10,extended_l2=on",
        "-O qcow2 -o compat=0.10,compression_type=zstd",
        "-O qcow2 -o extended_l2=on,cluster_size=4k",
        "-O qcow2 -o compat=2",
        "-O qcow2 -o compression_type=lzma",
        "-O qcow2 -o preallocation=some",
        "-O qcow2 -o nonsense=1",
        "-O qcow2 -o backing_fmt=raw",
        "-O qcow2 -B absent.raw -F raw",
        "-O qcow2 -c -o preallocation=metadata",
        "-O nonsense",
        "-O raw -c",
        "-S 100",
        "-S 17M",
        "-m 0",
        "-m 17",
        "-n -o cluster_size=4k",
        "-t nonsense",
        "-T nonsense",
        "-c -C",
        "--target-is-zero",
        "-l absent",
        "-f nonsense",
        "-f qcow2",
    ] {
        let all =
            |target| ["convert"].into_iter().chain(words.split_whitespace()).chain(["disk.raw", target]);
        let theirs = bench.qemu(all("theirs"));
        let ours = bench.instar(all("ours"));
        assert_eq!(theirs.code(), Some(1), "{words}: {theirs}");
        ours.fails();
        assert!(!bench.path("ours").exists(), "{words}: a target was made");
        assert_eq!(theirs.message().replace("theirs", "ours"), ours.message(), "{words}");
    }
}

/// The same bytes come out of both sandboxes, also where nothing prescribes them.
#[test]
fn both_sandboxes_write_the_same_file() {
    Bench::with(Sandbox::Kvm, module_path!(), |kvm| {
        let process = &Bench::new(Sandbox::Process);
        for bench in [kvm, process] {
            disk::usual(&bench.path("disk.raw"));
        }
        for words in [
            ["-O", "qcow2"].as_slice(),
            &["-O", "qcow2", "-c"],
            &["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
            &["-O", "qcow2", "-o", "extended_l2=on,cluster_size=16k"],
            &["-O", "raw", "-S", "0"],
        ] {
            for (bench, target) in [(kvm, "first"), (kvm, "second"), (process, "third")] {
                let all = ["convert", "-f", "raw"].iter().chain(words).copied().chain(["disk.raw", target]);
                bench.instar(all).succeeds();
            }
            std::fs::copy(process.path("third"), kvm.path("third")).unwrap();
            same_bytes(kvm, "first", "second", &words.join(" "));
            same_bytes(kvm, "first", "third", &words.join(" "));
        }
    });
}
