//! `snapshot`: the list is that of the installed qemu-img; what changes an image is refused.

use instar_tests::compare::same_outcome;
use instar_tests::ledger::deviates;
use instar_tests::variant;
use instar_tests::{Bench, disk, in_both_sandboxes};

in_both_sandboxes! {
    fn lists_snapshots_as_the_reference_does(bench) {
        for variants in [variant::STATES, variant::RAW, variant::FOREIGN] {
            for variant in variants {
                let bench = &Bench::new(bench.sandbox());
                variant.make(bench);
                for words in [["snapshot", "image"].as_slice(), &["snapshot", "-l", "image"], &["snapshot", "-q", "-l", "image"], &["snapshot", "--list", "-U", "image"]] {
                    same_outcome(bench, words, variant.name);
                }
            }
        }
    }

    fn lists_many_of_them_with_odd_names(bench) {
        bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
        for number in 0..40 {
            let name = match number % 4 {
                0 => format!("snapshot {number}"),
                1 => format!("näme-{number}"),
                2 => "x".repeat(number),
                _ => format!("{number}"),
            };
            bench.qemu(["snapshot", "-c", &name, "image"]).succeeds();
        }
        let ours = same_outcome(bench, &["snapshot", "-l", "image"], "forty");
        assert_eq!(ours.text().lines().count(), 42);
        for words in [
            ["snapshot", "-l", "-f", "qcow2", "image"].as_slice(),
            &["snapshot", "-l", "-f", "raw", "image"],
            &["snapshot", "--image-opts", "driver=qcow2,file.filename=image"],
            &["info", "image"],
        ] {
            same_outcome(bench, words, "ways to ask");
        }
    }

    fn what_changes_an_image_is_refused_in_one_message(bench) {
        bench.qemu(["create", "-q", "-f", "qcow2", "image", "1M"]).succeeds();
        bench.qemu(["snapshot", "-c", "one", "image"]).succeeds();
        let before = std::fs::read(bench.path("image")).unwrap();
        for words in [["snapshot", "-c", "two", "image"], ["snapshot", "-a", "one", "image"], ["snapshot", "-d", "one", "image"]] {
            let ours = bench.instar(words);
            ours.fails_with("instar does not change images in place yet");
            assert_eq!(ours.errors().lines().count(), 1);
            assert_eq!(std::fs::read(bench.path("image")).unwrap(), before);
        }
        let theirs = bench.qemu(["snapshot", "-c", "two", "image"]).code();
        deviates("snapshot-changes", &theirs, &bench.instar(["snapshot", "-c", "three", "image"]).code());
    }

    fn nothing_below_is_opened_for_a_list(bench) {
        disk::usual(&bench.path("base.raw"));
        bench.qemu(["create", "-q", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "image"]).succeeds();
        bench.qemu(["snapshot", "-c", "one", "image"]).succeeds();
        same_outcome(bench, &["snapshot", "-l", "image"], "with the layer below");
        std::fs::remove_file(bench.path("base.raw")).unwrap();
        let (theirs, ours) = (bench.qemu(["snapshot", "-l", "image"]), bench.instar(["snapshot", "-l", "image"]));
        assert!(ours.succeeds().text().contains("one"), "{ours}");
        deviates("snapshot-list-alone", &theirs.code(), &ours.code());
    }
}
