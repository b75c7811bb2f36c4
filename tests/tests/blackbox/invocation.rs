//! Ways to call instar: as qemu-img, without arguments, with abbreviations, for help.

use std::os::unix::fs::symlink;
use std::process::Command;

use instar_tests::{Bench, Outcome, Sandbox, both_sandboxes, disk, instar_path, ledger};

/// instar through a link named `qemu-img`.
fn as_qemu_img(bench: &Bench, words: &[&str]) -> Outcome {
    let link = bench.path("qemu-img");
    if !link.exists() {
        symlink(instar_path(), &link).unwrap();
    }
    Outcome::of(
        Command::new(link)
            .current_dir(bench.directory())
            .env("LC_ALL", "C")
            .env("HOME", bench.directory())
            .envs(instar_tests::reference::environment())
            .args(words),
    )
}

#[test]
fn under_the_name_of_qemu_img_it_has_its_version() {
    let bench = Bench::new(Sandbox::Process);
    for words in [["--version"], ["-V"]] {
        for (profile, version) in [("7.2", "7.2."), ("10.0", "10.0."), ("11.1", "11.1.")] {
            let chosen = [["--qemu-version", profile].as_slice(), &words].concat();
            let outcome = as_qemu_img(&bench, &chosen);
            let start = format!("qemu-img version {version}");
            assert!(outcome.succeeds().text().starts_with(&start), "{outcome}");
        }
        as_qemu_img(&bench, &words).succeeds();
    }
    let own = bench.instar(["--version"]);
    assert!(own.text().starts_with("instar"), "{own}");
}

#[test]
fn under_the_name_of_qemu_img_messages_are_the_same() {
    let bench = Bench::new(Sandbox::Process);
    disk::usual(&bench.path("disk.raw"));
    for words in [
        ["info", "absent"].as_slice(),
        &["convert", "-O", "nonsense", "disk.raw", "out"],
        &["convert", "-O", "qcow2", "absent", "out"],
        &["convert", "-O", "qcow2", "disk.raw", "absent/out"],
        &["convert", "-O", "qcow2", "-o", "cluster_size=3", "disk.raw", "out"],
        &["convert", "disk.raw"],
        &["convert"],
        &["dd", "if=disk.raw"],
        &["dd", "if=disk.raw", "of=out", "bs=0"],
        &["dd", "if=disk.raw", "of=out", "bs=x"],
        &["dd", "if=disk.raw", "of=out", "what=ever"],
        &["nonsense"],
        &[],
    ] {
        let theirs = bench.qemu(words);
        let ours = as_qemu_img(&bench, words);
        assert_eq!(theirs.code(), ours.code(), "{theirs}{ours}");
        let plain = |outcome: &Outcome| {
            outcome
                .errors()
                .replace(bench.directory().to_str().unwrap(), "")
                .replace("'/qemu-img", "'qemu-img")
        };
        assert_eq!(plain(&theirs), plain(&ours), "{words:?}");
        assert_eq!(theirs.text(), ours.text(), "{words:?}");
    }
}

#[test]
fn help_names_every_verb_and_each_verb_has_a_page() {
    let bench = Bench::new(Sandbox::Process);
    let all = Outcome::of(Command::new(instar_path()).arg("--help")).succeeds().text();
    for verb in ["info", "convert", "dd", "sandbox"] {
        assert!(all.contains(verb), "--help does not name {verb}");
        let page = bench.instar([verb, "--help"]);
        assert!(page.succeeds().text().contains("Examples") || page.text().contains("example"), "{page}");
        assert!(page.text().lines().all(|line| line.chars().count() <= 100), "{page}");
    }
}

#[test]
fn a_closed_pipe_does_not_crash() {
    let bench = Bench::new(Sandbox::Process);
    let line = format!("{} --help | true", instar_path().display());
    let outcome = Outcome::of(Command::new("bash").current_dir(bench.directory()).args(["-c", &line]));
    assert!(outcome.stderr.is_empty(), "{outcome}");
}

#[test]
fn an_unknown_verb_is_refused() {
    let bench = Bench::new(Sandbox::Process);
    let outcome = bench.instar(["nonsense"]);
    outcome.fails_with("Command not found: nonsense");
    assert_eq!(outcome.code(), Some(1), "{outcome}");
}

both_sandboxes!(
    a_kind_of_object_that_begins_with_no_is_not_its_opposite,
    the_warning_about_a_guessed_format_names_the_file_without_its_protocol,
    takes_clustered_attached_and_abbreviated_options,
    real_callers_get_the_output_they_parse,
);

fn takes_clustered_attached_and_abbreviated_options(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for words in [
        ["convert", "-pc", "-fraw", "-Oqcow2", "disk.raw", "out"].as_slice(),
        &["convert", "disk.raw", "-cO", "qcow2", "out", "-f", "raw"],
        &["convert", "-O", "qcow2", "--", "disk.raw", "out"],
        &["convert", "-O", "qcow2", "-o", "cluster_size=4k", "-o", "compat=1.1", "disk.raw", "out"],
    ] {
        bench.instar(words).succeeds();
        instar_tests::compare::qemu_reads(bench, "out", "disk.raw", &words.join(" "));
    }
    let theirs = bench.qemu(["info", "--out", "json", "disk.raw"]);
    assert_eq!(bench.instar(["info", "--out", "json", "disk.raw"]).text(), theirs.succeeds().text());
}

fn real_callers_get_the_output_they_parse(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    for words in [
        // Nova
        ["info", "image", "--force-share", "--output=json"].as_slice(),
        &["convert", "-t", "none", "-O", "raw", "-f", "qcow2", "image", "out"],
        &["convert", "-t", "writeback", "-O", "raw", "-f", "qcow2", "image", "out"],
        // Glance
        &["convert", "-f", "qcow2", "-O", "raw", "image", "out"],
        // Cinder
        &["convert", "-O", "raw", "-t", "none", "-f", "qcow2", "image", "out"],
        &["convert", "-O", "qcow2", "-c", "-f", "qcow2", "image", "out"],
        // Ironic agent
        &["convert", "-O", "raw", "-t", "directsync", "-S", "0", "-f", "qcow2", "-W", "image", "out"],
        // KubeVirt
        &["convert", "-t", "writeback", "-p", "-O", "raw", "image", "out"],
        &["info", "image", "--output", "json"],
        // Proxmox VE
        &["convert", "-p", "-n", "-T", "none", "-f", "qcow2", "-O", "raw", "image", "out"],
        // oVirt
        &[
            "convert",
            "-p",
            "-t",
            "none",
            "-T",
            "none",
            "-f",
            "qcow2",
            "-O",
            "qcow2",
            "-o",
            "compat=1.1",
            "-W",
            "image",
            "out",
        ],
        // libguestfs
        &["info", "-U", "--output", "json", "./image"],
        // Incus
        &["convert", "-p", "-f", "qcow2", "-O", "raw", "-t", "writeback", "image", "out"],
        // osbuild, Packer, disk image builders
        &["convert", "-O", "qcow2", "-c", "-o", "compat=1.1", "-m", "8", "image", "out"],
        &["convert", "-O", "raw", "image", "out"],
        &["dd", "if=image", "of=out", "bs=256k", "count=1"],
    ] {
        let theirs = bench.qemu(words);
        let ours = bench.instar(words);
        assert_eq!(ours.code(), theirs.code(), "{theirs}{ours}");
        assert_eq!(ours.errors(), theirs.errors(), "{words:?}");
        if words[0] == "info" {
            assert_eq!(ours.text(), theirs.text(), "{words:?}");
        } else if words[0] == "convert" {
            assert_eq!(bench.qemu(["compare", "disk.raw", "out"]).code(), Some(0), "{words:?}");
        }
    }
}

/// Of all protocols, the command line has NBD alone: nothing that names another server is ever connected to.
#[test]
fn protocols_are_refused_with_a_message() {
    let bench = Bench::new(Sandbox::Process);
    for name in
        ["nbds://127.0.0.1:1/x", "http://127.0.0.1:1/x", "ssh://127.0.0.1/x", "json:{\"driver\":\"nbd\"}"]
    {
        bench.instar(["info", name]).fails();
        bench.instar(["convert", "-O", "raw", name, "out"]).fails();
    }
    ledger::ran("process", module_path!());
}

fn a_kind_of_object_that_begins_with_no_is_not_its_opposite(bench: &Bench) {
    std::fs::write(bench.path("disk.raw"), [7; 512]).unwrap();
    for object in ["nonsense,id=s", "nosecret,id=s,data=x"] {
        let words = ["info", "-f", "raw", "--object", object, "disk.raw"];
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        theirs.fails();
        assert_eq!(theirs.message(), ours.fails().message(), "{object}");
    }
}

fn the_warning_about_a_guessed_format_names_the_file_without_its_protocol(bench: &Bench) {
    std::fs::write(bench.path("disk.raw"), [7; 512]).unwrap();
    for name in ["disk.raw", "./disk.raw", "file:disk.raw", "file:./disk.raw"] {
        let words = ["resize", name, "1k"];
        let (theirs, ours) = (bench.qemu(words), bench.instar(words));
        assert_eq!(theirs.errors(), ours.errors(), "{name}");
        assert_eq!(theirs.code(), ours.code(), "{name}");
    }
}
