//! `checksum`: what the specification says, for any container. An independent program computes it, too.

use std::process::Command;
use std::time::Duration;

use instar_tests::disk;
use instar_tests::{Bench, in_both_sandboxes, ledger, variant};

/// The specification in another language, as docs/verbs/checksum.md has it.
fn by_python(bench: &Bench, file: &str) -> Option<String> {
    let page = include_str!("../../../docs/verbs/checksum.md");
    let (_, program) = page.split_once("```python\n").unwrap();
    let (program, _) = program.split_once("```").unwrap();
    let outcome = Command::new("python3")
        .args(["-c", program])
        .arg(bench.path(file))
        .output();
    let Ok(outcome) = outcome else {
        ledger::skip("python3 is not installed: no second program computes checksums");
        return None;
    };
    assert!(outcome.status.success(), "{outcome:?}");
    Some(String::from_utf8(outcome.stdout).unwrap().trim().to_owned())
}

/// The checksum of an image, without its name.
fn checksum(bench: &Bench, words: &[&str]) -> String {
    let outcome = bench.instar(["checksum"].iter().chain(words));
    outcome.succeeds().text().split_once("  ").unwrap().0.to_owned()
}

in_both_sandboxes! {
    fn is_what_the_specification_says(bench) {
        for (size, pieces) in [
            (0, &[][..]),
            (512, &[disk::Piece::Data(0, 512, 1)]),
            (65536, &[disk::Piece::Data(0, 65536, 1)]),
            (65536 + 512, &[]),
            (300 * 65536 + 1024, &[disk::Piece::Data(70_000, 90_000, 2), disk::Piece::Zeros(1 << 20, 1 << 20), disk::Piece::Data(299 * 65536 + 1, 66_000, 3)]),
            (257 * 65536, &[]),
            (256 * 65536, &[disk::Piece::Data(256 * 65536 - 1, 1, 4)]),
        ] {
            disk::make(&bench.path("disk.raw"), size, pieces);
            if let Some(expected) = by_python(bench, "disk.raw") {
                for lanes in ["1", "2", "16"] {
                    assert_eq!(checksum(bench, &["-a", "sha256", "-f", "raw", "-m", lanes, "disk.raw"]), expected, "{size}");
                }
            }
        }
    }

    fn is_the_same_for_any_container(bench) {
        disk::usual(&bench.path("disk.raw"));
        let expected = checksum(bench, &["-f", "raw", "disk.raw"]);
        assert!(expected.starts_with("blake3-tree:") && expected.len() == 12 + 64, "{expected}");
        for words in [&["-O", "qcow2"][..], &["-O", "qcow2", "-c"], &["-O", "vmdk"], &["-O", "vmdk", "-o", "subformat=streamOptimized"], &["-O", "vdi"], &["-O", "vhdx"], &["-O", "vpc", "-o", "force_size=on"], &["-O", "raw"]] {
            let all = ["convert", "--checksum", "-f", "raw"].iter().chain(words).chain(&["disk.raw", "out"]);
            let line = bench.instar(all).succeeds().text();
            assert_eq!(line, format!("{expected}  out\n"), "{words:?}");
            assert_eq!(checksum(bench, &["-f", words[1], "out"]), expected, "{words:?}");
        }
    }

    fn is_that_of_what_a_chain_shows(bench) {
        for chain in variant::CHAINS {
            let bench = &Bench::new(bench.sandbox());
            chain.make(bench);
            let words: Vec<&str> = ["convert", "-O", "raw"].iter().chain(chain.source).chain(&["whole.raw"]).copied().collect();
            bench.qemu(&words).succeeds();
            assert_eq!(checksum(bench, chain.source), checksum(bench, &["-f", "raw", "whole.raw"]), "{}", chain.name);
        }
    }

    fn is_json_when_asked(bench) {
        disk::usual(&bench.path("disk.raw"));
        let outcome = bench.instar(["checksum", "--output=json", "-f", "raw", "disk.raw"]);
        let json: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
        assert_eq!(json["virtual-size"], disk::USUAL_BYTES);
        assert_eq!(json["algorithm"], "blake3-tree");
        assert_eq!(json["filename"], "disk.raw");
        assert_eq!(json["checksum"].as_str().unwrap().len(), 64);
        bench.instar(["checksum", "-a", "md5", "disk.raw"]).fails_with("there are blake3 and sha256");
        bench.instar(["convert", "--checksum=md5", "disk.raw", "out"]).fails_with("there are blake3 and sha256");
    }

    fn a_petabyte_of_nothing_takes_no_time(bench) {
        bench.qemu(["create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", "image", "1P"]).succeeds();
        bench.instar(["checksum", "image"]).succeeds().within(Duration::from_secs(5));
    }
}
