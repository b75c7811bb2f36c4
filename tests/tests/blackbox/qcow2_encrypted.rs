//! Encrypted qcow2 images as sources, beside qemu-img: methods, variants, chains, messages.

use std::fs;

use instar_tests::compare::{same_bytes, same_outcome};
use instar_tests::sealed::{self, AES, LUKS, words};
use instar_tests::{Bench, both_sandboxes};

#[track_caller]
fn agree(bench: &Bench, line: &str) {
    same_outcome(bench, &words(line), line);
}

both_sandboxes!(
    every_method_is_read_in_every_variant,
    looking_and_reading_say_what_the_reference_says,
    what_the_header_says_is_judged_as_the_reference_judges_it,
    each_layer_has_its_own_secret,
    a_snapshot_is_read_with_the_same_key,
    data_in_a_file_of_its_own_is_decrypted,
    preallocated_clusters_hold_what_they_decrypt_to,
);

fn every_method_is_read_in_every_variant(bench: &Bench) {
    for (method, mark) in [
        (LUKS, "$L"),
        (
            "encrypt.format=luks,encrypt.iter-time=10,encrypt.cipher-alg=serpent-256,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv",
            "$L",
        ),
        (
            "encrypt.format=luks,encrypt.iter-time=10,encrypt.cipher-alg=cast5-128,encrypt.cipher-mode=ctr,encrypt.hash-alg=sha1",
            "$L",
        ),
        (AES, "$A"),
    ] {
        let variants =
            ["cluster_size=64k", "compat=0.10", "cluster_size=512", "extended_l2=on,cluster_size=128k"];
        for variant in variants {
            let options = format!("{method},{variant}");
            sealed::qcow2(bench, &options);
            bench.instar(words(&format!("convert $S --image-opts {mark}image -O raw out"))).succeeds();
            same_bytes(bench, "disk.raw", "out", &options);
            agree(bench, &format!("map --output=json $S --image-opts {mark}image"));
            agree(bench, "info --output=json image");
            agree(bench, "info image");
        }
    }
}

const READING: &[&str] = &[
    "convert luks out",
    "convert aes out",
    "map luks",
    "compare luks aes",
    "dd if=luks of=out",
    "info luks",
    "info --output=json $S --image-opts $Lluks",
    "info --image-opts driver=qcow2,file.filename=luks,encrypt.format=luks",
    "info --image-opts driver=qcow2,file.filename=luks,encrypt.format=aes",
    "info --image-opts driver=qcow2,file.filename=aes,encrypt.format=foo",
    "info --image-opts driver=qcow2,file.filename=plain,encrypt.format=luks",
    "map $S --image-opts $Lluks",
    "map --output=json $S --image-opts $Aaes",
    "map --output=json $S --image-opts driver=qcow2,encrypt.key-secret=s,file.filename=luks",
    "check $S --image-opts $Lluks",
    "check $S --image-opts $Aluks",
    "check $S --image-opts driver=qcow2,encrypt.format=luks,encrypt.key-secret=u,file.filename=luks",
    "check $S --image-opts driver=qcow2,encrypt.format=luks,encrypt.key-secret=t,file.filename=luks",
    "measure -O raw luks",
    "measure -O raw $S --image-opts $Lluks",
    "compare $S --image-opts $Lluks $Aaes",
    "compare $S --image-opts $Lluks driver=raw,file.filename=disk.raw",
    "convert $S --image-opts $Aluks out",
    "convert $S --image-opts $Laes out",
    "convert $S --image-opts $Lplain out",
    "convert $S --image-opts driver=qcow2,encrypt.key-secret=s,file.filename=plain out",
    "convert $S --image-opts driver=qcow2,encrypt.format=luks,encrypt.key-secret=t,file.filename=luks out",
    "convert $S --image-opts driver=qcow2,encrypt.format=luks,encrypt.key-secret=u,file.filename=luks out",
    "convert $S --image-opts driver=qcow2,encrypt.format=luks,file.filename=luks out",
    "convert $S --image-opts driver=qcow2,encrypt.format=foo,encrypt.key-secret=s,file.filename=luks out",
    "convert --object secret,id=s,data=//79,format=base64 --image-opts $Lluks out",
];

fn looking_and_reading_say_what_the_reference_says(bench: &Bench) {
    for (options, name) in [(LUKS, "luks"), (AES, "aes")] {
        sealed::qcow2(bench, options);
        fs::rename(bench.path("image"), bench.path(name)).unwrap();
    }
    bench.qemu(["create", "-q", "-f", "qcow2", "plain", "1M"]).succeeds();
    for line in READING {
        agree(bench, line);
    }
    // The old method knows of no wrong passphrase: both read the same noise.
    let wrong = "driver=qcow2,encrypt.format=aes,encrypt.key-secret=t,file.filename=aes";
    bench.qemu(words(&format!("convert $S --image-opts {wrong} -O raw theirs"))).succeeds();
    bench.instar(words(&format!("convert $S --image-opts {wrong} -O raw ours"))).succeeds();
    same_bytes(bench, "theirs", "ours", wrong);
}

fn what_the_header_says_is_judged_as_the_reference_judges_it(bench: &Bench) {
    sealed::qcow2(bench, LUKS);
    let sound = fs::read(bench.path("image")).unwrap();
    let extension =
        sound.windows(8).position(|bytes| bytes == [0x05, 0x37, 0xbe, 0x77, 0, 0, 0, 16]).unwrap();
    let offset = u64::from_be_bytes(sound[extension + 8..extension + 16].try_into().unwrap());
    let luks = usize::try_from(offset).unwrap();
    let lies: [(usize, &[u8]); 13] = [
        (32, &1_u32.to_be_bytes()),
        (32, &3_u32.to_be_bytes()),
        (32, &0_u32.to_be_bytes()),
        (extension + 4, &15_u32.to_be_bytes()),
        (extension + 8, &(offset + 512).to_be_bytes()),
        (extension + 16, &591_u64.to_be_bytes()),
        (extension + 16, &4096_u64.to_be_bytes()),
        (luks, b"X"),
        (luks + 7, &[2]),
        (luks + 8, b"foo\0"),
        (luks + 104, &0_u32.to_be_bytes()),
        (luks + 211, &[0]),
        (luks + 248, &0_u32.to_be_bytes()),
    ];
    for (at, lie) in lies {
        let mut bytes = sound.clone();
        bytes[at..at + lie.len()].copy_from_slice(lie);
        fs::write(bench.path("image"), bytes).unwrap();
        for line in ["info image", "map $S --image-opts $Limage"] {
            agree(bench, line);
        }
    }
}

fn each_layer_has_its_own_secret(bench: &Bench) {
    sealed::qcow2(bench, LUKS);
    fs::rename(bench.path("image"), bench.path("base")).unwrap();
    let create = "create -q $S -f qcow2 -o encrypt.format=aes,encrypt.key-secret=t -b base -F qcow2 top";
    bench.qemu(words(create)).succeeds();
    let below = "backing.driver=qcow2,backing.encrypt.key-secret=s,backing.file.filename=base";
    let chain = format!("driver=qcow2,encrypt.key-secret=t,file.filename=top,{below}");
    let mut write = words(&format!("$S --image-opts {chain}"));
    write.extend(["-c", "write -P 9 70k 200k", "-c", "write -z 1M 64k"].map(str::to_owned));
    bench.qemu_io(write).succeeds();
    for (program, out) in [("theirs", "theirs.raw"), ("ours", "ours.raw")] {
        let line = words(&format!("convert $S --image-opts {chain} -O raw {out}"));
        if program == "theirs" {
            bench.qemu(line).succeeds();
        } else {
            bench.instar(line).succeeds();
        }
    }
    same_bytes(bench, "theirs.raw", "ours.raw", &chain);
    agree(bench, &format!("map --output=json $S --image-opts {chain}"));
    agree(bench, "map $S --image-opts driver=qcow2,encrypt.key-secret=t,file.filename=top");
    agree(bench, "info --backing-chain --output=json top");
    agree(bench, "create -f qcow2 -b base -F qcow2 another");
}

fn a_snapshot_is_read_with_the_same_key(bench: &Bench) {
    sealed::qcow2(bench, LUKS);
    bench.qemu(words("snapshot -c before $S --image-opts $Limage")).succeeds();
    sealed::io(bench, "$L", &["write -P 9 0 1M"]);
    bench.instar(words("convert -l before $S --image-opts $Limage -O raw out")).succeeds();
    same_bytes(bench, "disk.raw", "out", "the snapshot");
    bench.qemu(words("convert $S --image-opts $Limage -O raw theirs")).succeeds();
    bench.instar(words("convert $S --image-opts $Limage -O raw ours")).succeeds();
    same_bytes(bench, "theirs", "ours", "the active state");
}

fn data_in_a_file_of_its_own_is_decrypted(bench: &Bench) {
    for (method, mark) in [(LUKS, "$L"), (AES, "$A")] {
        sealed::qcow2(bench, &format!("{method},data_file=data"));
        bench.instar(words(&format!("convert $S --image-opts {mark}image -O raw out"))).succeeds();
        same_bytes(bench, "disk.raw", "out", method);
        agree(bench, &format!("map --output=json $S --image-opts {mark}image"));
    }
}

fn preallocated_clusters_hold_what_they_decrypt_to(bench: &Bench) {
    for (method, mark) in [(LUKS, "$L"), (AES, "$A")] {
        let create =
            format!("create -q -f qcow2 $S -o encrypt.key-secret=s,{method},preallocation=metadata image 3M");
        bench.qemu(words(&create)).succeeds();
        let convert = |out| words(&format!("convert $S --image-opts {mark}image -O raw {out}"));
        bench.qemu(convert("theirs")).succeeds();
        bench.instar(convert("ours")).succeeds();
        same_bytes(bench, "theirs", "ours", method);
        agree(bench, &format!("map --output=json $S --image-opts {mark}image"));
    }
}
