//! LUKS disks whose header is a file of its own, beside qemu-img and cryptsetup.

use std::fs;
use std::process::Command;

use instar_tests::compare::{agree, same_bytes, same_outcome};
use instar_tests::ledger::{self, deviates};
use instar_tests::sealed::{OPTIONS, SECRET};
use instar_tests::{Bench, Reference, both_sandboxes, disk};

/// The options that open `data` by `header`.
const BOTH: &str = "driver=luks,key-secret=s,file.filename=data,header.filename=header";

/// The words of a line; `$S` is the secret, `$D` the disk, `$F` its file and `$H` its header alone.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in line.split(' ') {
        match word {
            "$S" => words.extend(["--object".to_owned(), SECRET.to_owned()]),
            _ => words.push(
                word.replace("$D", BOTH)
                    .replace("$F", "driver=luks,key-secret=s,file.filename=data")
                    .replace("$H", "driver=luks,key-secret=s,file.filename=header"),
            ),
        }
    }
    words
}

/// `disk.raw`, and a disk that qemu-img made of it, cut where its header ends; the header says that nothing is behind it.
fn cut(bench: &Bench, options: &str) {
    disk::usual(&bench.path("disk.raw"));
    let options = format!("{OPTIONS}{options}");
    bench
        .qemu(["convert", "--object", SECRET, "-f", "raw", "-O", "luks", "-o", &options, "disk.raw", "image"])
        .succeeds();
    let mut header = fs::read(bench.path("image")).unwrap();
    let sectors = u32::from_be_bytes(*header[104..].first_chunk().unwrap());
    let data = header.split_off(sectors as usize * 512);
    header[104..108].fill(0);
    fs::write(bench.path("header"), header).unwrap();
    fs::write(bench.path("data"), data).unwrap();
    fs::remove_file(bench.path("image")).unwrap();
}

both_sandboxes!(
    a_disk_is_read_by_a_header_of_its_own,
    it_is_described_as_by_the_reference,
    header_and_disk_are_named_as_for_the_reference,
    a_disk_with_a_detached_header_is_not_changed,
    headers_of_cryptsetup_are_read,
    a_header_that_lies_is_refused,
);

fn a_disk_is_read_by_a_header_of_its_own(bench: &Bench) {
    for options in ["", ",cipher-alg=serpent-256,cipher-mode=cbc,ivgen-alg=essiv"] {
        let bench = &Bench::new(bench.sandbox());
        cut(bench, options);
        bench.qemu(words("convert $S --image-opts $D -O raw theirs")).succeeds();
        bench.instar(words("convert $S --image-opts $D -O raw ours")).succeeds();
        same_bytes(bench, "theirs", "ours", options);
        same_bytes(bench, "disk.raw", "ours", options);
        let window = "bs=1000 skip=70 count=79";
        bench.qemu(words(&format!("dd -f raw if=disk.raw of=their-window {window}"))).succeeds();
        bench.instar(words(&format!("dd $S --image-opts if=$D of=our-window {window}"))).succeeds();
        same_bytes(bench, "their-window", "our-window", options);
        for line in [
            "map --output=json $S --image-opts $D",
            "measure -O raw $S --image-opts $D",
            "measure -O qcow2 $S --image-opts $D",
            "check $S --image-opts $D",
            "compare $S --image-opts $D driver=raw,file.filename=disk.raw",
            "snapshot -l $S --image-opts $D",
            "convert $S --image-opts driver=luks,file.filename=data,header.filename=header -O raw out",
        ] {
            let words = words(line);
            same_outcome(bench, &words, options);
        }
        let wrong = "secret,id=s,data=wrong";
        same_outcome(
            bench,
            &["convert", "--object", wrong, "--image-opts", BOTH, "-O", "raw", "out"],
            options,
        );
    }
    ledger::compared("convert", &Reference::installed().series);
}

fn it_is_described_as_by_the_reference(bench: &Bench) {
    cut(bench, "");
    for line in [
        "info --image-opts driver=luks,file.filename=data,header.filename=header",
        "info --output=json --image-opts driver=luks,file.filename=data,header.filename=./header",
        "info $S --image-opts $D",
        "info --output=json $S --image-opts $D",
    ] {
        let words = words(line);
        agree(bench, &words, line);
    }
}

fn header_and_disk_are_named_as_for_the_reference(bench: &Bench) {
    cut(bench, "");
    for line in [
        "convert $S --image-opts $F -O raw out",
        "convert $S --image-opts $H -O raw out",
        "convert $S --image-opts $F,header.filename=nothing -O raw out",
        "convert $S --image-opts driver=luks,key-secret=s,file.filename=nothing,header.filename=no -O raw out",
        "convert $S --image-opts $F,header.filename=data -O raw out",
        "convert $S --image-opts $F,header=header -O raw out",
        "convert $S --image-opts $F,header.foo=1 -O raw out",
        "convert $S --image-opts $F,header.file.filename=header -O raw out",
        "convert $S --image-opts $F,header.driver=qcow2,header.filename=header -O raw out",
        "convert $S --image-opts $F,header.driver=file,header.filename=header,header.foo=1 -O raw out",
        "convert $S --image-opts driver=raw,file.filename=data,header.filename=header -O raw out",
    ] {
        let words = words(line);
        same_outcome(bench, &words, line);
        assert!(!bench.path("out").exists(), "{line}");
    }
    for (name, options) in [
        ("raw", "$F,header.driver=raw,header.file.filename=header"),
        ("file", "$F,header.driver=file,header.filename=header,header.cache.direct=off"),
        (
            "json",
            "json:{\"driver\":\"luks\",\"key-secret\":\"s\",\"file\":{\"driver\":\"file\",\"filename\":\"data\"},\"header\":{\"driver\":\"file\",\"filename\":\"header\"}}",
        ),
    ] {
        let opts = if name == "json" { "" } else { "--image-opts " };
        for run in [true, false] {
            let line = words(&format!("convert $S {opts}{options} -O raw {name}-{run}"));
            if run { bench.qemu(line) } else { bench.instar(line) }.succeeds();
        }
        same_bytes(bench, "disk.raw", &format!("{name}-false"), name);
    }
}

/// The reference writes to the disk, and to the key slots.
fn a_disk_with_a_detached_header_is_not_changed(bench: &Bench) {
    cut(bench, "");
    let before = ["data", "header"].map(|name| fs::read(bench.path(name)).unwrap());
    for line in [
        "resize $S --image-opts $D 8M",
        "convert -n -f raw $S disk.raw --target-image-opts $D",
        "amend --object secret,id=n,data=new $S --image-opts -o state=active,new-secret=n,iter-time=10 $D",
        "bench -w -c 1 $S --image-opts $D",
    ] {
        let ours = bench.instar(words(line));
        ours.fails_with("a disk with a detached header can be read but not changed");
        assert_eq!(["data", "header"].map(|name| fs::read(bench.path(name)).unwrap()), before, "{line}");
        let scratch = Bench::new(bench.sandbox());
        for name in bench.names() {
            fs::copy(bench.path(&name), scratch.path(&name)).unwrap();
        }
        // Before 11.1, bench takes no secrets.
        if !line.starts_with("bench") {
            deviates("luks-detached-changes", &scratch.qemu(words(line)).code(), &ours.code());
        }
    }
    bench.instar(words("convert $S --image-opts $D -O raw data")).fails();
    bench.instar(words("convert $S --image-opts $D -O raw header")).fails();
    assert_eq!(["data", "header"].map(|name| fs::read(bench.path(name)).unwrap()), before);
}

/// Version 1 and 2, with a disk that cryptsetup has not sealed: both programs must see the same in its bytes, and cryptsetup is the judge of
/// version 2 by the passphrase.
fn headers_of_cryptsetup_are_read(bench: &Bench) {
    fs::write(bench.path("key"), "correct horse").unwrap();
    for (kind, options) in [("luks1", "--pbkdf-force-iterations=1000"), ("luks2", "--pbkdf-memory=32")] {
        disk::usual(&bench.path("data"));
        let _ = fs::remove_file(bench.path("header"));
        fs::write(bench.path("header"), vec![0; 16 << 20]).unwrap();
        let more: &[&str] = match kind {
            "luks2" => &["--pbkdf=argon2id", "--pbkdf-force-iterations=4", "--pbkdf-parallel=1"],
            _ => &[],
        };
        let made = Command::new("cryptsetup")
            .args(["luksFormat", "-q", "--type", kind, "--header", "header", "--key-file", "key", options])
            .args(more)
            .arg("data")
            .current_dir(bench.directory())
            .output();
        match made {
            Ok(made) => assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr)),
            Err(_) => {
                ledger::skip("no headers by cryptsetup: install the package cryptsetup-bin");
                return;
            }
        }
        let ours = bench.instar(words("convert $S --image-opts $D -O raw ours"));
        ours.succeeds();
        if kind == "luks1" {
            bench.qemu(words("convert $S --image-opts $D -O raw theirs")).succeeds();
            same_bytes(bench, "theirs", "ours", kind);
        }
        assert_eq!(fs::metadata(bench.path("ours")).unwrap().len() % 512, 0);
        let wrong = bench.instar([
            "convert",
            "--object",
            "secret,id=s,data=x",
            "--image-opts",
            BOTH,
            "-O",
            "raw",
            "out",
        ]);
        wrong.fails_with("Invalid password");
    }
}

fn a_header_that_lies_is_refused(bench: &Bench) {
    cut(bench, "");
    let sound = fs::read(bench.path("header")).unwrap();
    let same = |what: &str, header: &[u8]| {
        fs::write(bench.path("header"), header).unwrap();
        let words = words("convert $S --image-opts $D -O raw out");
        let outcome = same_outcome(bench, &words, what);
        assert_ne!(outcome.code(), Some(0), "{what}");
    };
    for (what, at, value) in [
        ("magic", 0, &[0_u8][..]),
        ("payload behind the disk", 104, &[0, 1, 0, 0]),
        ("material in the header", 208 + 40, &[0, 0, 0, 1]),
        ("stripes", 208 + 44, &[0, 0, 0, 1]),
        ("no active slot", 208, &[0, 0, 0xde, 0xad]),
    ] {
        let mut lie = sound.clone();
        lie[at..at + value.len()].copy_from_slice(value);
        same(what, &lie);
    }
    same("a header that is cut off", &sound[..592]);
    same("nothing", &[]);
}
