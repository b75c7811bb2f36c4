//! D1, D2 for the verbs that write into layers: overlays, bases and layers between that were changed at random. `rebase` and `commit` end,
//! say why, and write to no other file than theirs.

use std::fs;

use instar_tests::craft::Crafted;
use instar_tests::disk::{self, Piece, mix};
use instar_tests::variant;
use instar_tests::{Bench, both_sandboxes};

use crate::run;

/// Cases of one test; `INSTAR_TEST_CASES` asks for more.
fn cases() -> u64 {
    let asked = std::env::var("INSTAR_TEST_CASES").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(40)
}

const LAYERS: [&str; 3] = ["base", "middle", "top"];

/// `below.raw`, and three small layers over it.
fn layers(bench: &Bench, kind: u64) {
    let pieces = [Piece::Data(0, 20 << 10, 1), Piece::Text(64 << 10, 100 << 10)];
    disk::make(&bench.path("below.raw"), 300 << 10, &pieces);
    let options = match kind % 4 {
        0 => "cluster_size=4k",
        1 => "cluster_size=512,compat=0.10",
        2 => "cluster_size=16k,extended_l2=on",
        _ => "cluster_size=4k,refcount_bits=64",
    };
    let (mut below, mut format) = ("below.raw", "raw");
    for name in LAYERS {
        let words = ["create", "-q", "-f", "qcow2", "-o", options, "-b", below, "-F", format, name, "300k"];
        bench.qemu(words).succeeds();
        let offset = 16 * (1 + LAYERS.iter().position(|layer| *layer == name).unwrap());
        variant::io(bench, name, &[&format!("write -P 7 {offset}k 40k"), "write -z 200k 32k"]);
        (below, format) = (name, "qcow2");
    }
    if kind.is_multiple_of(3) {
        bench.qemu(["snapshot", "-c", "old", "base"]).succeeds();
        variant::io(bench, "base", &["write -P 9 32k 8k"]);
    }
    for name in LAYERS {
        fs::copy(bench.path(name), bench.path(&format!("{name}.seed"))).unwrap();
    }
    fs::copy(bench.path("below.raw"), bench.path("below.seed")).unwrap();
}

/// Changes one to four bytes of one of the layers.
fn change(bench: &Bench, number: u64) -> String {
    for name in LAYERS {
        fs::copy(bench.path(&format!("{name}.seed")), bench.path(name)).unwrap();
    }
    fs::copy(bench.path("below.seed"), bench.path("below.raw")).unwrap();
    let name = LAYERS[(mix(number ^ 0x55) % 3) as usize];
    let image = Crafted::open(&bench.path(name));
    let end = image.end();
    let mut note = name.to_owned();
    for turn in 0..=(mix(number) % 4) {
        let random = mix(number.wrapping_mul(31).wrapping_add(turn + 1));
        let reach = match random % 3 {
            0 => 112,
            1 => 16 << 10,
            _ => end,
        };
        let offset = mix(random) % reach.min(end);
        let value = match (random >> 8) % 3 {
            0 => 0xff,
            1 => 0,
            _ => (random >> 24) as u8,
        };
        image.byte(offset, value);
        note += &format!(" byte {offset:#x} = {value:#x};");
    }
    note
}

/// Files that nobody may write to keep what they held.
fn spared(bench: &Bench, names: &[&str], before: &[Vec<u8>], what: &str) {
    for (name, bytes) in names.iter().zip(before) {
        assert!(fs::read(bench.path(name)).unwrap() == *bytes, "{what}: {name} was written to");
    }
}

fn survives(bench: &Bench, words: &[&str], others: &[&str]) {
    for number in 0..cases() {
        if number.is_multiple_of(10) {
            layers(bench, number / 10);
        }
        let what = format!("case {number}: {words:?}: {}", change(bench, number));
        let before: Vec<_> = others.iter().map(|name| fs::read(bench.path(name)).unwrap()).collect();
        let outcome = run(bench, &[words, &["--max-size", "1G"]].concat());
        assert!(matches!(outcome.code(), Some(0 | 1)), "{what}: {outcome}");
        spared(bench, others, &before, &what);
    }
}

both_sandboxes!(
    d1_layers_changed_anywhere_are_rebased_or_refused,
    d1_layers_changed_anywhere_are_committed_or_refused,
);

fn d1_layers_changed_anywhere_are_rebased_or_refused(bench: &Bench) {
    survives(
        bench,
        &["rebase", "-f", "qcow2", "-b", "below.raw", "-F", "raw", "top"],
        &["below.raw", "base", "middle"],
    );
    survives(
        bench,
        &["rebase", "-f", "qcow2", "-c", "-b", "base", "-F", "qcow2", "top"],
        &["below.raw", "base", "middle"],
    );
    survives(
        bench,
        &["rebase", "-f", "qcow2", "-u", "-b", "x", "-F", "raw", "top"],
        &["below.raw", "base", "middle"],
    );
}

fn d1_layers_changed_anywhere_are_committed_or_refused(bench: &Bench) {
    survives(bench, &["commit", "-f", "qcow2", "top"], &["below.raw", "base"]);
    survives(bench, &["commit", "-f", "qcow2", "-b", "base", "top"], &["below.raw", "middle", "top"]);
}
