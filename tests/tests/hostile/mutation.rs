//! Images with bytes changed at random, read by both programs: instar never crashes, hangs or makes up data, and if both programs
//! read an image, they read the same disk. Each case comes from one number, which a failure prints.

use std::fs;
use std::os::unix::fs::FileExt;

use instar_tests::compare::same_bytes;
use instar_tests::craft::Crafted;
use instar_tests::disk::{self, Piece, mix};
use instar_tests::variant;
use instar_tests::{Bench, both_sandboxes};

use crate::changes::{CHANGES, change};
use crate::run;

/// Cases of one test; `INSTAR_TEST_CASES` asks for more.
fn cases() -> u64 {
    std::env::var("INSTAR_TEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(60)
}

/// Small images whose tables make up much of the file.
fn seed_image(bench: &Bench, kind: u64) {
    disk::make(
        &bench.path("disk.raw"),
        300 << 10,
        &[Piece::Data(0, 20 << 10, 1), Piece::Text(64 << 10, 100 << 10), Piece::Data(200 << 10, 4096, 2)],
    );
    let words: &[&str] = match kind % 5 {
        0 => &["-o", "cluster_size=4k"],
        1 => &["-c", "-o", "cluster_size=4k"],
        2 => &["-c", "-o", "cluster_size=16k,compression_type=zstd"],
        3 => &["-o", "cluster_size=16k,extended_l2=on"],
        _ => &["-o", "cluster_size=512,compat=0.10"],
    };
    bench
        .qemu(["convert", "-f", "raw", "-O", "qcow2"].iter().chain(words).chain(&["disk.raw", "seed"]))
        .succeeds();
    if kind.is_multiple_of(3) {
        bench.qemu(["snapshot", "-c", "a snapshot", "seed"]).succeeds();
        variant::io(bench, "seed", &["write -P 7 32k 8k"]);
    }
}

/// Changes one to four places: single bits, interesting bytes, whole words; more often in the header than elsewhere.
fn mutate(bench: &Bench, number: u64) -> String {
    fs::copy(bench.path("seed"), bench.path("image")).unwrap();
    let image = Crafted::open(&bench.path("image"));
    let end = image.end();
    let mut note = String::new();
    for turn in 0..=(mix(number) % 4) {
        let random = mix(number.wrapping_mul(31).wrapping_add(turn + 1));
        let reach = match random % 3 {
            0 => 112,
            1 => 16 << 10,
            _ => end,
        };
        let offset = mix(random) % reach.min(end);
        let value = match (random >> 8) % 4 {
            0 => byte_at(bench, offset) ^ (1 << ((random >> 16) % 8)),
            1 => 0xff,
            2 => 0,
            _ => (random >> 24) as u8,
        };
        image.byte(offset, value);
        note += &format!(" byte {offset:#x} = {value:#x};");
    }
    note
}

fn byte_at(bench: &Bench, offset: u64) -> u8 {
    let mut byte = [0];
    fs::File::open(bench.path("image")).unwrap().read_exact_at(&mut byte, offset).unwrap();
    byte[0]
}

fn differ(bench: &Bench, start: u64) {
    let (mut both, mut refused) = (0, 0);
    for number in start..start + cases() {
        if number % 12 == start % 12 {
            seed_image(bench, number / 12);
        }
        let what = format!("case {number}:{}", mutate(bench, number));
        let theirs = bench.qemu(["convert", "-f", "qcow2", "-O", "raw", "image", "theirs"]);
        let ours = run(bench, &["convert", "-f", "qcow2", "--max-size", "1G", "-O", "raw", "image", "ours"]);
        let info = run(bench, &["info", "-f", "qcow2", "--output=json", "image"]);
        if info.code() == Some(0) {
            serde_json::from_slice::<serde_json::Value>(&info.stdout)
                .unwrap_or_else(|e| panic!("{what}: {e}"));
        }
        match (theirs.code(), ours.code()) {
            (Some(0), Some(0)) => {
                same_bytes(bench, "theirs", "ours", &what);
                both += 1;
            }
            (_, Some(1)) => {
                assert!(!bench.path("ours").exists(), "{what}: refused, yet a target stands");
                refused += 1;
            }
            _ => panic!("{what}: qemu-img refuses what we read\n{theirs}{ours}"),
        }
        for name in ["theirs", "ours"] {
            let _ = fs::remove_file(bench.path(name));
        }
    }
    println!("{both} read by both, {refused} refused");
    assert!(both > 0 && refused > 0, "{both} read by both, {refused} refused: nothing was compared");
}

both_sandboxes!(
    d1_changed_images_are_read_as_qemu_img_reads_them_or_refused,
    d1_changed_images_are_changed_or_refused,
    d1_changed_images_second_series,
);

fn d1_changed_images_are_read_as_qemu_img_reads_them_or_refused(bench: &Bench) {
    differ(bench, 0);
}

fn d1_changed_images_are_changed_or_refused(bench: &Bench) {
    for number in 20_000..20_000 + cases() {
        if number % 12 == 20_000 % 12 {
            seed_image(bench, number / 12);
        }
        let what = format!("case {number}:{}", mutate(bench, number));
        println!("{what}");
        // Each with two of the changes.
        for turn in [number * 2, number * 2 + 1] {
            let words = CHANGES[turn as usize % CHANGES.len()];
            change(bench, "image", words);
        }
    }
}

fn d1_changed_images_second_series(bench: &Bench) {
    differ(bench, 10_000);
}
