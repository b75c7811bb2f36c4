//! Partitions: the tables are made and read by sfdisk, sgdisk, parted and partx; a partition is what they say, byte by byte.

use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::process::{Command, Stdio};

use instar_tests::compare::{allocated, checks_clean_as, same_bytes};
use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, both_sandboxes, ledger};
use serde_json::Value;

/// Bytes of the disks.
const SIZE: u64 = 16 << 20;
/// Bytes of a sector.
const SECTOR: u64 = 512;

/// Three partitions with names, marks and types, from the first MiB on.
const GPT: &str = "label: gpt\n\
    size=2M,type=U,name=\"EFI ü ☃\"\n\
    size=5M,type=L,attrs=\"RequiredPartition LegacyBIOSBootable GUID:60\",name=\"a\tb\"\n\
    type=S\n";
/// Two primary ones, an extended one with three logical ones.
const MBR: &str = "label: dos\n\
    label-id: 0x1a2b3c4d\n\
    size=2M,bootable\n\
    size=3M,type=7\n\
    start=14336,type=5\n\
    start=16384,size=1M\n\
    start=20480,size=2M,type=82\n\
    start=28672,type=8e\n";

/// Makes `disk.raw`, full of data with a hole in it, and partitions it with sfdisk; none where there is no sfdisk.
fn partitioned(bench: &Bench, script: &str) -> Option<Value> {
    full_disk(bench);
    let tables = Command::new("/sbin/sfdisk")
        .args(["--quiet", "--wipe=never", "disk.raw"])
        .current_dir(bench.directory())
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .spawn();
    let Ok(mut tables) = tables else {
        ledger::skip("sfdisk is not installed: no second program makes partition tables");
        return None;
    };
    tables.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(tables.wait().unwrap().success(), "{script}");
    Some(by_sfdisk(bench, "disk.raw"))
}

/// A disk that is full of data behind its first MiB, with a hole in the middle.
fn full_disk(bench: &Bench) {
    let pieces = [
        Piece::Data(1 << 20, 5 << 20, 1),
        Piece::Text(9 << 20, 3 << 20),
        Piece::Data(12 << 20, (4 << 20) - (64 << 10), 2),
    ];
    disk::make(&bench.path("disk.raw"), SIZE, &pieces);
}

/// What sfdisk says of a disk.
fn by_sfdisk(bench: &Bench, disk: &str) -> Value {
    let said = Command::new("/sbin/sfdisk")
        .args(["--json", disk])
        .current_dir(bench.directory())
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&said.stdout).unwrap();
    json["partitiontable"].clone()
}

/// A program that changes tables, if it is there.
fn tool(bench: &Bench, words: &[&str]) -> Option<()> {
    let outcome = Command::new(format!("/sbin/{}", words[0]))
        .args(&words[1..])
        .current_dir(bench.directory())
        .env("PARTED_SECTOR_SIZE", "4096")
        .output();
    let Ok(outcome) = outcome else {
        ledger::skip("sgdisk or parted is not installed: it makes no partition tables");
        return None;
    };
    assert!(outcome.status.success(), "{words:?}: {outcome:?}");
    Some(())
}

/// The numbers and places that sfdisk has: of `disk.raw5`, number 5.
fn places(table: &Value) -> Vec<(u64, u64, u64)> {
    let partitions = table["partitions"].as_array().unwrap().iter();
    let place = |partition: &Value| {
        let node = partition["node"].as_str().unwrap();
        let number = node.trim_start_matches("disk.raw").parse().unwrap();
        let bytes = |key: &str| partition[key].as_u64().unwrap() * SECTOR;
        (number, bytes("start"), bytes("size"))
    };
    partitions.map(place).collect()
}

fn ours(bench: &Bench, words: &[&str]) -> Value {
    let words = ["info", "--output=json"].iter().chain(words);
    serde_json::from_slice(&bench.instar(words).succeeds().stdout).unwrap()
}

fn our_places(table: &Value) -> Vec<(u64, u64, u64)> {
    let partitions = table["partitions"].as_array().unwrap().iter();
    let number = |partition: &Value, key: &str| partition[key].as_u64().unwrap();
    partitions
        .map(|partition| (number(partition, "number"), number(partition, "start"), number(partition, "size")))
        .collect()
}

/// The bytes of `disk.raw` at a place, in a file.
fn cut_out(bench: &Bench, (start, size): (u64, u64), file: &str) {
    let mut bytes = vec![0; size as usize];
    fs::File::open(bench.path("disk.raw")).unwrap().read_exact_at(&mut bytes, start).unwrap();
    fs::write(bench.path(file), bytes).unwrap();
}

/// Changes a byte of `disk.raw`.
fn break_byte(bench: &Bench, at: u64) {
    let file = fs::File::options().read(true).write(true).open(bench.path("disk.raw")).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

both_sandboxes!(
    info_says_of_a_gpt_what_sfdisk_says,
    info_says_of_an_mbr_what_sfdisk_says,
    partx_sees_the_same_partitions_even_of_damaged_tables,
    every_partition_of_every_container_is_what_sfdisk_says,
    a_partition_is_read_alike_by_every_verb,
    a_partition_of_a_disk_with_large_sectors_is_read,
    a_partition_becomes_any_image,
    holes_of_a_partition_stay_holes,
    a_partition_of_an_encrypted_disk_is_read,
    damage_to_one_copy_of_a_gpt_is_a_warning,
    copies_of_a_gpt_that_disagree_are_refused_until_one_is_chosen,
    a_hybrid_mbr_is_refused_only_if_it_disagrees,
    a_partition_that_was_cut_off_is_refused,
    names_from_a_table_are_printed_escaped,
    what_partition_cannot_be_used_with_is_refused,
);

fn info_says_of_a_gpt_what_sfdisk_says(bench: &Bench) {
    let Some(theirs) = partitioned(bench, GPT) else {
        return;
    };
    for words in [&["--partitions", "disk.raw"], &["--partitions=backup", "disk.raw"]] {
        let ours = ours(bench, words);
        assert_eq!(ours["label"], "gpt");
        assert_eq!(ours["virtual-size"], SIZE);
        assert_eq!(ours["identifier"], theirs["id"]);
        assert_eq!(ours["sector-size"], SECTOR);
        assert_eq!(ours["backup"], words[0].ends_with("backup"));
        assert_eq!(our_places(&ours), places(&theirs));
        assert_eq!(ours["warnings"], Value::Array(Vec::new()));
        assert!(ours.get("disputed").is_none());
        let pairs =
            ours["partitions"].as_array().unwrap().iter().zip(theirs["partitions"].as_array().unwrap());
        for (ours, theirs) in pairs {
            assert_eq!(ours["type"], theirs["type"]);
            assert_eq!(ours["identifier"], theirs["uuid"]);
            assert_eq!(ours["name"].as_str(), theirs.get("name").map_or(Some(""), Value::as_str));
        }
        let second = &ours["partitions"][1];
        assert_eq!(second["bootable"], true);
        // Bits 0, 2 and 60.
        assert_eq!(second["attributes"], "0x1000000000000005");
        assert_eq!(second["type-name"], "Linux filesystem");
    }
}

fn info_says_of_an_mbr_what_sfdisk_says(bench: &Bench) {
    let Some(theirs) = partitioned(bench, MBR) else {
        return;
    };
    let ours = ours(bench, &["--partitions", "disk.raw"]);
    assert_eq!(ours["label"], "mbr");
    assert_eq!(ours["identifier"], theirs["id"]);
    // sfdisk has logical partitions behind the others, too.
    assert_eq!(our_places(&ours), places(&theirs));
    assert_eq!(our_places(&ours).len(), 6);
    for (ours, theirs) in
        ours["partitions"].as_array().unwrap().iter().zip(theirs["partitions"].as_array().unwrap())
    {
        let number = u8::from_str_radix(theirs["type"].as_str().unwrap(), 16).unwrap();
        assert_eq!(ours["type"], format!("{number:#04x}"));
        assert_eq!(ours["bootable"], theirs.get("bootable").is_some());
    }
    let text = bench.instar(["info", "--partitions", "disk.raw"]).succeeds().text();
    for line in ["partition table: mbr", "disk identifier: 0x1a2b3c4d", "sector size: 512"] {
        assert!(text.contains(line), "{text}");
    }
}

/// What partx says of `disk.raw`, with the library by which udev and systemd find partitions.
fn by_partx(bench: &Bench) -> Vec<(u64, u64, u64)> {
    let said = Command::new("partx")
        .args(["--show", "--noheadings", "--output=NR,START,SECTORS", "disk.raw"])
        .current_dir(bench.directory())
        .output()
        .unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let numbers =
        |line: &str| -> Vec<u64> { line.split_whitespace().map(|word| word.parse().unwrap()).collect() };
    text.lines().map(numbers).map(|line| (line[0], line[1] * SECTOR, line[2] * SECTOR)).collect()
}

fn partx_sees_the_same_partitions_even_of_damaged_tables(bench: &Bench) {
    let last = SIZE - SECTOR;
    for (script, broken) in [
        (GPT, None),
        (GPT, Some(SECTOR + 16)),
        (GPT, Some(last + 16)),
        (GPT, Some(2 * SECTOR + 8)),
        (MBR, None),
    ] {
        if partitioned(bench, script).is_none() {
            return;
        }
        if let Some(at) = broken {
            break_byte(bench, at);
        }
        let ours = our_places(&ours(bench, &["--partitions", "disk.raw"]));
        assert_eq!(ours, by_partx(bench), "{broken:?}");
    }
}

fn every_partition_of_every_container_is_what_sfdisk_says(bench: &Bench) {
    for script in [GPT, MBR] {
        let Some(theirs) = partitioned(bench, script) else {
            return;
        };
        bench.qemu(["create", "-q", "-f", "qcow2", "-b", "disk.raw", "-F", "raw", "top"]).succeeds();
        for (format, options) in [
            ("raw", &[][..]),
            ("qcow2", &["-c"]),
            ("qcow2", &["-o", "cluster_size=512"]),
            ("vmdk", &["-o", "subformat=streamOptimized"]),
            ("vhdx", &[]),
            ("vpc", &["-o", "force_size=on"]),
            ("vdi", &[]),
        ] {
            let words = [&["convert", "-O", format], options, &["disk.raw", "image"]].concat();
            bench.qemu(words).succeeds();
            check_partitions(bench, &["-f", format, "image"], &places(&theirs));
        }
        check_partitions(bench, &["-f", "qcow2", "top"], &places(&theirs));
    }
}

fn check_partitions(bench: &Bench, source: &[&str], places: &[(u64, u64, u64)]) {
    for (number, start, size) in bench.share(places) {
        cut_out(bench, (*start, *size), "expected");
        let number = number.to_string();
        let words = ["convert", "--partition", &number].into_iter();
        bench.instar(words.chain(source.iter().copied()).chain(["out"])).succeeds();
        same_bytes(bench, "expected", "out", &format!("{source:?} {number}"));
    }
}

fn a_partition_is_read_alike_by_every_verb(bench: &Bench) {
    if partitioned(bench, GPT).is_none() {
        return;
    }
    let (start, size) = (3 << 20, 5 << 20);
    cut_out(bench, (start, size), "part.raw");
    bench.qemu(["convert", "-f", "raw", "-O", "raw", "part.raw", "sparse.raw"]).succeeds();
    bench.qemu(["convert", "-c", "-O", "qcow2", "disk.raw", "disk.qcow2"]).succeeds();
    for source in [["-f", "raw", "disk.raw"], ["-f", "qcow2", "disk.qcow2"]] {
        let run = |words: &[&str], source: &[&str]| {
            bench.instar(words.iter().chain(source)).succeeds().text().replace(source[2], "X")
        };
        let whole = ["-f", "raw", "part.raw"];
        let part = |verb: &[&'static str]| [verb, &["--partition", "2"]].concat();
        assert_eq!(run(&part(&["checksum"]), &source), run(&["checksum"], &whole));
        for format in ["raw", "vdi"] {
            let measure = ["measure", "-O", format];
            assert_eq!(
                run(&part(&measure), &source),
                run(&measure, &["-f", "raw", "sparse.raw"]),
                "{format}"
            );
        }
        bench
            .instar(
                ["compare", "--partition=gpt:2", "-F", "raw"]
                    .iter()
                    .chain(&source[..2])
                    .chain(&[source[2], "part.raw"]),
            )
            .succeeds();
        let twice = ["compare", "-s", "--partition=2", "--partition=backup:2", source[2], source[2]];
        bench.instar(twice).succeeds();
        let other = ["compare", "--partition=2", "--partition=1", source[2], source[2]];
        assert_eq!(bench.instar(other).code(), Some(1));
        let missing = ["compare", "--partition=7", source[2], source[2]];
        assert_eq!(bench.instar(missing).code(), Some(2));
        // A window of the partition.
        let named = format!("if={}", source[2]);
        bench
            .instar(["dd", "--partition=2", "-f", source[1], &named, "of=out", "bs=64k", "skip=3", "count=9"])
            .succeeds();
        bench
            .qemu(["dd", "-f", "raw", "if=part.raw", "of=expected", "bs=64k", "skip=3", "count=9"])
            .succeeds();
        same_bytes(bench, "expected", "out", "dd");
        let line =
            bench.instar(["convert", "--checksum", "--partition=2", "-f", source[1], source[2], "out"]);
        assert_eq!(line.succeeds().text().split(' ').next(), run(&["checksum"], &whole).split(' ').next());
        same_bytes(bench, "part.raw", "out", source[1]);
    }
    // Runs are those of the file, and count from the partition's start.
    let map = bench.instar(["map", "--output=json", "--partition=2", "-f", "raw", "disk.raw"]);
    let runs: Value = serde_json::from_slice(&map.succeeds().stdout).unwrap();
    let mut at = 0;
    for run in runs.as_array().unwrap() {
        assert_eq!(run["start"], at);
        if run["data"] == true {
            assert_eq!(run["offset"], start + at);
        }
        at += run["length"].as_u64().unwrap();
    }
    assert_eq!(at, size);
}

fn a_partition_of_a_disk_with_large_sectors_is_read(bench: &Bench) {
    full_disk(bench);
    let make = [
        "parted", "-s", "disk.raw", "mklabel", "gpt", "mkpart", "one", "1MiB", "9MiB", "mkpart", "two",
        "10MiB", "14MiB",
    ];
    if tool(bench, &make).is_none() {
        return;
    }
    let ours = ours(bench, &["--partitions", "disk.raw"]);
    assert_eq!(ours["sector-size"], 4096);
    assert_eq!(our_places(&ours), [(1, 1 << 20, 8 << 20), (2, 10 << 20, 4 << 20)]);
    cut_out(bench, (10 << 20, 4 << 20), "expected");
    bench.instar(["convert", "--partition=2", "-f", "raw", "disk.raw", "out"]).succeeds();
    same_bytes(bench, "expected", "out", "sectors of 4096 bytes");
}

fn a_partition_becomes_any_image(bench: &Bench) {
    if partitioned(bench, GPT).is_none() {
        return;
    }
    cut_out(bench, (3 << 20, 5 << 20), "expected");
    for (format, options) in [
        ("qcow2", &[][..]),
        ("qcow2", &["-c"]),
        ("vmdk", &["-o", "subformat=twoGbMaxExtentSparse"]),
        ("vmdk", &["-o", "subformat=streamOptimized"]),
        ("vhdx", &[]),
        ("vdi", &[]),
        ("raw", &["-o", "preallocation=full"]),
        ("raw", &["-S", "0"]),
    ] {
        let words = [&["convert", "--partition=2", "-O", format], options, &["disk.raw", "image"]].concat();
        bench.instar(words).succeeds();
        bench.qemu(["compare", "-f", format, "-F", "raw", "image", "expected"]).succeeds();
        if !["raw", "vmdk"].contains(&format) {
            checks_clean_as(bench, format, "image", format);
        }
    }
    fs::copy(bench.path("expected"), bench.path("existing")).unwrap();
    bench.instar(["convert", "-n", "--partition=1", "-f", "raw", "disk.raw", "existing"]).succeeds();
    cut_out(bench, (1 << 20, 2 << 20), "first");
    let written = fs::read(bench.path("existing")).unwrap();
    assert!(
        written[..2 << 20] == fs::read(bench.path("first")).unwrap(),
        "the first partition is not at the start"
    );
    assert!(
        written[2 << 20..] == fs::read(bench.path("expected")).unwrap()[2 << 20..],
        "bytes behind it changed"
    );
}

fn holes_of_a_partition_stay_holes(bench: &Bench) {
    let bench = &bench.on_disk(); // Where a file in memory is copied, its holes are found in another way.
    if partitioned(bench, GPT).is_none() {
        return;
    }
    bench.instar(["convert", "--partition=2", "-f", "raw", "disk.raw", "out"]).succeeds();
    assert_eq!(fs::metadata(bench.path("out")).unwrap().len(), 5 << 20);
    // Of its five MiB the first three have data.
    let space = allocated(&bench.path("out"));
    assert!(space <= (3 << 20) + (64 << 10), "{space} bytes");
}

fn a_partition_of_an_encrypted_disk_is_read(bench: &Bench) {
    if partitioned(bench, GPT).is_none() {
        return;
    }
    let secret = ["--object", "secret,id=s,data=word"];
    let options = ["convert", "-O", "luks", "-o", "key-secret=s,iter-time=10"];
    bench.qemu(options.iter().chain(&secret).chain(&["disk.raw", "disk.luks"])).succeeds();
    cut_out(bench, (3 << 20, 5 << 20), "expected");
    let words = ["convert", "--partition=2", "--image-opts"].iter().chain(&secret);
    let names = ["driver=luks,key-secret=s,file.filename=disk.luks", "out"];
    bench.instar(words.chain(&names)).succeeds();
    same_bytes(bench, "expected", "out", "luks");
}

fn damage_to_one_copy_of_a_gpt_is_a_warning(bench: &Bench) {
    for (at, warning) in [
        (SECTOR + 16, "warning: disk.raw: the primary GPT at sector 1 is damaged; its backup is used"),
        (2 * SECTOR, "warning: disk.raw: the primary GPT at sector 1 is damaged; its backup is used"),
        (SIZE - SECTOR + 16, "warning: disk.raw: the backup GPT at sector 32767 is damaged or missing"),
    ] {
        if partitioned(bench, GPT).is_none() {
            return;
        }
        cut_out(bench, (3 << 20, 5 << 20), "expected");
        break_byte(bench, at);
        let outcome = bench.instar(["convert", "--partition=2", "-f", "raw", "disk.raw", "out"]);
        assert_eq!(outcome.code(), Some(0), "{outcome:?}");
        assert!(outcome.errors().contains(warning), "{outcome:?}");
        same_bytes(bench, "expected", "out", warning);
        let said = ours(bench, &["--partitions", "disk.raw"]);
        assert!(warning.ends_with(said["warnings"][0].as_str().unwrap()), "{said}");
    }
}

fn copies_of_a_gpt_that_disagree_are_refused_until_one_is_chosen(bench: &Bench) {
    if partitioned(bench, GPT).is_none() {
        return;
    }
    // The backup of another table: its header and entries.
    let old = fs::read(bench.path("disk.raw")).unwrap();
    partitioned(bench, "label: gpt\nsize=1M\nsize=4M\n");
    let backup = old.len() - 33 * 512;
    let file = fs::File::options().write(true).open(bench.path("disk.raw")).unwrap();
    file.write_all_at(&old[backup..], backup as u64).unwrap();
    let refused = bench.instar(["convert", "--partition=2", "-f", "raw", "disk.raw", "out"]);
    refused.fails_with("disk.raw: the primary GPT and its backup show different partitions; choose one with gpt:N or backup:N instead of N");
    assert!(!bench.path("out").exists());
    for (word, place) in [("gpt:2", (2 << 20, 4 << 20)), ("backup:2", (3 << 20, 5 << 20))] {
        cut_out(bench, place, "expected");
        bench.instar(["convert", "--partition", word, "-f", "raw", "disk.raw", "out"]).succeeds();
        same_bytes(bench, "expected", "out", word);
        fs::remove_file(bench.path("out")).unwrap();
    }
    let text = bench.instar(["info", "--partitions", "disk.raw"]).succeeds().text();
    assert!(text.contains("warning: the primary GPT and its backup show different partitions"), "{text}");
}

fn a_hybrid_mbr_is_refused_only_if_it_disagrees(bench: &Bench) {
    if partitioned(bench, GPT).is_none() || tool(bench, &["sgdisk", "--hybrid=2", "disk.raw"]).is_none() {
        return;
    }
    cut_out(bench, (3 << 20, 5 << 20), "expected");
    bench.instar(["convert", "--partition=2", "-f", "raw", "disk.raw", "out"]).succeeds();
    same_bytes(bench, "expected", "out", "hybrid");
    // The sectors of its second slot.
    break_byte(bench, 446 + 12);
    break_byte(bench, 446 + 16 + 12);
    bench
        .instar(["checksum", "--partition=2", "-f", "raw", "disk.raw"])
        .fails_with("of the hybrid MBR is not in the GPT: programs see different partitions; choose one with gpt:N or mbr:N");
    bench.instar(["checksum", "--partition=gpt:2", "-f", "raw", "disk.raw"]).succeeds();
}

fn a_partition_that_was_cut_off_is_refused(bench: &Bench) {
    if partitioned(bench, MBR).is_none() {
        return;
    }
    fs::File::options()
        .write(true)
        .open(bench.path("disk.raw"))
        .unwrap()
        .set_len((6 << 20) - SECTOR)
        .unwrap();
    bench.instar(["convert", "--partition=2", "-f", "raw", "disk.raw", "out"]).fails_with(
        "disk.raw: partition 2 from byte 3145728 to 6291456 is not inside the disk of 6290944 bytes",
    );
    bench.instar(["convert", "--partition=1", "-f", "raw", "disk.raw", "out"]).succeeds();
}

fn names_from_a_table_are_printed_escaped(bench: &Bench) {
    if partitioned(bench, GPT).is_none() {
        return;
    }
    let file = fs::File::options().read(true).write(true).open(bench.path("disk.raw")).unwrap();
    // The name of the first entry of the primary table becomes a control sequence: that copy is damaged then, and the other one clean.
    let escape: Vec<u8> = "\u{1b}[31m".encode_utf16().flat_map(u16::to_le_bytes).collect();
    file.write_all_at(&escape, 2 * SECTOR + 56).unwrap();
    let mut entries = vec![0; 128 * 128];
    file.read_exact_at(&mut entries, 2 * SECTOR).unwrap();
    let mut header = [0; 92];
    file.read_exact_at(&mut header, SECTOR).unwrap();
    header[88..].copy_from_slice(&crc32(&entries).to_le_bytes());
    header[16..20].fill(0);
    let sum = crc32(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(&header, SECTOR).unwrap();
    let text = bench.instar(["info", "--partitions=gpt", "disk.raw"]).succeeds().text();
    assert!(text.contains("\\x1b[31m") && !text.contains('\u{1b}'), "{text}");
}

/// CRC-32 as GPTs have it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            (crc >> 1) ^ 0xedb8_8320
        } else {
            crc >> 1
        }
    };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn what_partition_cannot_be_used_with_is_refused(bench: &Bench) {
    disk::usual(&bench.path("disk.raw"));
    bench.qemu(["convert", "-O", "qcow2", "disk.raw", "disk.qcow2"]).succeeds();
    for (words, why) in [
        (
            &["convert", "--partition=1", "disk.qcow2", "disk.qcow2", "out"][..],
            "--partition cannot be used with several sources",
        ),
        (
            &[
                "convert",
                "--partition=1",
                "-O",
                "qcow2",
                "-B",
                "disk.qcow2",
                "-F",
                "qcow2",
                "disk.qcow2",
                "out",
            ],
            "--partition cannot be used with -B",
        ),
        (
            &["convert", "--partition=1", "--bitmaps", "-O", "qcow2", "disk.qcow2", "out"],
            "--partition cannot be used with --bitmaps",
        ),
        (&["convert", "--partition=0", "disk.qcow2", "out"], "--partition expects a number from 1 on"),
        (&["convert", "--partition=1", "disk.qcow2", "out"], "disk.qcow2: the disk has no partition table"),
        (&["checksum", "--partition=gpt:1", "disk.qcow2"], "disk.qcow2: the disk has no GPT"),
        (&["checksum", "--partition=backup:1", "disk.qcow2"], "disk.qcow2: the disk has no backup GPT"),
        (&["checksum", "--partition=mbr:1", "disk.qcow2"], "disk.qcow2: the disk has no MBR"),
        (&["measure", "--partition=1", "--size=1M"], "--partition requires a filename argument"),
        (&["info", "--partitions=x", "disk.qcow2"], "--partitions expects gpt, backup or mbr, not 'x'"),
        (&["info", "--partitions", "--safety", "disk.qcow2"], "--partitions shows the partition table only"),
    ] {
        bench.instar(words).fails_with(why);
        assert!(!bench.path("out").exists(), "{words:?}");
    }
    let none = ours(bench, &["--partitions", "disk.qcow2"]);
    assert!(none.get("label").is_none());
    let text = bench.instar(["info", "--partitions", "disk.qcow2"]).succeeds().text();
    assert!(text.contains("partition table: none"), "{text}");
}
