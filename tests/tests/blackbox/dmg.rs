//! Apple disk images: what qemu-img cannot read, how the format is recognised, and images that lie.

use std::fs;
use std::process::Command;

use instar_testkit::lay::cloop::zlib;
use instar_testkit::lay::dmg::{self, Chunk, Home};
use instar_tests::compare::{same_bytes, same_outcome};
use instar_tests::ledger::deviates;
use instar_tests::variant;
use instar_tests::{Bench, Outcome, both_sandboxes, disk, ledger};

/// The disk as 7-Zip reads it; none if it is not here.
fn seven_zip(bench: &Bench) -> Option<Vec<u8>> {
    let output = Command::new("7zz")
        .args(["e", "-so", "-tdmg", "image.dmg"])
        .current_dir(bench.directory())
        .output()
        .ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// A chunk of sectors.
fn chunk(kind: u32, sectors: u64, bytes: &[u8]) -> Chunk {
    Chunk {
        kind,
        sectors,
        bytes: bytes.to_vec(),
    }
}

/// Two chunks of four sectors, with other entries in the block table, and what the table says of their number.
fn lie(bench: &Bench, entries: &[Vec<u8>], stated: Option<u32>) {
    let data = [disk::pattern(0, 2048, 1), disk::pattern(2048, 2048, 1)].concat();
    let mut table = dmg::table(0, 8, 0, entries);
    if let Some(stated) = stated {
        table[200..204].copy_from_slice(&stated.to_be_bytes());
    }
    fs::write(bench.path("image.dmg"), dmg::finish(data, &[table], Home::List, 8)).unwrap();
}

fn convert(bench: &Bench) -> [Outcome; 2] {
    let words = |target| ["convert", "-O", "raw", "image.dmg", target];
    [bench.qemu(words("theirs")), bench.instar(words("ours"))]
}

both_sandboxes!(
    chunks_of_every_kind_are_read,
    the_name_alone_says_what_it_is,
    errors_of_the_trailer_are_those_of_the_reference,
    lies_of_tables_are_refused,
    chunks_out_of_order_are_refused,
    block_tables_that_miscount_are_refused,
    raw_chunks_have_the_bytes_of_their_sectors,
    little_is_never_much,
);

/// ADC, bzip2, LZFSE and xz: 7-Zip is the second opinion.
fn chunks_of_every_kind_are_read(bench: &Bench) {
    for variant in variant::BEYOND {
        let bench = &Bench::new(bench.sandbox());
        variant.make(bench);
        let [theirs, ours] = convert(bench);
        assert_eq!(theirs.code(), Some(1), "{}: {theirs}", variant.name);
        assert_eq!(ours.code(), Some(0), "{}: {ours}", variant.name);
        same_bytes(bench, "disk.raw", "ours", variant.name);
        deviates("dmg-codecs", &theirs.code(), &ours.code());
        // 7-Zip refuses blocks of LZFSE that are not compressed.
        if variant.name == "dmg, LZFSE" {
            continue;
        }
        match seven_zip(bench) {
            Some(opinion) => {
                assert!(opinion == fs::read(bench.path("ours")).unwrap(), "{}", variant.name);
                ledger::opinion("7-Zip", "dmg");
            }
            None => ledger::skip("no 7-Zip: install the package 7zip"),
        }
        for words in [
            &["compare", "-F", "raw", "image.dmg", "disk.raw"][..],
            &["dd", "if=image.dmg", "of=window", "bs=1000", "skip=30"],
        ] {
            bench.instar(words).succeeds();
        }
    }
}

fn the_name_alone_says_what_it_is(bench: &Bench) {
    variant::BY_NAME[0].make(bench);
    fs::copy(bench.path("image.dmg"), bench.path("image")).unwrap();
    fs::copy(bench.path("image.dmg"), bench.path("image.DMG")).unwrap();
    fs::copy(bench.path("image.dmg"), bench.path(".dmg")).unwrap();
    fs::copy(bench.path("disk.raw"), bench.path("disk.dmg")).unwrap();
    bench.qemu(["convert", "-O", "qcow2", "disk.raw", "qcow2.dmg"]).succeeds();
    bench.qemu(["create", "-q", "-f", "qcow2", "-u", "-b", "image.dmg", "over", "1M"]);
    for line in [
        "info image",
        "info -f dmg image",
        "info image.DMG",
        "info .dmg",
        "info ./.dmg",
        "info disk.dmg",
        "info -f raw disk.dmg",
        "info qcow2.dmg",
        "convert -O raw disk.dmg out",
        "map --output=json image.DMG",
        "info -f dmg over",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let [theirs, ours] = [bench.qemu(&words), bench.instar(&words)];
        assert_eq!((theirs.code(), theirs.text()), (ours.code(), ours.text()), "{line}: {theirs}{ours}");
    }
    // A layer below is recognised by its name, too.
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "image.dmg", "-F", "dmg", "over"]).succeeds();
    bench.qemu(["rebase", "-u", "-b", "image.dmg", "over"]);
    bench.instar(["compare", "-F", "raw", "over", "disk.raw"]).succeeds();
}

fn errors_of_the_trailer_are_those_of_the_reference(bench: &Bench) {
    variant::BY_NAME[0].make(bench);
    let sound = fs::read(bench.path("image.dmg")).unwrap();
    for length in [0, 1, 511] {
        fs::write(bench.path("image.dmg"), &sound[..length]).unwrap();
        same_outcome(bench, &["info", "-f", "dmg", "image.dmg"], &format!("{length} bytes"));
    }
    for tail in [0, 100, 511, 512, 600] {
        let mut longer = sound.clone();
        longer.resize(sound.len() + tail, 0);
        fs::write(bench.path("image.dmg"), longer).unwrap();
        same_outcome(bench, &["info", "image.dmg"], &format!("{tail} bytes more"));
    }
}

/// The words of the reference are a line of their own, if it has any.
fn lies_of_tables_are_refused(bench: &Bench) {
    let end = dmg::entry(dmg::TERMINATOR, 8, 0, 0, 0);
    let raw = |sector, sectors, length| dmg::entry(dmg::RAW, sector, sectors, 0, length);
    for (words, entries) in [
        ("sector count 131073 for chunk 0 is larger than max (131072)", vec![raw(0, 131_073, 512)]),
        (
            "length 67108865 for chunk 1 is larger than max (67108864)",
            vec![raw(0, 4, 2048), raw(4, 4, (64 << 20) + 1)],
        ),
    ] {
        lie(bench, &[entries, vec![end.clone()]].concat(), None);
        let [theirs, ours] = convert(bench);
        assert_eq!(theirs.code(), Some(1), "{words}: {theirs}");
        assert!(theirs.errors().contains(words), "{theirs}");
        ours.fails_with(words);
    }
    for (entries, words) in [
        (vec![dmg::entry(dmg::ZERO, u64::MAX, 4, 0, 0)], "out of range"),
        (vec![raw(0, 4, 2048)], "no chunk of the image has sector 4"),
        (vec![raw(0, 4, 2048), dmg::entry(0x8000_0009, 4, 4, 2048, 2048)], "a chunk of type 80000009"),
        (
            vec![raw(0, 4, 2048), dmg::entry(dmg::ZLIB, 4, 4, 2048, 2048)],
            "the compressed data at byte 2048 is damaged",
        ),
        (vec![raw(0, 4, 2048), dmg::entry(dmg::ZLIB, 4, 4, 1 << 50, 2048)], "is damaged"),
    ] {
        lie(bench, &[entries, vec![end.clone()]].concat(), None);
        let [theirs, ours] = convert(bench);
        assert_eq!(theirs.code(), Some(1), "{words}: {theirs}");
        ours.fails_with(words);
        assert!(!bench.path("ours").exists(), "{words}");
    }
}

fn chunks_out_of_order_are_refused(bench: &Bench) {
    let raw = |sector, offset| dmg::entry(dmg::RAW, sector, 4, offset, 2048);
    for entries in [[raw(4, 2048), raw(0, 0)], [raw(0, 0), raw(3, 2048)]] {
        lie(bench, &entries, None);
        let [theirs, ours] = [bench.qemu(["info", "image.dmg"]), bench.instar(["info", "image.dmg"])];
        ours.fails_with("before the end of the chunk in front of it");
        deviates("dmg-order", &theirs.code(), &ours.code());
    }
}

fn block_tables_that_miscount_are_refused(bench: &Bench) {
    let raw = |sector, offset| dmg::entry(dmg::RAW, sector, 4, offset, 2048);
    for stated in [0, 1, 3] {
        lie(bench, &[raw(0, 0), raw(4, 2048)], Some(stated));
        let [theirs, ours] = convert(bench);
        ours.fails_with("but it has 2");
        deviates("dmg-entries", &theirs.code(), &ours.code());
    }
}

fn raw_chunks_have_the_bytes_of_their_sectors(bench: &Bench) {
    let raw = |length| [dmg::entry(dmg::RAW, 0, 8, 0, length), dmg::entry(dmg::TERMINATOR, 8, 0, 0, 0)];
    for length in [8 * 512, 8 * 512 - 1, 7 * 512 + 1] {
        lie(bench, &raw(length), None);
        convert(bench)[1].succeeds();
        let mut expected = disk::pattern(0, length, 1);
        expected.resize(8 * 512, 0);
        assert!(fs::read(bench.path("ours")).unwrap() == expected, "{length}");
    }
    for length in [0, 7 * 512, 8 * 512 + 1] {
        lie(bench, &raw(length), None);
        let words = format!("length {length} for chunk 0 is inconsistent with sector count 8");
        let [theirs, ours] = [bench.qemu(["info", "image.dmg"]), bench.instar(["info", "image.dmg"])];
        ours.fails_with(&words);
        if theirs.code() == Some(0) {
            deviates("dmg-raw-length", &theirs.code(), &ours.code());
        }
    }
}

/// A terabyte of one stream, or of zeros.
fn little_is_never_much(bench: &Bench) {
    let stream = zlib(&disk::text(0, 64 << 20));
    let entries: Vec<Vec<u8>> = (0..2000)
        .map(|number| dmg::entry(dmg::ZLIB, number * 131_072, 131_072, 0, stream.len() as u64))
        .collect();
    let table = dmg::table(0, 2000 * 131_072, 0, &entries);
    fs::write(bench.path("image.dmg"), dmg::finish(stream, &[table], Home::List, 2000 * 131_072)).unwrap();
    bench.instar(["convert", "--untrusted", "-O", "raw", "image.dmg", "out"]).fails();
    assert!(!bench.path("out").exists());
    assert_eq!(bench.instar(["info", "--safety", "image.dmg"]).code(), Some(1));
    let zeros = dmg::image(&[&[chunk(dmg::ZERO, 1 << 31, b"")]], Home::List);
    fs::write(bench.path("image.dmg"), zeros).unwrap();
    bench.instar(["convert", "-O", "qcow2", "image.dmg", "out"]).succeeds();
}
