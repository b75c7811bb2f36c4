//! Images that other programs write during the test, read as qemu-img reads them. `cargo xtask writers` covers many more programs.

use std::path::Path;
use std::process::Command;

use instar_tests::compare::same_bytes;
use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, Outcome, both_sandboxes, ledger};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Some grains and blocks, and not a whole number of either.
const SIZE: u64 = (5 << 20) + 37 * 512;

/// A writer that is a module of Python.
struct Writer {
    name: &'static str,
    interpreter: fn() -> String,
    /// Writes the image named by its second argument from the disk named by its first.
    script: &'static str,
    format: &'static str,
    remedy: &'static str,
}

const VMDKSTREAM: Writer = Writer {
    name: "VMDKstream",
    interpreter: || "/usr/bin/python3".to_owned(),
    script: "import sys, VMDKstream; VMDKstream.convert_to_stream(sys.argv[1], sys.argv[2])",
    format: "vmdk",
    remedy: "the package python3-vmdkstream",
};

const PYVHD: Writer = Writer {
    name: "pyvhd",
    interpreter: || format!("{ROOT}/target/second-opinion/bin/python"),
    script: "import sys, pyvhd; pyvhd.do_vhd_convert(open(sys.argv[1], 'rb'), open(sys.argv[2], 'wb'))",
    format: "vpc",
    remedy: "./test, which puts it into target/second-opinion",
};

/// Lets a writer write, and reads that.
fn judge(bench: &Bench, writer: &Writer) {
    let interpreter = (writer.interpreter)();
    let module = format!("import {}", writer.name);
    let here = Path::new(&interpreter).exists()
        && Command::new(&interpreter)
            .args(["-I", "-c", &module])
            .output()
            .is_ok_and(|output| output.status.success());
    if !here {
        ledger::skip(&format!("no images by {}; it comes with {}", writer.name, writer.remedy));
        return;
    }
    let pieces = [
        Piece::Data(0, 70_000, 1),
        Piece::Zeros(1 << 20, 128 << 10),
        Piece::Data((2 << 20) - 512, 300 << 10, 2),
        Piece::Text(4 << 20, 64 << 10),
        Piece::Data(SIZE - 1000, 1000, 3),
    ];
    disk::make(&bench.path("disk.raw"), SIZE, &pieces);
    Outcome::of(
        Command::new(&interpreter)
            .args(["-I", "-c", writer.script, "disk.raw", "image"])
            .current_dir(bench.directory()),
    )
    .succeeds();
    let convert = |target| ["convert", "-f", writer.format, "-O", "raw", "image", target];
    bench.qemu(convert("theirs")).succeeds();
    bench.instar(convert("ours")).succeeds();
    same_bytes(bench, "theirs", "ours", writer.name);
    for verb in ["info", "map"] {
        let words = [verb, "--output", "json", "-f", writer.format, "image"];
        assert_eq!(
            bench.instar(words).succeeds().text(),
            bench.qemu(words).succeeds().text(),
            "{verb} of an image by {}",
            writer.name
        );
    }
    bench.instar(["info", "--safety", "-f", writer.format, "image"]).succeeds();
}

both_sandboxes!(a_stream_optimised_vmdk_of_vmdkstream_is_read, a_dynamic_vhd_of_pyvhd_is_read,);

fn a_stream_optimised_vmdk_of_vmdkstream_is_read(bench: &Bench) {
    judge(bench, &VMDKSTREAM);
}

fn a_dynamic_vhd_of_pyvhd_is_read(bench: &Bench) {
    judge(bench, &PYVHD);
}
