//! Every run is bounded, and work that was stopped is never mistaken for work that was finished.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use instar_tests::compare::{checks_clean, qemu_reads, same_bytes};
use instar_tests::craft::{COMPRESSED, Crafted, field};
use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, Outcome, Running, both_sandboxes, variant, wait};

/// The address space that every verb must fit.
const LITTLE: &[&str] = &["prlimit", "--as=268435456"];

fn source(bench: &Bench) {
    disk::make(
        &bench.path("disk.raw"),
        32 << 20,
        &[Piece::Data(0, 16 << 20, 1), Piece::Text(16 << 20, 8 << 20)],
    );
}

/// A source that takes minutes to read and fills no disk: a terabyte whose clusters are all the same compressed zeros.
fn endless(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "endless", "1T"]).succeeds();
    std::fs::write(bench.path("piece"), vec![0; 65536]).unwrap();
    variant::io(bench, "endless", &["write -c -s piece 0 64k"]);
    std::fs::remove_file(bench.path("piece")).unwrap();
    let image = Crafted::open(&bench.path("endless"));
    let l1 = image.get(field::L1_TABLE_OFFSET);
    let l2 = image.get(l1) & 0x00ff_ffff_ffff_fe00;
    let packed = image.get(l2);
    assert_ne!(packed & COMPRESSED, 0, "the cluster is not compressed");
    image.bytes(l2, &packed.to_be_bytes().repeat(8192));
    image.bytes(l1, &l2.to_be_bytes().repeat(2048));
    // Large enough for most limits on work not to matter; --max-output lifts that on data that is decoded again.
    image.length(1 << 34);
}

/// Starts a conversion without end and waits until it is at work.
fn slow(bench: &Bench, words: &[&str]) -> Running {
    let mut running =
        bench.start(["convert", "--max-output", "2T"].iter().chain(words).chain(&["endless", "out"]));
    std::thread::sleep(Duration::from_millis(500));
    assert!(running.runs(), "the conversion ended before it could be stopped: {}", running.finish());
    running
}

both_sandboxes!(
    every_verb_fits_into_256_mebibytes_of_address_space,
    a_time_limit_ends_the_work_and_leaves_nothing,
    an_interrupt_ends_the_work_at_once_and_leaves_nothing,
    a_kill_leaves_nothing_under_the_name,
    an_existing_qcow2_target_is_unmistakably_incomplete_after_a_kill,
    a_full_disk_leaves_nothing,
    a_slow_rate_is_kept,
    an_output_limit_is_kept,
    a_size_limit_is_kept,
);

fn every_verb_fits_into_256_mebibytes_of_address_space(bench: &Bench) {
    source(bench);
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    bench
        .qemu([
            "convert",
            "-c",
            "-o",
            "compression_type=zstd",
            "-f",
            "raw",
            "-O",
            "qcow2",
            "disk.raw",
            "packed",
        ])
        .succeeds();
    let little = |words: &[&str]| Outcome::of(&mut bench.command_under(LITTLE, words)).succeeds().text();
    little(&["sandbox"]);
    assert_eq!(
        little(&["info", "--output=json", "image"]),
        bench.qemu(["info", "--output=json", "image"]).text()
    );
    for words in [
        ["map", "image"].as_slice(),
        &["map", "--output=json", "packed"],
        &["compare", "image", "packed"],
        &["snapshot", "-l", "image"],
    ] {
        assert_eq!(little(words), bench.qemu(words).text());
    }
    bench.qemu(["create", "-q", "-f", "qcow2", "-b", "image", "-F", "qcow2", "over"]).succeeds();
    variant::io(bench, "over", &["write -P 1 1M 9M"]);
    // The disk stays, or is made and unmade.
    for words in [
        ["rebase", "-b", "packed", "-F", "qcow2", "over"].as_slice(),
        &["rebase", "-c", "-b", "image", "-F", "qcow2", "over"],
        &["rebase", "-u", "-b", "image", "-F", "qcow2", "over"],
        &["snapshot", "-c", "one", "over"],
        &["resize", "over", "+1G"],
        &["resize", "--shrink", "over", "-1G"],
        &["snapshot", "-a", "one", "over"],
        &["snapshot", "-d", "one", "over"],
        &["bitmap", "--add", "over", "spots"],
        &["amend", "-o", "lazy_refcounts=on", "over"],
        &["check", "-r", "all", "over"],
        &["bench", "-c", "100", "over"],
        &["bench", "-c", "100", "-w", "--pattern", "1", "-o", "1M", "over"],
        &["commit", "-d", "over"],
        &["commit", "over"],
    ] {
        little(words);
        checks_clean(bench, "over", &words.join(" "));
        variant::io(bench, "over", &["read -P 1 1M 9M"]);
    }
    bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "disk.raw", "image"]).succeeds();
    assert!(little(&["info", "--safety", "packed"]).contains("verdict: safe"));
    for image in ["image", "packed"] {
        little(&["convert", "-O", "raw", image, "out"]);
        same_bytes(bench, "disk.raw", "out", image);
        little(&["dd", &format!("if={image}"), "of=out", "bs=1M"]);
        same_bytes(bench, "disk.raw", "out", image);
    }
    for sparse in ["4k", "3M"] {
        little(&["convert", "-O", "raw", "--checksum", "-m", "16", "-S", sparse, "image", "out"]);
        same_bytes(bench, "disk.raw", "out", sparse);
    }
    for words in [
        ["-O", "qcow2"].as_slice(),
        &["-O", "qcow2", "-c"],
        &["-O", "qcow2", "-c", "-m", "16", "-W"],
        &["-O", "qcow2", "-c", "-o", "compression_type=zstd"],
        &["-O", "qcow2", "-c", "-o", "compression_type=zstd,cluster_size=2M"],
        &["-O", "qcow2", "-c", "-o", "cluster_size=2M"],
        &["-O", "qcow2", "-o", "cluster_size=512"],
        &["-O", "qcow2", "-o", "cluster_size=2M", "--checksum", "-m", "16"],
        &["-O", "qcow2", "-o", "cluster_size=512", "--checksum", "-m", "16", "-S", "3M"],
        &["-O", "qcow2", "-c", "--checksum=sha256", "-m", "16"],
    ] {
        let all: Vec<&str> = ["convert"].iter().chain(words).chain(&["packed", "out"]).copied().collect();
        little(&all);
        checks_clean(bench, "out", &words.join(" "));
        qemu_reads(bench, "out", "disk.raw", &words.join(" "));
    }
}

fn a_time_limit_ends_the_work_and_leaves_nothing(bench: &Bench) {
    endless(bench);
    for format in ["raw", "qcow2"] {
        let outcome =
            bench.instar(["convert", "--max-output", "2T", "--timeout", "1", "-O", format, "endless", "out"]);
        outcome.fails();
        outcome.within(Duration::from_secs(3));
        assert!(outcome.took > Duration::from_millis(900), "{outcome}");
        assert!(outcome.errors().contains("time"), "{outcome}");
    }
    assert_eq!(bench.names(), ["endless"]);
}

fn an_interrupt_ends_the_work_at_once_and_leaves_nothing(bench: &Bench) {
    endless(bench);
    for (signal, number) in [("INT", 2), ("TERM", 15)] {
        for format in ["raw", "qcow2"] {
            let running = slow(bench, &["-O", format]);
            let start = Instant::now();
            running.signal(signal);
            let outcome = running.finish();
            let took = start.elapsed();
            assert_eq!(outcome.status.signal(), Some(number), "{outcome}");
            assert!(took < Duration::from_secs(10), "took {took:?}");
            assert_eq!(bench.names(), ["endless"], "after SIG{signal}");
        }
    }
}

fn a_kill_leaves_nothing_under_the_name(bench: &Bench) {
    endless(bench);
    for format in ["raw", "qcow2"] {
        let running = slow(bench, &["-O", format]);
        let children = descendants(running.id());
        running.signal("KILL");
        running.finish();
        assert!(!bench.path("out").exists(), "{format}: a partial target stands under its name");
        std::thread::sleep(Duration::from_millis(200));
        for child in children {
            assert!(!alive(child), "{format}: process {child} outlived the one that was killed");
        }
    }
}

fn an_existing_qcow2_target_is_unmistakably_incomplete_after_a_kill(bench: &Bench) {
    endless(bench);
    disk::usual(&bench.path("old.raw"));
    for signal in ["INT", "KILL"] {
        bench.qemu(["convert", "-f", "raw", "-O", "qcow2", "old.raw", "out"]).succeeds();
        let before = fs::metadata(bench.path("out")).unwrap().len();
        let running = slow(bench, &["-S", "0", "-c", "-O", "qcow2"]);
        wait::until("a change of the target", || fs::metadata(bench.path("out")).unwrap().len() != before);
        running.signal(signal);
        running.finish();
        assert_ne!(
            bench.qemu(["check", "-f", "qcow2", "out"]).code(),
            Some(0),
            "after SIG{signal} it is taken for finished"
        );
    }
}

fn a_full_disk_leaves_nothing(bench: &Bench) {
    source(bench);
    // The limit on file sizes stands in for a full disk: a write fails in the middle.
    for format in ["raw", "qcow2"] {
        let small = ["prlimit", "--fsize=10485760"];
        let outcome =
            Outcome::of(&mut bench.command_under(&small, ["convert", "-O", format, "disk.raw", "out"]));
        outcome.fails();
        assert_eq!(bench.names(), ["disk.raw"], "{outcome}");
    }
}

fn a_slow_rate_is_kept(bench: &Bench) {
    disk::make(&bench.path("disk.raw"), 4 << 20, &[Piece::Data(0, 3 << 20, 1)]);
    let outcome = bench.instar(["convert", "-r", "2M", "-O", "raw", "disk.raw", "out"]);
    outcome.succeeds();
    assert!(outcome.took > Duration::from_millis(700), "{outcome}");
    same_bytes(bench, "disk.raw", "out", "slow");
}

fn an_output_limit_is_kept(bench: &Bench) {
    source(bench);
    let outcome = bench.instar(["convert", "--max-output", "4M", "-S", "0", "-O", "raw", "disk.raw", "out"]);
    outcome.fails();
    assert_eq!(bench.names(), ["disk.raw"], "{outcome}");
}

fn a_size_limit_is_kept(bench: &Bench) {
    bench.qemu(["create", "-q", "-f", "qcow2", "image", "1G"]).succeeds();
    bench.instar(["convert", "--max-size", "512M", "-O", "raw", "image", "out"]).fails_with("--max-size");
    bench.instar(["convert", "--max-size", "1G", "-O", "raw", "image", "out"]).succeeds();
}

/// Every process below `id`.
fn descendants(id: u32) -> Vec<u32> {
    let list = Outcome::of(std::process::Command::new("ps").args(["-e", "-o", "pid=,ppid="])).text();
    let pairs: Vec<(u32, u32)> = list
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace().map(|word| word.parse().ok());
            Some((words.next()??, words.next()??))
        })
        .collect();
    let mut found = vec![id];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(pairs.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    found.remove(0);
    found
}

fn alive(id: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}
