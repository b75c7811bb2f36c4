//! Callers that let the program open its source and its target, and nothing else (the profiles of Incus and LXD).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::Command;

use instar_tests::{Bench, Outcome, Sandbox, both_sandboxes, disk, instar_path, ledger};

const NOBODY: u32 = 65534;

/// A root directory of its own with the program, one source, one target that exists, and the node of KVM where it is used:
/// no /proc, no /sys, no /etc, nothing else, and nothing can be made there. None without the privileges for it.
fn cell(bench: &Bench) -> Option<()> {
    let place = bench.path("cell");
    fs::create_dir_all(place.join("dev")).unwrap();
    fs::copy(instar_path(), place.join("qemu-img")).unwrap();
    fs::copy(bench.path("image"), place.join("image")).unwrap();
    fs::write(place.join("out"), disk::pattern(0, 8 << 20, 3)).unwrap();
    if chown(place.join("out"), Some(NOBODY), None).is_err() {
        ledger::skip("only root can change the root directory");
        return None;
    }
    if bench.sandbox() == Sandbox::Kvm {
        let node = place.join("dev/kvm");
        let made = Command::new("mknod").arg(&node).args(["c", "10", "232"]).output();
        if !made.is_ok_and(|made| made.status.success()) {
            ledger::skip("the node of KVM cannot be made");
            return None;
        }
        fs::set_permissions(node, fs::Permissions::from_mode(0o666)).unwrap();
    }
    for (name, mode) in [("image", 0o444), ("dev", 0o555), (".", 0o555)] {
        fs::set_permissions(place.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    Some(())
}

/// Runs a line in the cell, as the user nobody and within a caller's limits.
fn in_cell(bench: &Bench, line: &str) -> Outcome {
    Outcome::of(
        Command::new("prlimit")
            .args(["--cpu=2", "--as=1073741824", "chroot", "--userspec=65534:65534"])
            .arg(bench.path("cell"))
            .arg("/qemu-img")
            .args(line.split_whitespace())
            .env("LC_ALL", "C")
            .envs(instar_tests::reference::environment())
            .env("INSTAR_SANDBOX", bench.sandbox().name()),
    )
}

fn source(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "image"]).succeeds();
}

both_sandboxes!(
    instar_needs_only_its_source_and_its_target,
    instar_touches_only_its_source_and_its_target,
    a_directory_sealed_but_for_the_target_gets_the_target,
);

fn instar_needs_only_its_source_and_its_target(bench: &Bench) {
    source(bench);
    if cell(bench).is_none() {
        return;
    }
    let theirs = bench.qemu(["info", "-f", "qcow2", "--output=json", "image"]);
    let ours = in_cell(bench, "info -f qcow2 --output=json image");
    let facts = |outcome: &Outcome| {
        let mut value: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
        // Another copy of the file.
        value.as_object_mut().unwrap().remove("actual-size");
        if let Some(info) = value.pointer_mut("/children/0/info") {
            info.as_object_mut().unwrap().remove("actual-size");
        }
        value
    };
    assert_eq!(facts(&theirs), facts(&ours));
    for line in [
        "convert -p -f qcow2 -O raw -t writeback image out",
        "convert -p -f qcow2 -O raw -t none -T none image out",
        "convert -p -f qcow2 -O raw -t none -T none -W -n image out",
        "convert -f qcow2 -O qcow2 image out",
        "convert -f qcow2 -c -O qcow2 -m 4 image out",
        "convert -f qcow2 -O vmdk image out",
        "convert -f qcow2 -O vhdx -t none image out",
    ] {
        fs::write(bench.path("cell/out"), disk::pattern(0, 8 << 20, 4)).unwrap();
        in_cell(bench, line).succeeds();
        let format = line.split("-O ").nth(1).unwrap().split(' ').next().unwrap();
        let compared = bench.qemu(["compare", "-f", "raw", "-F", format, "disk.raw", "cell/out"]);
        // With -n the target is longer than its source.
        let same =
            compared.code() == Some(0) || line.contains(" -n ") && compared.text().contains("offset 4194816");
        assert!(same, "{line}: {compared}");
    }
    let refused = in_cell(bench, "convert -f qcow2 -O raw image new");
    refused.fails_with("Permission denied");
    let mut names: Vec<_> =
        fs::read_dir(bench.path("cell")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["dev", "image", "out", "qemu-img"]);
}

/// Under strace: a conversion touches its source, its target and the directory that the target is born in; of the rest of
/// the machine, what says how much of it is ours, and its configuration.
fn instar_touches_only_its_source_and_its_target(bench: &Bench) {
    if Command::new("strace").arg("-V").output().is_err() {
        return ledger::skip("strace is not installed");
    }
    source(bench);
    fs::write(bench.path("old"), disk::pattern(0, 8 << 20, 4)).unwrap();
    for (line, inputs) in [
        ("convert -f qcow2 -O raw image out", ["image", "out"]),
        ("convert -f qcow2 -O qcow2 -c image out", ["image", "out"]),
        ("convert -f qcow2 -O raw -t none -T none image out", ["image", "out"]),
        ("convert -f raw -O vhdx disk.raw out", ["disk.raw", "out"]),
        ("convert -n -f qcow2 -O raw -t none image old", ["image", "old"]),
    ] {
        let trace = bench.path("trace");
        let trace = trace.to_str().unwrap();
        let wrapper = ["strace", "-f", "-qq", "-o", trace, "-e", "trace=%file,%net"];
        Outcome::of(&mut bench.command_under(&wrapper, line.split_whitespace())).succeeds();
        let trace = fs::read_to_string(bench.path("trace")).unwrap();
        let mut seen = 0;
        for call in trace.lines().filter(|call| !call.contains("execve(") && !call.contains("getcwd(")) {
            let Some(name) = call.split('"').nth(1) else {
                assert!(!call.contains("socket"), "{line}: {call}");
                continue;
            };
            let of_the_machine = ["/proc/self/", "/sys/fs/cgroup"].iter().any(|head| name.starts_with(head))
                || ["/dev/kvm", "/dev/urandom", "/etc/instar.toml", ".", ""].contains(&name)
                || name.ends_with("/.config/instar/config.toml")
                || name.ends_with("/instar/trust.key")
                // Whether a name can be given at the end is tried out with this.
                || name.starts_with(".out.instar-");
            let is_input =
                inputs.iter().any(|input| *input == name || bench.path(input).to_str() == Some(name));
            assert!(of_the_machine || is_input, "{line} touches {name}: {call}");
            seen += usize::from(is_input);
        }
        assert!(seen >= 2, "{line}: strace saw nothing:\n{trace}");
        let _ = fs::remove_file(bench.path("out"));
        fs::remove_file(bench.path("trace")).unwrap();
    }
}

/// A profile that allows the target's name alone: neither a file without a name nor a hidden one can be made beside it.
fn a_directory_sealed_but_for_the_target_gets_the_target(bench: &Bench) {
    if Command::new("strace").arg("-V").output().is_err() {
        return ledger::skip("strace is not installed");
    }
    source(bench);
    for format in ["raw", "qcow2", "vmdk"] {
        let words = ["convert", "-f", "qcow2", "-O", format, "image", "out"];
        let trace = ["strace", "-f", "-qq", "-o", "trace", "-e", "trace=openat"];
        Outcome::of(&mut bench.command_under(&trace, words)).succeeds();
        let text = fs::read_to_string(bench.path("trace")).unwrap();
        let birth = text.lines().find(|call| call.contains("O_TMPFILE")).unwrap();
        let process = birth.split(' ').next().unwrap();
        let before =
            text.lines().filter(|call| call.starts_with(process)).position(|call| call == birth).unwrap();
        fs::remove_file(bench.path("out")).unwrap();
        let inject = format!("inject=openat:error=EACCES:when={}..{}", before + 1, before + 3);
        let trace = ["strace", "-f", "-qq", "-o", "trace", "-e", "trace=openat", "-e", &inject];
        Outcome::of(&mut bench.command_under(&trace, words)).succeeds();
        let text = fs::read_to_string(bench.path("trace")).unwrap();
        assert_eq!(text.matches("(INJECTED)").count(), 3, "{text}");
        assert!(text.lines().any(|call| call.contains("\"out\"") && call.contains("O_EXCL")), "{text}");
        let compared = bench.qemu(["compare", "-f", "raw", "-F", format, "disk.raw", "out"]);
        assert_eq!(compared.code(), Some(0), "{format}: {compared}");
        fs::remove_file(bench.path("out")).unwrap();
        // What failed is taken away again.
        let mut limited = words.to_vec();
        limited.extend(["--max-output", "128k"]);
        Outcome::of(&mut bench.command_under(&trace, &limited)).fails_with("--max-output");
        fs::remove_file(bench.path("trace")).unwrap();
        assert_eq!(bench.names(), ["disk.raw", "image"], "{format}");
        // The same with a hidden file.
        let inject = format!("inject=openat:error=EOPNOTSUPP:when={}", before + 1);
        let trace = ["strace", "-f", "-qq", "-o", "trace", "-e", "trace=openat", "-e", &inject];
        Outcome::of(&mut bench.command_under(&trace, &limited)).fails_with("--max-output");
        let text = fs::read_to_string(bench.path("trace")).unwrap();
        assert!(text.contains("\".out.instar-"), "{text}");
        fs::remove_file(bench.path("trace")).unwrap();
        assert_eq!(bench.names(), ["disk.raw", "image"], "{format}");
    }
}
