//! qcow of version 1 beside qemu-img, where the lists of formats of other tests do not reach: options, messages, chains, changes in place.

use std::fs;

use instar_tests::compare::{same_bytes, same_outcome};
use instar_tests::ledger::deviates;
use instar_tests::seal::Edited;
use instar_tests::sealed::words;
use instar_tests::{Bench, Pair, both_sandboxes, disk, variant};

fn lines(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow", "disk.raw", "base"]).succeeds();
    assert_eq!(bench.qemu(["convert", "-c", "-f", "raw", "-O", "qcow", "disk.raw", "small"]).code(), Some(1));
    bench.qemu(["create", "-q", "-f", "qcow", "-b", "base", "-F", "qcow", "image", "3M"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow", "empty", "8M"]).succeeds();
}

/// `_` stands for an empty word.
const LINES: &[&str] = &[
    "create -f qcow -o help",
    "create -f qcow -o help new",
    "create -f qcow -o cluster_size=4k new 1M",
    "create -f qcow -o encryption=off new 1M",
    "create -f qcow -o encryption=on new 1M",
    "create -f qcow -o encryption=x new 1M",
    "create -f qcow -o encrypt.format=luks new 1M",
    "create -f qcow -o encrypt.format=foo new 1M",
    "create -f qcow -o encrypt.format=aes,encryption=on new 1M",
    "create -f qcow -o encrypt.format=aes new 1M",
    "create -f qcow -o encrypt.key-secret=x new 1M",
    "create -f qcow -o backing_fmt=foo new 1M",
    "create -f qcow -o backing_fmt=raw new 1M",
    "create -f qcow -o preallocation=metadata new 1M",
    "create -f qcow -o preallocation=foo new 1M",
    "create -f qcow -b base new 1M",
    "create -f qcow -b missing -F raw new 1M",
    "create -f qcow -b base -F foo new 1M",
    "create -f qcow new",
    "create -f qcow new 0",
    "create -f qcow new 8E",
    "create -f qcow new 1",
    "info new",
    "info image",
    "info --output=json base",
    "info --output=json small",
    "info --backing-chain image",
    "map image",
    "map small",
    "map --output=json image",
    "map --output=json small",
    "check image",
    "check --output=json base",
    "check -r all image",
    "measure -O raw image",
    "measure -O qcow2 image",
    "measure -O raw small",
    "amend -o cluster_size=4k image",
    "amend -f qcow -o help",
    "amend -o help image",
    "snapshot -l image",
    "snapshot -c a image",
    "snapshot -a a image",
    "snapshot -d a image",
    "bitmap --remove image x",
    "convert -l a -O raw image new",
    "convert -n -O qcow disk.raw empty",
    "convert -n -O qcow disk.raw small",
    "compare small disk.raw",
    "convert --bitmaps -O qcow image new",
    "convert -O qcow -o backing_file=base image new",
    "convert -O qcow -B base -F qcow image new",
    "info new",
    "compare new image",
    "resize empty 1000000",
    "resize empty 4000000",
    "resize --shrink empty 1M",
    "resize --preallocation=full empty 20M",
    "resize empty +1M",
    "resize image 3M",
    "commit base",
    "rebase -b base image",
    "rebase -b base -F qcow image",
    "rebase -u -b base -F qcow image",
    "rebase -u -b base -F foo image",
    "rebase -c -b base -F qcow image",
    "rebase -b missing -F raw image",
    "rebase -u -b _ image",
    "rebase -b _ image",
    "commit -d image",
    "commit image",
    "compare image base",
];

both_sandboxes!(
    qcow_is_handled_in_the_words_of_qemu_img,
    a_qcow_and_what_is_above_it_are_committed,
    a_larger_qcow_is_not_committed_into_a_smaller_one,
    a_chain_of_qcow_follows_the_rules_for_names,
    an_encrypted_qcow_is_read_and_made_with_its_key,
    streams_of_any_window_and_place_are_read,
);

fn qcow_is_handled_in_the_words_of_qemu_img(bench: &Bench) {
    let pair = Pair::new(bench, &lines);
    assert!(pair.agree_on(LINES) > 20);
    let long = "x".repeat(1024);
    assert!(!pair.agree(&["rebase", "-u", "-b", &long, "-F", "raw", "image"]));
}

fn a_qcow_and_what_is_above_it_are_committed(bench: &Bench) {
    for below in bench.share(["qcow", "qcow2", "raw", "qed"]) {
        for words in [["commit", "image"].as_slice(), &["commit", "-d", "image"]] {
            let what = format!("{words:?} into {below}");
            let pair = Pair::new(bench, &|bench| {
                disk::usual(&bench.path("disk.raw"));
                bench.qemu(["convert", "-f", "raw", "-O", below, "disk.raw", "base"]).succeeds();
                bench.qemu(["create", "-q", "-f", "qcow", "-b", "base", "-F", below, "image"]).succeeds();
                let commands =
                    ["write -P 7 64k 70k", "write -z 200k 500k", "write -c -P 9 1M 512", "write -P 9 2M 2k"];
                variant::io_as(bench, "qcow", "image", &commands);
                bench.qemu(["convert", "-f", "qcow", "-O", "raw", "image", "before.raw"]).succeeds();
            });
            assert!(pair.agree(words), "{what}");
            for bench in [&pair.theirs, &pair.ours] {
                for (image, format) in [("image", "qcow"), ("base", below)] {
                    bench.qemu(["convert", "-f", format, "-O", "raw", image, "after.raw"]).succeeds();
                    same_bytes(bench, "before.raw", "after.raw", &what);
                }
            }
            let length = |bench: &Bench| fs::metadata(bench.path("image")).unwrap().len();
            assert_eq!(length(&pair.theirs), length(&pair.ours), "{what}");
        }
    }
}

fn a_larger_qcow_is_not_committed_into_a_smaller_one(bench: &Bench) {
    let pair = Pair::new(bench, &|bench| {
        bench.qemu(["create", "-q", "-f", "qcow", "base", "1M"]).succeeds();
        bench.qemu(["create", "-q", "-f", "qcow", "-b", "base", "-F", "qcow", "image", "3M"]).succeeds();
        variant::io_as(bench, "qcow", "image", &["write -P 7 64k 70k"]);
    });
    let before = fs::read(pair.ours.path("base")).unwrap();
    let words = ["commit", "image"];
    assert_eq!(pair.ours.instar(words).code(), pair.theirs.qemu(words).code());
    assert!(fs::read(pair.ours.path("base")).unwrap() == before);
}

fn a_chain_of_qcow_follows_the_rules_for_names(bench: &Bench) {
    fs::create_dir(bench.path("elsewhere")).unwrap();
    fs::create_dir(bench.path("in")).unwrap();
    disk::usual(&bench.path("elsewhere/base.raw"));
    bench
        .qemu(["create", "-q", "-f", "qcow", "-b", "../elsewhere/base.raw", "-F", "raw", "in/image"])
        .succeeds();
    bench.instar(["convert", "-O", "raw", "in/image", "out"]).fails_with("no rule lets it open");
    bench.instar(["convert", "--allow-dir", "elsewhere", "-O", "raw", "in/image", "out"]).succeeds();
    same_bytes(bench, "elsewhere/base.raw", "out", "allowed");
    // The format is not remembered: the layer is probed.
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "elsewhere/base.raw", "in/base"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow", "-b", "base", "-F", "qcow2", "in/image"]).succeeds();
    same_outcome(bench, &["compare", "-F", "raw", "in/image", "elsewhere/base.raw"], "probed");
}

fn an_encrypted_qcow_is_read_and_made_with_its_key(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "base"]).succeeds();
    let convert = |options: &str| {
        let made = "encrypt.format=aes,encrypt.key-secret=s";
        words(&format!("convert $S -f raw -O qcow {options} -o {made} disk.raw image"))
    };
    for options in ["", "-S 0", "-B base -F qcow2"].map(convert) {
        let options: Vec<&String> = options.iter().filter(|word| !word.is_empty()).collect();
        for ours in [false, true] {
            let made = if ours {
                bench.instar(&options)
            } else {
                bench.qemu(&options)
            };
            made.succeeds();
            let opened = "driver=qcow,encrypt.key-secret=s,file.filename=image";
            let read = |out| words(&format!("convert $S --image-opts {opened} -O raw {out}"));
            bench.qemu(read("theirs")).succeeds();
            bench.instar(read("ours")).succeeds();
            same_bytes(bench, "disk.raw", "theirs", "as the reference reads it");
            same_bytes(bench, "disk.raw", "ours", "as we read it");
            for line in [
                "info image",
                "info --output=json image",
                "map image",
                "map --output=json $S --image-opts driver=qcow,encrypt.key-secret=s,file.filename=image",
                "convert -O raw image out",
                "convert $S --image-opts driver=qcow,encrypt.format=luks,encrypt.key-secret=s,file.filename=image out",
                "convert $S --image-opts driver=qcow,encrypt.key-secret=nobody,file.filename=image out",
                "convert -c -O qcow $S -o encrypt.format=aes,encrypt.key-secret=s disk.raw out",
            ] {
                let words = words(line);
                same_outcome(bench, &words, line);
            }
        }
    }
    // It is not written to.
    let before = fs::read(bench.path("image")).unwrap();
    let line = words(
        "convert -n -f raw $S --target-image-opts disk.raw driver=qcow,encrypt.key-secret=s,file.filename=image",
    );
    let ours = bench.instar(&line);
    ours.fails_with("does not change encrypted images");
    assert!(fs::read(bench.path("image")).unwrap() == before);
    deviates("qcow-encrypted-existing", &bench.qemu(&line).code(), &ours.code());
}

fn streams_of_any_window_and_place_are_read(bench: &Bench) {
    let text = disk::text(0, 4096);
    let stream = instar_testkit::lay::cloop::zlib(&text);
    // Without what stands around it, of a window of 32 KiB.
    let stream = &stream[2..stream.len() - 4];
    for (at, spare) in [(3 * 4096, 0_u64), (3 * 4096 + 77, 0), (3 * 4096 + 511, 300)] {
        bench.qemu(["create", "-q", "-f", "qcow", "image", "64k"]).succeeds();
        let length = stream.len() as u64 + spare;
        Edited::open(&bench.path("image"))
            .put(48, &4096_u64.to_be_bytes())
            .put(4096, &[0; 4096])
            .put(4096, &(1 << 63 | length << 51 | at).to_be_bytes())
            .put(at, stream)
            .length(at + length);
        bench.qemu(["convert", "-f", "qcow", "-O", "raw", "image", "theirs"]).succeeds();
        bench.instar(["convert", "-f", "qcow", "-O", "raw", "image", "ours"]).succeeds();
        same_bytes(bench, "theirs", "ours", "a stream");
        assert!(fs::read(bench.path("ours")).unwrap().starts_with(&text));
    }
}
