//! `--failure`: the kind of a failure, for programs. It changes neither the words for people nor the exit code.

use std::fs;

use instar_tests::holder::Holder;
use instar_tests::{Bench, both_sandboxes};
use serde_json::{Value, json};

/// Fails with these words, and says this of it.
fn fails(bench: &Bench, words: &[&str], cause: &str, errno: Option<i32>) {
    let plain = bench.instar(words);
    let told = bench.instar(["--failure=json:1"].iter().chain(words));
    assert_ne!(plain.code(), Some(0), "{words:?}: {plain}");
    assert_eq!((plain.code(), plain.errors()), (told.code(), told.errors()), "{words:?}");
    let said = told.text();
    let said = said.strip_prefix(plain.text().as_str()).unwrap();
    let line: Value = serde_json::from_str(said).unwrap_or_else(|error| panic!("{words:?}: {error}: {told}"));
    assert_eq!(line, json!({"cause": cause, "errno": errno}), "{words:?}: {told}");
}

fn each_kind_of_failure_has_a_word(bench: &Bench) {
    const ENOENT: i32 = 2;
    fs::write(bench.path("disk.raw"), [7; 4096]).unwrap();
    bench.qemu("convert -f raw -O qcow2 disk.raw image".split(' ')).succeeds();
    bench.qemu("create -q -f qcow2 -b disk.raw -F raw over".split(' ')).succeeds();
    bench.qemu("create -q -f qcow2 -u -b absent -F raw lost 1M".split(' ')).succeeds();
    bench.qemu("create -q -f qcow2 -u -b /etc/passwd -F raw thief 1M".split(' ')).succeeds();
    bench.qemu("create -q -f qcow2 large 2T".split(' ')).succeeds();
    let mut broken = fs::read(bench.path("image")).unwrap();
    broken[23] = 63;
    fs::write(bench.path("broken"), broken).unwrap();
    let cases: &[(&str, &str, Option<i32>)] = &[
        ("nonsense", "arguments", None),
        ("info", "arguments", None),
        ("info --nonsense image", "arguments", None),
        ("info --sandbox=none image", "arguments", None),
        ("info -f nonsense image", "arguments", None),
        ("convert -O qcow2 -o cluster_size=3 disk.raw out", "arguments", None),
        ("convert -O raw -c disk.raw out", "arguments", None),
        ("convert -l none image out", "arguments", None),
        ("create -f qcow2 out", "arguments", None),
        ("create -f vmdk -o subformat=nonsense out 1M", "arguments", None),
        ("check -f raw disk.raw", "arguments", None),
        ("resize image 512", "arguments", None),
        ("bitmap --remove image none", "arguments", None),
        ("amend -o compat=3 image", "arguments", None),
        ("commit image", "arguments", None),
        ("compare -f nonsense image image", "arguments", None),
        ("info absent", "system", Some(ENOENT)),
        ("convert absent out", "system", Some(ENOENT)),
        ("convert disk.raw absent/out", "system", Some(ENOENT)),
        ("create -f qcow2 -b absent -F raw out", "system", Some(ENOENT)),
        ("check absent", "system", Some(ENOENT)),
        ("compare image absent", "system", Some(ENOENT)),
        ("trust absent", "system", Some(ENOENT)),
        ("rebase -b absent -F raw over", "system", Some(ENOENT)),
        ("convert lost out", "system", Some(ENOENT)),
        ("info broken", "image", None),
        ("convert broken out", "image", None),
        ("check broken", "image", None),
        ("compare image broken", "image", None),
        ("resize broken +1M", "image", None),
        ("info -f vmdk image", "image", None),
        ("convert thief out", "refused", None),
        ("convert --untrusted over out", "refused", None),
        ("commit thief", "refused", None),
        ("map --untrusted large", "refused", None),
        ("convert --max-output=1k disk.raw out", "refused", None),
    ];
    for (words, cause, errno) in cases {
        let words: Vec<&str> = words.split(' ').collect();
        fails(bench, &words, cause, *errno);
    }
}

fn an_image_in_use_is_busy(bench: &Bench) {
    bench.qemu("create -q -f qcow2 image 1M".split(' ')).succeeds();
    let _holder = Holder::of(bench, "qcow2", "image");
    for words in ["info image", "convert image out", "resize image 2M"] {
        let words: Vec<&str> = words.split(' ').collect();
        fails(bench, &words, "busy", None);
    }
}

fn a_run_that_takes_too_long_says_so(bench: &Bench) {
    fs::write(bench.path("disk.raw"), vec![7; 8 << 20]).unwrap();
    let words = ["--timeout=0.3", "convert", "-r", "64k", "-O", "qcow2", "disk.raw", "out"];
    fails(bench, &words, "timed-out", None);
}

fn nothing_is_said_of_what_does_not_fail(bench: &Bench) {
    fs::write(bench.path("a.raw"), [7; 4096]).unwrap();
    fs::write(bench.path("b.raw"), [8; 4096]).unwrap();
    for (words, code) in [
        ("convert --failure=json:2 a.raw out", 0),
        ("info --help --failure=json:2", 0),
        ("compare --failure=json:2 a.raw b.raw", 1),
    ] {
        let outcome = bench.instar(words.split(' '));
        assert_eq!((outcome.code(), outcome.errors().as_str()), (Some(code), ""), "{words}");
    }
}

fn the_descriptor_has_to_be_open(bench: &Bench) {
    for (word, said) in [
        ("--failure=json:99", "cannot write to descriptor 99"),
        ("--failure=json", "--failure expects json:N"),
        ("--failure=text", "--failure expects json:N"),
        ("--failure=json:-1", "--failure expects json:N"),
    ] {
        bench.instar(["info", word, "image"]).fails_with(said);
    }
}

both_sandboxes! {
    each_kind_of_failure_has_a_word,
    an_image_in_use_is_busy,
    a_run_that_takes_too_long_says_so,
    nothing_is_said_of_what_does_not_fail,
    the_descriptor_has_to_be_open,
}
