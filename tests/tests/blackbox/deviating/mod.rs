//! Each deliberate difference from qemu-img: both programs run, and must differ exactly as `deviations.toml` says.

mod bochs;
mod options;
mod parallels;
mod qcow;
mod qcow2;
mod qed;
mod sparse;
mod vdi;
mod vhd;
mod vhdx;
mod vmdk;

use std::fs;

use instar_tests::compare::same_bytes;
use instar_tests::disk::Piece;
use instar_tests::ledger::deviates;
use instar_tests::{Bench, Outcome};

const MIB: u64 = 1 << 20;

/// `image` made by qemu-img from `disk.raw`: 6 MiB, data in the first mebibyte and in the fourth.
pub(crate) fn made(bench: &Bench, format: &str, options: &str) {
    let pieces = [Piece::Data(0, 70_000, 1), Piece::Data(3 * MIB, 70_000, 2)];
    bench.make_image(6 * MIB, &pieces, format, options);
}

/// Both convert `image` to raw: theirs, ours.
fn convert(bench: &Bench, format: &str) -> [Outcome; 2] {
    let words = |target| ["convert", "-f", format, "-O", "raw", "image", target];
    [bench.qemu(words("theirs")), bench.instar(words("ours"))]
}

/// qemu-img reads the image, instar refuses it in these words.
#[track_caller]
fn only_we_refuse(bench: &Bench, name: &str, format: &str, words: &str) {
    let [theirs, ours] = convert(bench, format);
    assert_eq!(theirs.code(), Some(0), "{name}: {theirs}");
    ours.fails_with(words);
    deviates(name, &theirs.code(), &ours.code());
    fs::remove_file(bench.path("theirs")).unwrap();
}

/// instar reads `expected` from the image, qemu-img refuses it or reads something else.
#[track_caller]
fn only_we_read(bench: &Bench, name: &str, format: &str, expected: &str) {
    let [theirs, ours] = convert(bench, format);
    ours.succeeds();
    same_bytes(bench, expected, "ours", name);
    let theirs = (theirs.code() == Some(0)).then(|| fs::read(bench.path("theirs")).unwrap());
    let is_expected = theirs.is_some_and(|disk| disk == fs::read(bench.path(expected)).unwrap());
    deviates(name, &is_expected, &true);
    let _ = fs::remove_file(bench.path("theirs"));
    fs::remove_file(bench.path("ours")).unwrap();
}
