//! One image in ranges.

use std::fs;
use std::path::PathBuf;

use instar_tests::compare::same_bytes;
use instar_tests::disk::Piece;
use instar_tests::{Bench, both_sandboxes, wait};

use super::{lines, plan, run, status, wait_for};

const MIB: u64 = 1 << 20;
/// Bytes that a process holds which writes a range.
const LOCKS: usize = 3;

/// A qcow2 image of 20 MiB, with data on both sides of the borders of ranges.
fn image(bench: &Bench) {
    let pieces = [
        Piece::Data(0, 100_000, 1),
        Piece::Data(3 * MIB - 1000, 2000, 2),
        Piece::Text(5 * MIB, MIB),
        Piece::Data(9 * MIB + 65536, 3 * MIB, 3),
        Piece::Zeros(14 * MIB, MIB),
        Piece::Data(20 * MIB - 512, 512, 4),
    ];
    bench.make_image(20 * MIB, &pieces, "qcow2", "");
}

fn hidden(bench: &Bench) -> PathBuf {
    lines(bench)[0]["whole"]["hidden"].as_str().unwrap().into()
}

both_sandboxes!(
    ranges_in_any_order_and_twice_are_the_whole_image,
    a_range_that_is_killed_is_written_by_the_next_run,
    ranges_are_written_at_the_same_time_and_nobody_else_writes_or_reads,
    a_target_in_ranges_has_its_name_when_all_are_there,
    a_compressed_source_is_converted_in_ranges,
    plans_in_ranges_that_make_no_sense_leave_nothing,
    a_range_of_any_image_is_copied_to_its_place,
    ranges_that_the_disk_has_not_are_refused,
);

fn ranges_in_any_order_and_twice_are_the_whole_image(bench: &Bench) {
    image(bench);
    bench.qemu(["convert", "-O", "raw", "image", "theirs"]).succeeds();
    for (format, options) in [("raw", &[][..]), ("qcow2", &["-o", "cluster_size=4k"]), ("qcow2", &[])] {
        let words = [&["-O", format, "--range-size", "3M"], options, &["image", "out"]].concat();
        plan(bench, &words);
        assert_eq!(lines(bench)[0]["items"], 7);
        for item in [6, 2, 0, 2, 1, 5, 5, 3, 4] {
            run(bench, item).succeeds();
        }
        assert_eq!(status(bench).1, Some(0));
        bench.instar(["fleet", "finish", "--verify", "plan"]).succeeds();
        bench.qemu(["compare", "-f", "qcow2", "-F", format, "image", "out"]).succeeds();
        if format == "raw" {
            same_bytes(bench, "theirs", "out", "a raw image in ranges");
        } else {
            bench.qemu(["check", "-f", "qcow2", "out"]).succeeds();
        }
        // And finished again.
        bench.instar(["fleet", "finish", "plan"]).succeeds();
        assert!(!hidden(bench).exists());
    }
}

fn a_range_that_is_killed_is_written_by_the_next_run(bench: &Bench) {
    image(bench);
    plan(bench, &["-O", "qcow2", "-r", "1M", "--range-size", "5M", "image", "out"]);
    for item in [0, 3] {
        run(bench, item).succeeds();
    }
    let killed = bench.start(["fleet", "run", "--item", "2", "plan"]);
    wait_for(&bench.path("plan.d/2.lease"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    killed.signal("KILL");
    assert_eq!(killed.finish().code(), None);
    assert!(!bench.path("plan.d/2.json").exists());
    for item in [1, 2] {
        run(bench, item).succeeds();
    }
    bench.instar(["fleet", "finish", "--verify", "plan"]).succeeds();
    bench.qemu(["compare", "image", "out"]).succeeds();
}

fn ranges_are_written_at_the_same_time_and_nobody_else_writes_or_reads(bench: &Bench) {
    image(bench);
    plan(bench, &["-r", "1M", "--range-size", "10M", "image", "out"]);
    let both = ["0", "1"].map(|item| bench.start(["fleet", "run", "--item", item, "plan"]));
    for item in 0..2 {
        wait_for(&bench.path(&format!("plan.d/{item}.lease")));
    }
    let hidden = hidden(bench);
    // What asks for locks is in the way of those who take them.
    wait::until_locked(&hidden, 2 * LOCKS);
    let hidden = hidden.to_str().unwrap();
    let read = ["bench", "-f", "raw", "-c", "1", hidden];
    bench.qemu(read).fails_with("lock");
    bench.qemu(["bench", "-w", "-f", "raw", "-c", "1", hidden]).fails_with("lock");
    for run in both {
        run.finish().succeeds();
    }
    bench.instar(["fleet", "finish", "--verify", "plan"]).succeeds();
}

fn a_target_in_ranges_has_its_name_when_all_are_there(bench: &Bench) {
    image(bench);
    fs::write(bench.path("out"), "before").unwrap();
    plan(bench, &["--range-size", "8M", "image", "out"]);
    let finish = ["fleet", "finish", "plan"];
    for item in 0..3 {
        bench.instar(finish).fails_with("items are not done");
        assert_eq!(fs::read(bench.path("out")).unwrap(), b"before");
        run(bench, item).succeeds();
    }
    bench
        .instar(["fleet", "finish", "--waive", "0", "plan"])
        .fails_with("--waive cannot be used with ranges");
    // Somebody writes where nobody should.
    let file = fs::File::options().write(true).open(hidden(bench)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"!", 7 * MIB).unwrap();
    bench.instar(["fleet", "finish", "--verify", "plan"]).fails_with("this is not the disk of");
    std::os::unix::fs::FileExt::write_all_at(&file, &[0], 7 * MIB).unwrap();
    bench.instar(["fleet", "finish", "--verify", "plan"]).succeeds();
    bench.qemu(["compare", "image", "out"]).succeeds();
}

fn a_compressed_source_is_converted_in_ranges(bench: &Bench) {
    image(bench);
    bench.qemu(["convert", "-c", "-O", "qcow2", "-o", "cluster_size=2M", "image", "packed"]).succeeds();
    plan(bench, &["-O", "qcow2", "--range-size", "1M", "packed", "out"]);
    assert_eq!(lines(bench)[0]["items"], 10, "no cluster is decompressed twice");
    for item in 0..10 {
        run(bench, item).succeeds();
    }
    bench.instar(["fleet", "finish", "plan"]).succeeds();
    bench.qemu(["compare", "image", "out"]).succeeds();
}

fn plans_in_ranges_that_make_no_sense_leave_nothing(bench: &Bench) {
    image(bench);
    bench.qemu(["create", "-q", "-f", "qcow2", "empty", "0"]).succeeds();
    let before = bench.names();
    for (words, why) in [
        (&["-c", "-O", "qcow2", "--range-size", "1M", "image", "out"][..], "-c cannot be used"),
        (&["--checksum", "--range-size", "1M", "image", "out"], "--checksum cannot be used"),
        (&["-O", "vmdk", "--range-size", "1M", "image", "out"], "raw and qcow2 images, not vmdk"),
        (&["--range-size", "1M", "image"], "Expecting one image and one target"),
        (&["--range-size", "1M", "absent", "out"], "No such file or directory"),
        (&["--range-size", "1M", "empty", "out"], "0 bytes in ranges"),
        (&["--range-size", "1M", "image", "absent/out"], "No such file or directory"),
        (&["-O", "qcow2", "-o", "nonsense=1", "--range-size", "1M", "image", "out"], "nonsense"),
    ] {
        bench.instar([&["fleet", "plan"], words].concat()).fails_with(why);
        assert_eq!(bench.names(), before, "{words:?}");
    }
}

/// `convert --range`, which items are made of, beside what `dd` of the system makes of the whole disk.
fn a_range_of_any_image_is_copied_to_its_place(bench: &Bench) {
    image(bench);
    bench.qemu(["convert", "-O", "raw", "image", "whole"]).succeeds();
    let whole = fs::read(bench.path("whole")).unwrap();
    for format in bench.share(["raw", "qcow2", "vmdk", "vdi", "vhdx", "qed"]) {
        bench.qemu(["convert", "-O", format, "image", "source"]).succeeds();
        for (range, at, offset, length, place) in [
            ("1M+3M", None, MIB, 3 * MIB, MIB),
            ("0+512", Some("4k"), 0, 512, 4096),
            ("9M+10M", Some("512"), 9 * MIB, 10 * MIB, 512),
            ("20970496+1024", Some("0"), 20 * MIB - 1024, 1024, 0),
        ] {
            let mut expected = vec![0xaa; 21 << 20];
            fs::write(bench.path("target"), &expected).unwrap();
            let mut words = vec!["convert", "-n", "-O", "raw", "--range", range];
            words.extend(at.iter().flat_map(|at| ["--range-at", at]));
            bench.instar([&words[..], &["source", "target"]].concat()).succeeds();
            let (offset, length, place) = (offset as usize, length as usize, place as usize);
            expected[place..place + length].copy_from_slice(&whole[offset..offset + length]);
            assert!(fs::read(bench.path("target")).unwrap() == expected, "{format} {range} {at:?}");
        }
    }
}

fn ranges_that_the_disk_has_not_are_refused(bench: &Bench) {
    image(bench);
    fs::write(bench.path("target"), vec![0xaa; 1 << 20]).unwrap();
    for (words, why) in [
        (&["-n", "--range", "20M+512"][..], "the disk has 20971520 bytes, and not 512 from byte 20971520 on"),
        (&["-n", "--range", "19M+2M"], "the disk has 20971520 bytes"),
        (&["-n", "--range", "1M+1M"], "smaller than"),
        (&["-n", "--range", "0+1M", "--range-at", "512"], "smaller than"),
        (&["-n", "--range", "1+512"], "multiples of 512"),
        (&["--range", "0+512"], "--range requires use of -n flag"),
        (&["-n", "-O", "qcow2", "--range", "0+512"], "--range requires a raw target"),
        (&["-n", "-O", "qcow2", "-c", "--range", "0+512"], "--range cannot be used with -c"),
        (&["-n", "--range-at", "512"], "--range-at requires --range"),
    ] {
        bench.instar([&["convert"], words, &["image", "target"]].concat()).fails_with(why);
        assert!(fs::read(bench.path("target")).unwrap().iter().all(|byte| *byte == 0xaa), "{words:?}");
    }
}
