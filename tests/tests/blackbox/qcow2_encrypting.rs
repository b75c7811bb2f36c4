//! Encrypted qcow2 images that instar makes, beside qemu-img: methods, variants, messages.

use std::fs;

use instar_tests::compare::{same_bytes, same_outcome};
use instar_tests::disk::Piece;
use instar_tests::ledger::deviates;
use instar_tests::sealed::{self, AES, LUKS, METHODS, words};
use instar_tests::{Bench, Outcome, Pair, both_sandboxes, disk};

both_sandboxes!(
    a_new_image_is_refused_in_the_words_of_the_reference,
    a_new_image_is_empty_and_takes_data,
    a_simple_new_image_is_the_references,
    a_new_image_in_front_of_another_shows_it,
    what_is_reserved_reads_as_zeros,
    every_cipher_is_written,
    what_is_converted_is_the_disk,
    sources_of_every_kind_are_encrypted,
    converting_is_refused_in_the_words_of_the_reference,
    an_existing_image_is_overwritten_in_place,
    keys_are_not_made_twice,
);

const VARIANTS: &[&str] = &[
    "cluster_size=64k",
    "compat=0.10",
    "cluster_size=512",
    "cluster_size=2M",
    "extended_l2=on,cluster_size=128k",
    "refcount_bits=1",
    "lazy_refcounts=on",
    "data_file=data",
    "data_file=data,data_file_raw=on",
    "preallocation=metadata",
    "preallocation=metadata,compat=0.10",
    "preallocation=metadata,extended_l2=on",
    "preallocation=full",
    "preallocation=falloc,cluster_size=4k",
    "data_file=data,preallocation=metadata",
];

/// What is refused, and what is made after all.
const CREATE: &[&str] = &[
    "create -f qcow2 -o encrypt.format=luks image 1M",
    "create -f qcow2 -o encrypt.format=luks,encrypt.key-secret=x image 1M",
    "create -f qcow2 -o encrypt.format=aes,encrypt.key-secret=x image 1M",
    "create -f qcow2 -o encryption=on image 1M",
    "create -f qcow2 $S -o encryption=on,encrypt.key-secret=x image 1M",
    "create -f qcow2 $S -o encryption=off,encrypt.key-secret=s image 1M",
    "create -f qcow2 $S -o encryption=x image 1M",
    "create -f qcow2 $S -o encryption=off,encrypt.format=luks image 1M",
    "create -f qcow2 $S -o encryption=on,encrypt.format=luks,encrypt.key-secret=s image 1M",
    "create -f qcow2 $S -o encrypt.key-secret=s image 1M",
    "create -f qcow2 $S -o encrypt.cipher-alg=aes-256 image 1M",
    "create -f qcow2 $S -o encrypt.format=foo,encrypt.key-secret=s image 1M",
    "create -f qcow2 $S -o encrypt.format=aes,encrypt.key-secret=s,encrypt.cipher-alg=aes-256 image 1M",
    "create -f qcow2 $S -o encryption=on,encrypt.iter-time=3,encrypt.key-secret=s image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,encrypt.cipher-alg=foo image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,encrypt.cipher-alg=3des image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,encrypt.cipher-alg=cast5-128 image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,encrypt.cipher-mode=foo image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,encrypt.ivgen-alg=foo image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,encrypt.ivgen-hash-alg=foo image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,encrypt.hash-alg=foo image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=x image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=18446744073709551615 image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,encrypt.detached-header=on image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.foo=1 image 1M",
    "create -f qcow2 -o encrypt.format=luks,refcount_bits=3 image 1M",
    "create -f qcow2 -o encrypt.format=luks,preallocation=x image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.cipher-alg=foo,compat=9 image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.cipher-alg=foo,preallocation=x image 1M",
    "create -f qcow2 --object secret,id=s,data=//79,format=base64 -o encrypt.format=luks,encrypt.key-secret=s image 1M",
    "create -f qcow2 $S -o encryption=off image 1M",
    "create -f qcow2 $S -o encryption=on,encrypt.key-secret=s image 1M",
    "create -f qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=0,encrypt.hash-alg=sha1 image 1M",
    "create -q -f qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=0,cluster_size=2M image 3M",
];

fn a_new_image_is_refused_in_the_words_of_the_reference(bench: &Bench) {
    let pair = Pair::new(bench, &|_| {});
    let done = CREATE.iter().filter(|line| pair.agree(&words(line))).count();
    assert_eq!(done, 4);
}

/// Both programs find the same disk in `image`, which qemu-img finds sound.
#[track_caller]
fn is_sound(bench: &Bench, mark: &str, what: &str) {
    let checked = bench.qemu(words(&format!("check $S --image-opts {mark}image")));
    assert!(checked.stderr.is_empty(), "{what}: {checked}");
    checked.succeeds();
    let convert = |out| words(&format!("convert $S --image-opts {mark}image -O raw {out}"));
    bench.qemu(convert("theirs")).succeeds();
    bench.instar(convert("ours")).succeeds();
    same_bytes(bench, "theirs", "ours", what);
}

fn a_new_image_is_empty_and_takes_data(bench: &Bench) {
    for (method, mark) in METHODS {
        for variant in VARIANTS {
            let what = format!("{method},{variant}");
            let create = |name| {
                words(&format!("create -q $S -f qcow2 -o {method},encrypt.key-secret=s,{variant} {name} 3M"))
            };
            bench.instar(create("image")).succeeds();
            same_outcome(bench, &["info", "--output=json", "image"], &what);
            same_outcome(bench, &["info", "image"], &what);
            is_sound(bench, mark, &what);
            // What version 2 reserves, and what a raw data file has, decrypts to noise: no flag says that it is zero.
            if !what.contains("metadata,compat=0.10") {
                let zeros = fs::read(bench.path("theirs")).unwrap();
                assert!(zeros == vec![0; 3 << 20], "{what}");
            }
            sealed::io(bench, mark, &["write -P 7 100k 70k", "write -z 1M 64k", "write -P 8 2M 512"]);
            is_sound(bench, mark, &what);
        }
    }
}

/// All but the LUKS header and its clusters, which hold what no two have in common.
fn a_simple_new_image_is_the_references(bench: &Bench) {
    for (method, _) in METHODS {
        for variant in
            ["cluster_size=64k", "compat=0.10", "cluster_size=1M,refcount_bits=8", "data_file=data"]
        {
            let create = |name| {
                let line =
                    format!("create -q $S -f qcow2 -o encrypt.key-secret=s,{method},{variant} {name} 3M");
                words(&line)
            };
            bench.qemu(create("theirs")).succeeds();
            bench.instar(create("ours")).succeeds();
            let cluster = if variant.contains("1M") { 1 << 20 } else { 65536 };
            let [theirs, ours] = ["theirs", "ours"].map(|name| fs::read(bench.path(name)).unwrap());
            assert_eq!(theirs.len(), ours.len(), "{method},{variant}");
            let front = (4 * cluster).min(theirs.len());
            assert!(theirs[..front] == ours[..front], "{method},{variant}");
        }
    }
}

fn a_new_image_in_front_of_another_shows_it(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for (method, mark) in METHODS {
        bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "base"]).succeeds();
        let line = format!("create $S -f qcow2 -o {method},encrypt.key-secret=s -b base -F qcow2 image");
        let made = bench.instar(words(&line));
        let printed = made.succeeds().text();
        assert!(printed.contains("backing_file=base"), "{made}");
        is_sound(bench, mark, method);
        same_bytes(bench, "disk.raw", "theirs", method);
        sealed::io(bench, mark, &["write -P 7 100k 70k", "write -z 1M 64k"]);
        is_sound(bench, mark, method);
    }
}

/// Places that qemu-img reserves for encrypted data read as noise.
fn what_is_reserved_reads_as_zeros(bench: &Bench) {
    let create = words(&format!(
        "create -q $S -f qcow2 -o {LUKS},encrypt.key-secret=s,preallocation=metadata image 1M"
    ));
    let read = |bench: &Bench| {
        bench.qemu(words("convert $S --image-opts $Limage -O raw out")).succeeds();
        fs::read(bench.path("out")).unwrap().iter().all(|byte| *byte == 0)
    };
    bench.qemu(&create).succeeds();
    let theirs = read(bench);
    bench.instar(&create).succeeds();
    let ours = read(bench);
    assert!(ours);
    deviates("encrypted-preallocation", &theirs, &ours);
}

fn every_cipher_is_written(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for options in [
        "cipher-alg=aes-128,encrypt.hash-alg=sha1",
        "cipher-alg=aes-256,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv",
        "cipher-alg=serpent-256,encrypt.cipher-mode=cbc,encrypt.ivgen-alg=essiv,encrypt.ivgen-hash-alg=sha256",
        "cipher-alg=twofish-192,encrypt.ivgen-alg=plain,encrypt.hash-alg=sha512",
        "cipher-alg=cast5-128,encrypt.cipher-mode=ctr,encrypt.hash-alg=ripemd160",
        "cipher-alg=aes-192,encrypt.hash-alg=sm3",
    ] {
        let line = format!(
            "convert $S -f raw -O qcow2 -o {LUKS},encrypt.key-secret=s,encrypt.{options} disk.raw image"
        );
        bench.instar(words(&line)).succeeds();
        is_sound(bench, "$L", options);
        same_bytes(bench, "disk.raw", "theirs", options);
        same_outcome(bench, &["info", "image"], options);
    }
}

fn what_is_converted_is_the_disk(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for (method, mark) in METHODS {
        for variant in VARIANTS {
            let what = format!("{method},{variant}");
            let line = format!(
                "convert $S -f raw -O qcow2 -o {method},encrypt.key-secret=s,{variant} disk.raw image"
            );
            bench.instar(words(&line)).succeeds();
            is_sound(bench, mark, &what);
            same_bytes(bench, "disk.raw", "theirs", &what);
            // A raw data file gets longer by zeros, which are none on the disk.
            if variant.contains("data_file_raw") {
                continue;
            }
            bench.qemu(words(&format!("resize -q $S --image-opts {mark}image +200k"))).succeeds();
            is_sound(bench, mark, &what);
            let longer = fs::read(bench.path("theirs")).unwrap();
            let size = fs::metadata(bench.path("disk.raw")).unwrap().len() as usize;
            assert!(longer[size..].iter().all(|byte| *byte == 0), "{what}: what is behind the end");
        }
    }
}

fn sources_of_every_kind_are_encrypted(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "-c", "disk.raw", "packed"]).succeeds();
    bench.qemu(["convert", "-f", "raw", "-O", "vmdk", "disk.raw", "grains"]).succeeds();
    let luks = "convert $S -f raw -O luks -o key-secret=t,iter-time=10 disk.raw luks";
    bench.qemu(words(luks)).succeeds();
    let other = format!("convert $S -f raw -O qcow2 -o {LUKS},encrypt.key-secret=t disk.raw other");
    bench.qemu(words(&other)).succeeds();
    for source in [
        "driver=qcow2,file.filename=packed",
        "driver=vmdk,file.filename=grains",
        "driver=luks,key-secret=t,file.filename=luks",
        "driver=qcow2,encrypt.format=luks,encrypt.key-secret=t,file.filename=other",
    ] {
        for (method, mark) in METHODS {
            let line =
                format!("convert $S --image-opts {source} -O qcow2 -o {method},encrypt.key-secret=s image");
            bench.instar(words(&line)).succeeds();
            is_sound(bench, mark, source);
            same_bytes(bench, "disk.raw", "theirs", source);
            let line = format!("dd $S --image-opts if={source} of=part -O raw bs=64k skip=3 count=20");
            bench.instar(words(&line)).succeeds();
        }
    }
    // Over a layer that has what the source has.
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "base"]).succeeds();
    for (method, mark) in METHODS {
        let line = format!(
            "convert $S -f raw -O qcow2 -B base -F qcow2 -o {method},encrypt.key-secret=s disk.raw image"
        );
        bench.instar(words(&line)).succeeds();
        is_sound(bench, mark, method);
        same_bytes(bench, "disk.raw", "theirs", method);
    }
}

const CONVERT: &[&str] = &[
    "convert -f raw -O qcow2 -o encrypt.format=luks disk.raw image",
    "convert -f raw -O qcow2 -o encrypt.format=luks,encrypt.key-secret=s disk.raw image",
    "convert -f raw -O qcow2 -o encryption=on disk.raw image",
    "convert -f raw -O qcow2 -o encrypt.key-secret=s disk.raw image",
    "convert -f raw -c -O qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s disk.raw image",
    "convert -f raw -c -O qcow2 -o encryption=on disk.raw image",
    "convert -f raw -n -O qcow2 disk.raw luks",
    "convert -f raw -n $S --target-image-opts disk.raw driver=qcow2,file.filename=luks",
    "convert -f raw -n $S --target-image-opts disk.raw driver=qcow2,encrypt.key-secret=t,file.filename=luks",
    "convert -f raw -n $S --target-image-opts disk.raw driver=qcow2,encrypt.key-secret=u,file.filename=luks",
    "convert -f raw -n $S --target-image-opts disk.raw $Aluks",
    "convert -f raw -n $S --target-image-opts disk.raw $Laes",
    "convert -f raw -n $S --target-image-opts disk.raw $Lplain",
    "measure -O qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s disk.raw",
    "measure -O qcow2 $S -o encrypt.format=luks,encrypt.key-secret=s,cluster_size=4k --size 10M",
    "measure -O qcow2 -o encrypt.format=luks --size 10M",
    "measure -O qcow2 -o encrypt.format=aes --size 10M",
    "measure -O qcow2 $S --image-opts $Lluks",
];

fn converting_is_refused_in_the_words_of_the_reference(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for (name, options) in [("luks", LUKS), ("aes", AES)] {
        let line = format!("convert $S -f raw -O qcow2 -o {options},encrypt.key-secret=s disk.raw {name}");
        bench.qemu(words(&line)).succeeds();
    }
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "plain"]).succeeds();
    for line in CONVERT {
        let words = words(line);
        same_outcome(bench, &words, line);
    }
    // Compressed clusters are not encrypted.
    let line = format!("create -q $S -f qcow2 -o {LUKS},encrypt.key-secret=s empty 8M");
    bench.qemu(words(&line)).succeeds();
    let line = words("convert -f raw -n -c $S --target-image-opts disk.raw $Lempty");
    let ours = bench.instar(&line);
    ours.fails_with("Compression not supported for this file format");
    bench.qemu(&line);
    let mapped = bench.qemu(words("map --output=json $S --image-opts $Lempty"));
    let plain = mapped.succeeds().text().contains("\"compressed\": true");
    deviates("compressed-beside-encrypted", &plain, &false);
}

fn an_existing_image_is_overwritten_in_place(bench: &Bench) {
    disk::usual(&bench.path("old.raw"));
    // It ends within a cluster, and before the old one does.
    let size = 2_500_096;
    disk::make(
        &bench.path("disk.raw"),
        size,
        &[
            Piece::Data(0, 69_632, 9),
            Piece::Text(300 << 10, 100 << 10),
            Piece::Data(1 << 20, 300 << 10, 9),
            Piece::Data(size - 1536, 1536, 9),
        ],
    );
    for (method, mark) in METHODS {
        for variant in VARIANTS {
            let what = format!("{method},{variant}");
            let line = format!(
                "convert $S -f raw -O qcow2 -o {method},encrypt.key-secret=s,{variant} old.raw image"
            );
            bench.qemu(words(&line)).succeeds();
            let snapshot = !variant.contains("data_file") && !variant.contains("refcount_bits=1");
            if snapshot {
                bench.qemu(words(&format!("snapshot -c before $S --image-opts {mark}image"))).succeeds();
            }
            let convert = format!("convert -f raw -n $S --target-image-opts disk.raw {mark}image");
            bench.instar(words(&convert)).succeeds();
            is_sound(bench, mark, &what);
            let found = fs::read(bench.path("theirs")).unwrap();
            let wanted = fs::read(bench.path("disk.raw")).unwrap();
            assert!(found[..wanted.len()] == wanted, "{what}");
            if snapshot {
                let line = format!("convert -l before $S --image-opts {mark}image -O raw snapshot");
                bench.qemu(words(&line)).succeeds();
                let snapshot = fs::read(bench.path("snapshot")).unwrap();
                let old = fs::read(bench.path("old.raw")).unwrap();
                let both = snapshot.len().min(old.len());
                assert!(snapshot[..both] == old[..both], "{what}: the snapshot");
            }
        }
    }
}

/// Neither the seed for tests nor anything else of the command makes two images with one key.
fn keys_are_not_made_twice(bench: &Bench) {
    let mut made = Vec::new();
    for name in ["one", "two"] {
        let line = words(&format!("create -q -f qcow2 $S -o {LUKS},encrypt.key-secret=s {name} 1M"));
        let mut command = bench.command(line);
        Outcome::of(command.env("INSTAR_SEED", "seed")).succeeds();
        made.push(fs::read(bench.path(name)).unwrap());
    }
    // The digest of the key, and its salt.
    let digest = 4 * 65536 + 112..4 * 65536 + 164;
    assert!(made[0][digest.clone()] != made[1][digest]);
}
