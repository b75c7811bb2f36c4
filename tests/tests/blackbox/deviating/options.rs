//! The command line of `convert`, where it differs.

use std::fs;

use instar_tests::compare::same_bytes;
use instar_tests::disk;
use instar_tests::ledger::deviates;
use instar_tests::variant::io;
use instar_tests::{Bench, Outcome, both_sandboxes};

/// A disk, an image of it, and a layer above it.
fn material(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for words in [
        ["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "q"].as_slice(),
        &["convert", "-f", "raw", "-O", "vpc", "disk.raw", "p"],
        &["create", "-q", "-f", "qcow2", "-b", "q", "-F", "qcow2", "over"],
        &["create", "-q", "-f", "qcow2", "small", "1M"],
        &["create", "-q", "-f", "qcow2", "eq", "8M"],
    ] {
        bench.qemu(words).succeeds();
    }
    io(bench, "over", &["write -P 7 64k 128k"]);
    bench.qemu(["convert", "-O", "raw", "over", "over.raw"]).succeeds();
}

/// Both programs, with one command line.
fn both(bench: &Bench, words: &[&str]) -> (Outcome, Outcome) {
    (bench.qemu(words), bench.instar(words))
}

/// Both refuse, in other words; ours names `remedy`.
fn other_words(bench: &Bench, words: &[&str], remedy: &str) {
    let (theirs, ours) = both(bench, words);
    theirs.fails();
    ours.fails_with(remedy);
    deviates("plainer-words", &theirs.message(), &ours.message());
}

both_sandboxes!(
    a_backing_file_that_is_too_short_costs_no_data,
    mistakes_with_backing_files_exit_with_1,
    compressing_into_a_larger_image_works,
    a_part_of_a_raw_file_may_begin_anywhere,
    some_options_of_the_block_layer_are_refused,
    some_refusals_explain_more_than_those_of_qemu_img,
    option_names_of_every_version_are_taken,
);

fn a_backing_file_that_is_too_short_costs_no_data(bench: &Bench) {
    material(bench);
    let words = ["convert", "-B", "small", "-F", "qcow2", "-O", "qcow2", "over", "out"];
    let disks = [true, false].map(|reference| {
        if reference {
            bench.qemu(words)
        } else {
            bench.instar(words)
        }
        .succeeds();
        bench.qemu(["convert", "-O", "raw", "out", "out.raw"]).succeeds();
        fs::remove_file(bench.path("out")).unwrap();
        fs::read(bench.path("out.raw")).unwrap()
    });
    deviates("backing-shorter", &disks[0], &disks[1]);
    // Past the end of the backing file it is the source, below it what the user asked for.
    let source = fs::read(bench.path("over.raw")).unwrap();
    assert!(disks[1][1 << 20..] == source[1 << 20..]);
    assert!(disks[0][1 << 20..].iter().all(|byte| *byte == 0));
    assert!(disks[1][..1 << 20] == disks[0][..1 << 20]);
}

fn mistakes_with_backing_files_exit_with_1(bench: &Bench) {
    material(bench);
    let words = ["convert", "-n", "--target-is-zero", "-B", "q", "-F", "qcow2", "-O", "qcow2", "over", "eq"];
    let (theirs, ours) = both(bench, &words);
    assert_eq!(theirs.message(), ours.message());
    deviates("target-is-zero-refused", &theirs.code(), &ours.code());
    let words = ["convert", "-B", "", "-F", "qcow2", "-O", "qcow2", "over", "out"];
    let (theirs, ours) = both(bench, &words);
    ours.fails_with("empty");
    deviates("empty-backing", &theirs.code(), &ours.code());
}

fn compressing_into_a_larger_image_works(bench: &Bench) {
    material(bench);
    let (theirs, ours) = both(bench, &["convert", "-n", "-c", "-O", "qcow2", "q", "eq"]);
    deviates("compressed-into-larger", &theirs.code(), &ours.succeeds().code());
    bench.qemu(["check", "eq"]).succeeds();
    let compared = bench.qemu(["compare", "q", "eq"]);
    assert_eq!(compared.code(), Some(0), "{compared}");
}

fn a_part_of_a_raw_file_may_begin_anywhere(bench: &Bench) {
    material(bench);
    let words =
        ["convert", "-O", "raw", "--image-opts", "driver=raw,file.filename=disk.raw,offset=100", "out"];
    let disks = [true, false].map(|reference| {
        if reference {
            bench.qemu(words)
        } else {
            bench.instar(words)
        }
        .succeeds();
        fs::read(bench.path("out")).unwrap()
    });
    deviates("raw-window-unaligned", &disks[0], &disks[1]);
    let mut expected = fs::read(bench.path("disk.raw")).unwrap()[100..].to_vec();
    expected.resize(expected.len().next_multiple_of(512), 0);
    assert!(disks[1] == expected);
    // On sectors both agree, at every level of a tree, in whatever verb.
    for words in [
        [
            "convert",
            "-O",
            "raw",
            "--image-opts",
            "driver=raw,file.filename=disk.raw,offset=512,size=1M",
            "out",
        ]
        .as_slice(),
        &[
            "convert",
            "-T",
            "none",
            "-O",
            "raw",
            "--image-opts",
            "driver=raw,file.filename=disk.raw,offset=512",
            "out",
        ],
        &[
            "convert",
            "-O",
            "raw",
            "json:{\"driver\":\"qcow2\",\"backing\":{\"driver\":\"raw\",\"size\":1048576,\"file\":{\"filename\":\"disk.raw\"}},\"file\":{\"filename\":\"over\"}}",
            "out",
        ],
        &[
            "convert",
            "-O",
            "raw",
            "json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"filename\":\"over\"}}",
            "out",
        ],
        &["dd", "--image-opts", "if=driver=raw,file.filename=disk.raw,offset=1M,size=1M", "of=out", "bs=64k"],
    ] {
        bench.qemu(words).succeeds();
        fs::rename(bench.path("out"), bench.path("theirs")).unwrap();
        bench.instar(words).succeeds();
        same_bytes(bench, "theirs", "out", &words.join(" "));
    }
    for words in [
        ["map", "--output=json", "--image-opts", "driver=raw,file.filename=disk.raw,offset=1M,size=512k"]
            .as_slice(),
        &[
            "map",
            "--output=json",
            "json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"filename\":\"over\"}}",
        ],
        &[
            "measure",
            "--output=json",
            "-O",
            "qcow2",
            "json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"filename\":\"over\"}}",
        ],
        &[
            "measure",
            "--output=json",
            "-O",
            "qcow2",
            "--image-opts",
            "driver=raw,file.filename=disk.raw,offset=1M,size=512k",
        ],
        &[
            "info",
            "--backing-chain",
            "--output=json",
            "json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"filename\":\"over\"}}",
        ],
        &["check", "json:{\"driver\":\"qcow2\",\"backing\":null,\"file\":{\"filename\":\"over\"}}"],
        &[
            "compare",
            "--image-opts",
            "driver=qcow2,file.filename=over,backing.driver=qcow2,backing.file.filename=q",
            "driver=qcow2,file.filename=over",
        ],
    ] {
        instar_tests::compare::agree(bench, words, "tree");
    }
}

fn some_options_of_the_block_layer_are_refused(bench: &Bench) {
    material(bench);
    for words in [
        ["convert", "--image-opts", "driver=raw,file.driver=qcow2,file.file.filename=q", "out"].as_slice(),
        &["convert", "json:{\"driver\":1,\"file\":{\"filename\":\"q\"}}", "out"],
        &["convert", "-n", "--target-image-opts", "q", "file.filename=eq"],
        &["convert", "-n", "--target-image-opts", "disk.raw", "driver=raw,file.filename=eq,offset=0"],
    ] {
        let (theirs, ours) = both(bench, words);
        ours.fails();
        bench.qemu(["create", "-q", "-f", "qcow2", "eq", "8M"]).succeeds();
        if words.last() != Some(&"driver=raw,file.filename=eq,offset=0") {
            deviates("image-options", &theirs.code(), &ours.code());
        }
    }
    let words = [
        "info",
        "--output=json",
        "--image-opts",
        "driver=qcow2,file.filename=over,backing.driver=qcow2,backing.file.filename=q",
    ];
    let (theirs, ours) = both(bench, &words);
    deviates("image-options", &theirs.code(), &ours.succeeds().code());
}

fn some_refusals_explain_more_than_those_of_qemu_img(bench: &Bench) {
    material(bench);
    other_words(bench, &["convert", "-f", "vhdx", "q", "out"], "vhdxfile");
    other_words(bench, &["convert", "json:{\"driver\":\"qcow2\"", "out"], "EOF");
    other_words(
        bench,
        &["convert", "-c", "-o", "data_file=df", "-O", "qcow2", "q", "out"],
        "Compression not supported",
    );
    // The source's backing file is the target.
    other_words(bench, &["convert", "-O", "qcow2", "over", "q"], "which this run writes to");
    let (theirs, ours) = both(bench, &["convert", "-l", "snapshot.", "q", "out"]);
    assert_eq!(theirs.code(), ours.code());
    deviates("plainer-words", &theirs.message(), &ours.message());
    let (theirs, ours) =
        both(bench, &["convert", "--image-opts", "driver=qcow2,file.filename=over,backing=", "out"]);
    assert_eq!((theirs.code(), ours.succeeds().code()), (Some(0), Some(0)));
    deviates("plainer-words", &theirs.errors(), &ours.errors());
}

fn option_names_of_every_version_are_taken(bench: &Bench) {
    material(bench);
    for (old, new) in [
        ("-c", "--compress"),
        ("-n", "--no-create"),
        ("-p", "--progress"),
        ("-r10M", "--rate-limit=10M"),
        ("-tnone", "--target-cache=none"),
        ("-l1", "--source-snapshot=1"),
    ] {
        let (theirs, ours) = both(bench, &["convert", new, "-Oqcow2", "absent", "eq"]);
        ours.fails_with("No such file or directory");
        if theirs.errors().contains("No such file or directory") {
            // Newer releases have some of them.
            assert_eq!(theirs.message(), ours.message(), "{new}");
            continue;
        }
        theirs.fails_with("unrecognized option");
        deviates("option-names", &theirs.message(), &ours.message());
        let (theirs, ours) = both(bench, &["convert", old, "-Oqcow2", "absent", "eq"]);
        assert_eq!(theirs.message(), ours.message(), "{old}");
    }
    let (theirs, ours) = both(bench, &["convert", "--help"]);
    deviates("own-help", &theirs.succeeds().text(), &ours.succeeds().text());
}
