//! `info`, `convert` and `dd` from the outside, beside the reference tool. The many variants of images are the black-box
//! suite's; here is what the command line itself has to get right.

#![allow(clippy::unwrap_used, reason = "tests: a failure here is a test failure")]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use support::{Room, reference_is_here, shown};

/// A few images of every kind that `info` shows differently.
fn gallery() -> Option<Room> {
    if !reference_is_here() {
        return None;
    }
    let room = Room::new();
    room.write("odd.raw", &[1; 1000]);
    for line in [
        "create -q -f raw base.raw 10M",
        "create -q -f qcow2 -b base.raw -F raw mid.qcow2 20M",
        "snapshot -c first mid.qcow2",
        "bitmap --add mid.qcow2 bm0",
        "bitmap --add --disable -g 1M mid.qcow2 bm1",
        "create -q -f qcow2 -b mid.qcow2 -F qcow2 -o extended_l2=on,compression_type=zstd top.qcow2",
        "create -q -f qcow2 -o compat=0.10 old.qcow2 1234567",
        "create -q -f qcow2 -o data_file=data.raw,data_file_raw=on,lazy_refcounts=on split.qcow2 1M",
        "create -q -f qcow2 -u -b missing.raw -F raw orphan.qcow2 1M",
        "create -q -f qcow2 -u -b top.qcow2 -F qcow2 loop.qcow2 1M",
        "rebase -u -b loop.qcow2 -F qcow2 top.qcow2",
    ] {
        // The loop is closed last, so that what is above it could be made.
        if line.starts_with("rebase") {
            std::fs::copy(room.path("top.qcow2"), room.path("chain.qcow2")).unwrap();
        }
        room.reference(&line.split(' ').collect::<Vec<_>>());
    }
    std::fs::create_dir(room.path("dir")).unwrap();
    std::fs::copy(room.path("old.qcow2"), room.path("dir/näme \"x\"")).unwrap();
    room.reference(&[
        "create",
        "-q",
        "-f",
        "qcow2",
        "-b",
        "../base.raw",
        "-F",
        "raw",
        "dir/up.qcow2",
    ]);
    Some(room)
}

#[test]
fn info_is_the_reference_tools_to_the_byte() {
    let Some(room) = gallery() else { return };
    let images = [
        "odd.raw",
        "base.raw",
        "./base.raw",
        "file:base.raw",
        "mid.qcow2",
        "./mid.qcow2",
        "chain.qcow2",
        "old.qcow2",
        "split.qcow2",
        "orphan.qcow2",
        "loop.qcow2",
        "dir/näme \"x\"",
        "dir/up.qcow2",
        "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"mid.qcow2\"}}",
        "json:{\"driver\":\"raw\",\"file.filename\":\"mid.qcow2\"}",
    ];
    let variants: [&[&str]; 7] = [
        &[],
        &["--output=json"],
        &["--output", "json", "-U"],
        &["--backing-chain"],
        &["--backing-chain", "--output=json"],
        &["-f", "raw"],
        &["-f", "qcow2"],
    ];
    let mut differing = Vec::new();
    for image in images {
        for variant in variants {
            // The reference tool would look for the layer below in a directory of its own making.
            if image == "dir/up.qcow2" && variant.contains(&"--backing-chain") {
                continue;
            }
            let words = [&["info", image][..], variant].concat();
            differing.extend(room.differences(&words));
        }
    }
    differing.extend(room.differences(&[
        "info",
        "--image-opts",
        "driver=qcow2,read-only=on,file.driver=file,file.filename=mid.qcow2",
    ]));
    assert!(differing.is_empty(), "{}", differing.join(""));
}

/// Prints, exit codes and the files that come of it.
/// Without the steps between the first and the last: how many there are is a matter of how work is cut up.
fn ends_of_progress(text: &str) -> String {
    let steps: Vec<&str> = text.split_inclusive("%)\\r").collect();
    let ends = |at: usize| at == 0 || at + 2 >= steps.len();
    let kept = steps.iter().enumerate().filter(|(at, _)| ends(*at));
    kept.map(|(_, step)| *step).collect()
}

#[test]
fn convert_and_dd_say_and_do_what_the_reference_tool_does() {
    let Some(room) = gallery() else { return };
    let disk: Vec<u8> = (0..300_000_u32)
        .flat_map(|number| (number / 64).to_le_bytes())
        .collect();
    room.write("disk.raw", &disk);
    room.reference(&[
        "convert",
        "-O",
        "qcow2",
        "-o",
        "cluster_size=4k",
        "disk.raw",
        "disk.qcow2",
    ]);
    for line in [
        "convert disk.qcow2 OUT",
        "convert -p disk.qcow2 OUT",
        "convert -p -q disk.raw OUT",
        "convert -S 0 disk.qcow2 OUT",
        "convert -f qcow2 -O raw -m 2 -W disk.qcow2 OUT",
        "convert disk.raw odd.raw OUT",
        "convert --image-opts driver=raw,file.filename=disk.raw OUT",
        "convert -l first mid.qcow2 OUT",
        "convert -l none mid.qcow2 OUT",
        "convert -O raw orphan.qcow2 OUT",
        "convert -n disk.qcow2 base.raw",
        "convert -n disk.qcow2 odd.raw",
        "convert disk.raw disk.raw",
        "dd if=disk.qcow2 of=OUT",
        "dd if=disk.qcow2 of=OUT bs=1000 skip=3 count=100",
        "dd if=disk.qcow2 of=OUT bs=7 count=70000 skip=1",
        "dd -f raw if=disk.qcow2 of=OUT bs=64k count=2",
        "dd if=disk.raw of=OUT skip=100000",
        "dd if=disk.raw of=OUT count=0",
        "dd if=orphan.qcow2 of=OUT",
    ] {
        let words = |target: &str| -> Vec<String> {
            line.split(' ')
                .map(|word| word.replace("OUT", target))
                .collect::<Vec<_>>()
        };
        let (their_words, our_words) = (words("a.out"), words("b.out"));
        let theirs = room.theirs(&their_words.iter().map(String::as_str).collect::<Vec<_>>());
        let kept = std::fs::read(room.path("base.raw")).unwrap();
        let ours = room.ours(&our_words.iter().map(String::as_str).collect::<Vec<_>>());
        let renamed = shown(&ours).replace("b.out", "a.out");
        assert_eq!(
            ends_of_progress(&shown(&theirs)),
            ends_of_progress(&renamed),
            "{line}"
        );
        assert_eq!(std::fs::read(room.path("base.raw")).unwrap(), kept, "{line}");
        if theirs.status.success() && line.contains("OUT") {
            let bytes = |name: &str| std::fs::read(room.path(name)).unwrap();
            assert!(bytes("a.out") == bytes("b.out"), "{line}: content differs");
        } else {
            assert!(!room.path("b.out").exists(), "{line}: a failed run left a target");
        }
        let _ = std::fs::remove_file(room.path("a.out"));
        let _ = std::fs::remove_file(room.path("b.out"));
    }
}

#[test]
fn a_failed_run_leaves_an_existing_target_alone() {
    let room = Room::new();
    room.write("bad.qcow2", b"QFI\xfb\0\0\0\x09");
    room.write("precious", b"precious");
    let output = room.ours(&["convert", "bad.qcow2", "precious"]);
    assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
    assert_eq!(std::fs::read(room.path("precious")).unwrap(), b"precious");
}

#[test]
fn untrusted_images_open_nothing_and_their_own_chain_is_named() {
    let Some(room) = gallery() else { return };
    let output = room.ours(&["convert", "--untrusted", "chain.qcow2", "out"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("'mid.qcow2'") && text.contains("--untrusted"),
        "{text}"
    );
    let output = room.ours(&["--untrusted", "info", "chain.qcow2"]);
    assert!(output.status.success(), "{}", shown(&output));
    let output = room.ours(&["convert", "dir/up.qcow2", "out"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--allow-dir"));
    let output = room.ours(&["convert", "--allow-dir", ".", "dir/up.qcow2", "out"]);
    assert!(output.status.success(), "{}", shown(&output));
}

#[test]
fn a_configuration_that_is_not_understood_stops_everything() {
    let room = Room::new();
    room.write("disk.raw", &[0; 512]);
    room.write("conf.toml", b"untrusted = true\nallow_dir = \"x\"\n");
    let output = room.ours(&["info", "--config", "conf.toml", "disk.raw"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("conf.toml: line 2: allow_dir: unknown key"),
        "{text}"
    );
    let output = room.ours(&["info", "--config", "missing.toml", "disk.raw"]);
    assert_eq!(output.status.code(), Some(1));
}

/// A pipe says what it has to say once.
#[test]
fn a_configuration_out_of_a_pipe_is_heeded() {
    let Some(room) = gallery() else { return };
    for (text, expected) in [
        ("untrusted = true\n", "--untrusted"),
        ("untrustd = true\n", "/dev/stdin: line 1: untrustd: unknown key"),
        ("sandbox = \"process\"\nrequire-kvm = true\n", "require-kvm"),
    ] {
        let words = ["convert", "--config", "/dev/stdin", "chain.qcow2", "out"];
        let mut command = room.command(Path::new(env!("CARGO_BIN_EXE_instar")), &words);
        command.env_remove("INSTAR_SANDBOX");
        command.stdin(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(text.as_bytes()).unwrap();
        drop(pipe);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", shown(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(expected), "{text}{said}");
    }
}
