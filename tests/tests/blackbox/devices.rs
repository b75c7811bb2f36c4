//! Block devices as targets: what qemu-img makes on them, and what it refuses. Needs root and loop devices.

use std::fs;

use instar_tests::compare::same_outcome;
use instar_tests::device::Loop;
use instar_tests::{Bench, both_sandboxes, disk};

const DEVICE_BYTES: u64 = 16 << 20;

/// A device of 16 MiB, and an image of a smaller disk.
fn material(bench: &Bench) -> Option<Loop> {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    Loop::of_size(bench, "lun", DEVICE_BYTES >> 20)
}

both_sandboxes!(
    space_cannot_be_reserved_on_a_device,
    a_device_may_be_named_as_one,
    a_plain_file_may_be_named_as_one,
);

/// CDI waits for these words and then writes zeros itself.
fn space_cannot_be_reserved_on_a_device(bench: &Bench) {
    let Some(device) = material(bench) else { return };
    let name = device.name();
    for format in ["raw", "qcow2", "vpc", "vdi", "vhdx"] {
        for mode in ["falloc", "full", "nonsense"] {
            let mode = format!("preallocation={mode}");
            for words in [
                ["convert", "-o", &mode, "-O", format, "image", name].as_slice(),
                &["create", "-q", "-f", format, "-o", &mode, name, "4M"],
            ] {
                assert_eq!(same_outcome(bench, words, &mode).code(), Some(1), "{words:?}");
            }
        }
    }
    for words in [
        ["create", "-q", "-f", "raw", "-o", "preallocation=metadata", name, "4M"].as_slice(),
        &["create", "-q", "-f", "qcow2", "-o", "preallocation=metadata", name, "4M"],
        &["create", "-f", "raw", "-o", "nocow=on", name, "4M"],
        &["create", "-f", "qcow2", "-o", "extent_size_hint=1M", name, "4M"],
        &["create", "-f", "raw", "-o", "help", name],
    ] {
        same_outcome(bench, words, "device");
    }
}

/// Ironic writes every image that is not raw with the first of these lines.
fn a_device_may_be_named_as_one(bench: &Bench) {
    let Some(device) = material(bench) else { return };
    let name = device.name();
    let prefixed = format!("host_device:{name}");
    for target in [name, prefixed.as_str()] {
        let line = [
            "convert",
            "-f",
            "qcow2",
            "-O",
            "host_device",
            "-t",
            "directsync",
            "-S",
            "0",
            "-W",
            "image",
            target,
        ];
        let [theirs, ours] = [false, true].map(|ours| {
            fs::write(name, vec![0xa5; DEVICE_BYTES as usize]).unwrap();
            let outcome = if ours {
                bench.instar(line)
            } else {
                bench.qemu(line)
            };
            (outcome.code(), outcome.message(), fs::read(name).unwrap())
        });
        assert!(ours == theirs, "{target}: {:?}, {:?}", (ours.0, ours.1), (theirs.0, theirs.1));
        if target == name {
            let usual = disk::USUAL_BYTES as usize;
            assert!(ours.2[..usual] == fs::read(bench.path("disk.raw")).unwrap());
            assert!(ours.2[usual..].iter().all(|byte| *byte == 0xa5));
        }
        for words in [
            ["create", "-f", "host_device", target, "4M"].as_slice(),
            &["create", "-f", "raw", target, "4M"],
            &["create", "-f", "host_device", "-o", "size=4M", target],
        ] {
            if target == name || words[2] == "raw" {
                assert_eq!(same_outcome(bench, words, target).code(), Some(0), "{words:?}");
            }
        }
    }
    same_outcome(bench, &["dd", "-O", "host_device", "if=disk.raw", &format!("of={name}")], "dd");
    for words in [
        ["create", "-f", "host_device", name, "400M"].as_slice(),
        &["create", "-f", "host_device", name],
        &["create", "-f", "host_device", "-o", "preallocation=full", name, "4M"],
        &["create", "-f", "host_device", "-o", "nocow=on", name, "4M"],
        &["create", "-f", "host_device", "absent", "4M"],
        &["create", "-f", "host_device", "disk.raw", "4M"],
        &["create", "-f", "host_device", "-b", "image", "-F", "qcow2", name],
        &["create", "-f", "file", name, "4M"],
        &["create", "-f", "raw", &format!("file:{name}"), "4M"],
        &["create", "-f", "raw", "host_device:disk.raw", "4M"],
        &["create", "-f", "raw", name, "80M"],
        &["convert", "-O", "host_device", "image", "absent"],
        &["convert", "-c", "-O", "host_device", "image", name],
        &["convert", "-n", "-O", "host_device", "image", "disk.raw"],
        &["convert", "-O", "file", "image", name],
        &["measure", "-O", "host_device", "image"],
        &["measure", "-O", "file", "image"],
        &["info", "-f", "file", name],
        &["info", &format!("file:{name}")],
        &["info", "host_device:disk.raw"],
    ] {
        assert_eq!(same_outcome(bench, words, "refused").code(), Some(1), "{words:?}");
    }
}

fn a_plain_file_may_be_named_as_one(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    for words in [
        ["create", "-f", "file", "out", "4M"].as_slice(),
        &["create", "-f", "file", "-o", "preallocation=full", "out", "4M"],
        &["create", "-f", "file", "-o", "help"],
        &["create", "-f", "host_device", "-o", "help"],
        &["convert", "-O", "file", "-o", "help", "disk.raw", "out"],
        &["convert", "-f", "file", "-O", "file", "disk.raw", "out"],
        &["dd", "-O", "file", "if=disk.raw", "of=out"],
    ] {
        assert_eq!(same_outcome(bench, words, "file").code(), Some(0), "{words:?}");
        fs::remove_file(bench.path("out")).ok();
    }
}
