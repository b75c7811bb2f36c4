//! The recorded part of a result: all of it except values that depend on the clock, on chance or on the filesystem.

use std::fmt::Write;
use std::fs;

use instar_tests::compare::qemu_info;
use instar_tests::{Bench, Outcome};

use crate::dd;

/// Members of JSON and lines of text whose values are not kept.
const UNSETTLED: &[&str] = &[
    "\"actual-size\": ",
    "\"cid\": ",
    "\"parent-cid\": ",
    "\"date-sec\": ",
    "\"date-nsec\": ",
    "disk size: ",
    "    cid: ",
    "parent cid: ",
];

/// Exit code, output and messages.
pub(super) fn outcome(outcome: &Outcome) -> String {
    let mut text = format!("exit {}\n", outcome.code().unwrap_or(-1));
    for line in outcome.text().lines() {
        let _ = writeln!(text, "| {}", settled(line));
    }
    for line in dd::complaint(outcome).lines() {
        let _ = writeln!(text, "! {line}");
    }
    text
}

/// A line without what differs from run to run.
fn settled(line: &str) -> String {
    for word in UNSETTLED {
        if let Some((before, after)) = line.split_once(word) {
            let comma = if after.ends_with(',') { "," } else { "" };
            return format!("{before}{word}…{comma}");
        }
    }
    // A date in the table of snapshots: 2026-01-01 10:20:30.
    let digits: String =
        line.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    match digits.find("0000-00-00 00:00:00") {
        Some(at) => format!("{}(date and time)    {}", &line[..at], &line[at + 19..]),
        None => line.to_owned(),
    }
}

/// The format of a new image, and its disk.
pub(super) fn image(bench: &Bench, name: &str) -> String {
    let info = qemu_info(bench, name);
    let format = info["format"].as_str().unwrap();
    let raw = "read-back.raw";
    let bytes = if format == "raw" {
        fs::read(bench.path(name)).unwrap()
    } else {
        bench.qemu(["convert", "-f", format, "-O", "raw", name, raw]).succeeds();
        let bytes = fs::read(bench.path(raw)).unwrap();
        fs::remove_file(bench.path(raw)).unwrap();
        bytes
    };
    format!("> {format}, {} bytes, {:016x}\n", bytes.len(), fnv(&bytes))
}

/// FNV-1a, which is enough to distinguish disks that were not made to collide.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Lines that only one of the two has.
pub(super) fn difference(known: &str, found: &str, who: &str) -> String {
    let (known, found): (Vec<&str>, Vec<&str>) = (known.lines().collect(), found.lines().collect());
    let same = known.iter().zip(&found).take_while(|(a, b)| a == b).count();
    let rest = known.len().min(found.len()) - same;
    let tail = known.iter().rev().zip(found.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let mut text = String::new();
    for line in &known[same..known.len() - tail] {
        let _ = writeln!(text, "  recorded: {line}");
    }
    for line in &found[same..found.len() - tail] {
        let _ = writeln!(text, "  {who}: {line}");
    }
    text
}

#[test]
fn a_difference_shows_the_lines_that_differ() {
    assert_eq!(difference("a\nb\nc", "a\nx\nc", "instar"), "  recorded: b\n  instar: x\n");
    assert_eq!(difference("a", "a\nb", "instar"), "  instar: b\n");
}

#[test]
fn dates_sizes_on_disk_and_identifiers_are_not_kept() {
    for (line, kept) in [
        (
            "1         s1                    0 B 2026-11-26 17:11:31 00:00:00.000          0",
            "1         s1                    0 B (date and time)     00:00:00.000          0",
        ),
        ("    \"actual-size\": 4096,", "    \"actual-size\": …,"),
        ("disk size: 1.2 MiB", "disk size: …"),
        ("virtual size: 4 MiB", "virtual size: 4 MiB"),
    ] {
        assert_eq!(settled(line), kept);
    }
}
