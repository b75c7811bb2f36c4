//! `convert -n -B`: one layer of a chain is copied, as storage managers copy chains layer by layer.

use std::fs;
use std::os::unix::fs::MetadataExt;

use instar_tests::compare::{checks_clean, same_outcome};
use instar_tests::variant::io;
use instar_tests::{Bench, both_sandboxes};

/// Two bases with the same disk, a layer above one of them, and an empty layer above the other for each program.
fn material(bench: &Bench, options: &str) {
    for base in ["source", "copy"] {
        bench.qemu(["create", "-q", "-f", "qcow2", base, "10M"]).succeeds();
        io(bench, base, &["write -P 1 0 5M"]);
    }
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "source", "-F", "qcow2", "top"]).succeeds();
    io(bench, "top", &["write -P 2 0 64k", "write -z 1M 128k", "write -P 3 3M 64k", "write -P 4 9M 64k"]);
    for target in ["theirs", "ours"] {
        bench
            .qemu(["create", "-q", "-f", "qcow2", "-o", options, "-b", "copy", "-F", "qcow2", target])
            .succeeds();
    }
}

/// Both copy the layer; qemu-img sees the same in both, allocation included.
fn copied(bench: &Bench, words: &[&str], options: &str) {
    material(bench, options);
    let line = |target| [["convert", "-n"].as_slice(), words, &["top", target]].concat();
    let what = line("ours").join(" ");
    bench.qemu(line("theirs")).succeeds();
    bench.instar(line("ours")).succeeds();
    let map = |image| {
        let map = bench.qemu(["map", "--output=json", image]);
        let runs: serde_json::Value = serde_json::from_slice(&map.succeeds().stdout).unwrap();
        let runs = runs.as_array().unwrap();
        // Version 2 has no zero clusters: there ours are holes in the file.
        let zeros = if options.contains("0.10") { "data" } else { "zero" };
        let kinds = ["start", "length", "depth", "present", zeros, "data"];
        runs.iter().map(|run| kinds.map(|kind| run[kind].to_string()).join(" ")).collect::<Vec<_>>()
    };
    assert_eq!(map("theirs"), map("ours"), "{what}");
    let sizes = ["theirs", "ours"].map(|name| fs::metadata(bench.path(name)).unwrap().size());
    if !words.contains(&"-c") {
        assert_eq!(sizes[0], sizes[1], "{what}");
    }
    let compared = bench.qemu(["compare", "theirs", "ours"]);
    assert_eq!(compared.code(), Some(0), "{what}: {compared}");
    checks_clean(bench, "ours", &what);
}

both_sandboxes!(
    a_layer_is_copied_without_what_lies_below_it,
    a_copied_layer_is_strictly_equal,
    a_copied_layer_fits_where_the_whole_disk_does_not,
    a_raw_file_gets_what_the_top_layer_holds,
    several_sources_cannot_become_one_layer,
    writing_all_zeros_does_not_copy_the_backing_file,
);

fn a_layer_is_copied_without_what_lies_below_it(bench: &Bench) {
    for (words, options) in [
        (["-B", "copy", "-f", "qcow2", "-O", "qcow2"].as_slice(), "cluster_size=64k"),
        (&["-B", "copy", "-F", "qcow2", "-O", "qcow2"], "cluster_size=64k"),
        (&["-B", "copy", "-O", "qcow2", "-S", "0"], "cluster_size=64k"),
        (&["-B", "copy", "-O", "qcow2", "-S", "64k"], "cluster_size=64k"),
        (&["-B", "copy", "-O", "qcow2", "-W", "-t", "none", "-T", "none"], "cluster_size=64k"),
        (&["-B", "copy", "-O", "qcow2", "-c"], "cluster_size=64k"),
        (&["-B", "copy", "-O", "qcow2", "--salvage"], "cluster_size=64k"),
        // What -B names is not looked at.
        (&["-B", "source", "-O", "qcow2"], "cluster_size=64k"),
        (&["-B", "absent", "-O", "qcow2"], "cluster_size=64k"),
        (&["-B", "copy", "-O", "qcow2"], "compat=0.10"),
        (&["-B", "copy", "-O", "qcow2"], "cluster_size=4k"),
    ] {
        copied(bench, words, options);
    }
}

/// vdsm copies a layer and then holds source and target side by side.
fn a_copied_layer_is_strictly_equal(bench: &Bench) {
    material(bench, "cluster_size=64k");
    bench.instar(["convert", "-n", "-B", "copy", "-f", "qcow2", "-O", "qcow2", "top", "ours"]).succeeds();
    same_outcome(bench, &["compare", "-s", "top", "ours"], "strict").succeeds();
}

fn a_copied_layer_fits_where_the_whole_disk_does_not(bench: &Bench) {
    material(bench, "cluster_size=64k");
    let line = ["convert", "-n", "-B", "copy", "-O", "qcow2", "top", "ours"];
    bench.instar([&line[..1], &["--max-output", "1M"], &line[1..]].concat()).succeeds();
    assert!(fs::metadata(bench.path("ours")).unwrap().size() <= 1 << 20);
}

fn a_raw_file_gets_what_the_top_layer_holds(bench: &Bench) {
    material(bench, "cluster_size=64k");
    for target in ["theirs.raw", "ours.raw"] {
        fs::write(bench.path(target), vec![9; 10 << 20]).unwrap();
        let words = ["convert", "-n", "-B", "copy", "-O", "raw", "top", target];
        if target.starts_with("ours") {
            bench.instar(words)
        } else {
            bench.qemu(words)
        }
        .succeeds();
    }
    instar_tests::compare::same_bytes(bench, "theirs.raw", "ours.raw", "layer in raw");
}

fn several_sources_cannot_become_one_layer(bench: &Bench) {
    material(bench, "cluster_size=64k");
    let words = ["convert", "-n", "-B", "copy", "-O", "qcow2", "top", "top", "ours"];
    assert_eq!(same_outcome(bench, &words, "two sources").code(), Some(1));
}

/// With -S 0, too, what the top layer does not hold is left to the backing file.
fn writing_all_zeros_does_not_copy_the_backing_file(bench: &Bench) {
    material(bench, "cluster_size=64k");
    for target in ["theirs", "ours"] {
        fs::remove_file(bench.path(target)).unwrap();
        let words = ["convert", "-S", "0", "-O", "qcow2", "-B", "copy", "-F", "qcow2", "top", target];
        if target == "ours" {
            bench.instar(words)
        } else {
            bench.qemu(words)
        }
        .succeeds();
    }
    let compared = bench.qemu(["compare", "-s", "theirs", "ours"]);
    assert_eq!(compared.code(), Some(0), "{compared}");
}
