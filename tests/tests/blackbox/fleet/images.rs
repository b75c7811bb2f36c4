//! Many images, an item each.

use std::fs;

use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, Outcome, Running, both_sandboxes};

use super::{lines, plan, run, states, status, wait_for};

const WITHOUT: &str = env!("CARGO_BIN_EXE_without");
/// An image of each format that qemu-img writes, of different disks, in the directory `old`.
const FORMATS: &[&str] = &["raw", "qcow2", "vmdk", "vdi", "vpc", "vhdx", "qed", "parallels"];

fn images(bench: &Bench) {
    for name in ["old", "new"] {
        fs::create_dir(bench.path(name)).unwrap();
    }
    for (format, number) in FORMATS.iter().zip(1..) {
        disk::make(
            &bench.path("disk"),
            2 << 20,
            &[Piece::Data(number << 16, 100_000, number), Piece::Text(1 << 20, 50_000)],
        );
        let image = format!("old/{format}.img");
        bench.qemu(["convert", "-f", "raw", "-O", format, "disk", &image]).succeeds();
    }
}

/// One that names a file of the machine, and one of which only the beginning arrived.
fn bad_images(bench: &Bench) {
    let below = ["-b", "/etc/passwd", "-F", "raw", "old/hostile.img", "1M"];
    bench.qemu([&["create", "-q", "-f", "qcow2"], &below[..]].concat()).succeeds();
    let whole = fs::read(bench.path("old/qcow2.img")).unwrap();
    fs::write(bench.path("old/cut.img"), &whole[..100]).unwrap();
}

/// The names of all images, in the order of the names.
fn names(bench: &Bench) -> Vec<String> {
    let found = fs::read_dir(bench.path("old")).unwrap();
    let mut names: Vec<String> =
        found.map(|entry| format!("old/{}", entry.unwrap().file_name().to_str().unwrap())).collect();
    names.sort();
    names
}

fn plan_for_all(bench: &Bench, options: &[&str]) {
    let names = names(bench);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    plan(bench, &[options, &["--to", "new"], &names].concat());
}

/// A plan for one image that takes seconds.
fn slow(bench: &Bench) {
    for name in ["old", "new"] {
        fs::create_dir(bench.path(name)).unwrap();
    }
    disk::make(&bench.path("old/slow.img"), 4 << 20, &[Piece::Data(0, 4 << 20, 1)]);
    plan_for_all(bench, &["-r", "2M"]);
}

both_sandboxes!(
    a_fleet_converts_what_is_sound_and_records_what_is_not,
    an_item_is_done_once,
    two_runs_of_an_item_do_not_work_at_the_same_time,
    one_run_at_a_time_works_where_files_have_but_one_name,
    a_run_that_is_killed_leaves_no_target_and_the_next_one_does_its_work,
    a_run_that_is_asked_to_end_gives_its_lease_back,
    a_target_of_an_earlier_try_stays_until_there_is_another,
    a_source_that_has_changed_is_not_converted,
    what_may_pass_is_tried_again,
    targets_that_changed_are_not_finished,
    targets_are_compared_by_the_settings_and_formats_of_the_plan,
    plans_that_make_no_sense_are_refused,
    plans_from_elsewhere_are_refused,
);

fn a_fleet_converts_what_is_sound_and_records_what_is_not(bench: &Bench) {
    images(bench);
    bad_images(bench);
    plan_for_all(bench, &["-O", "qcow2", "-c", "--checksum"]);
    let lines = lines(bench);
    let items = FORMATS.len() as u64 + 2;
    assert_eq!(lines[0]["items"], items);
    let is_bad = |item: u64| {
        let source = lines[item as usize + 1]["source"].as_str().unwrap();
        source.ends_with("hostile.img") || source.ends_with("cut.img")
    };
    for item in (0..items).rev() {
        let code = if is_bad(item) { 1 } else { 0 };
        assert_eq!(run(bench, item).code(), Some(code), "{}", lines[item as usize + 1]);
    }
    let (found, code) = status(bench);
    assert_eq!(code, Some(1));
    assert_eq!((&found["done"], &found["failed"]), (&8.into(), &2.into()));
    for (told, item) in found["list"].as_array().unwrap().iter().zip(0..) {
        let target = told["target"].as_str().unwrap();
        if is_bad(item) {
            let hostile = target.ends_with("hostile.qcow2");
            assert_eq!(told["cause"], if hostile { "refused" } else { "image" });
            assert!(!std::path::Path::new(target).exists(), "{target}");
            continue;
        }
        let source = told["source"].as_str().unwrap();
        bench.qemu(["compare", source, target]).succeeds();
        let line = told["checksum"].as_str().unwrap();
        assert_eq!(bench.instar(["checksum", target]).succeeds().text().trim_end(), line);
    }
    let finish = ["fleet", "finish", "plan"];
    bench.instar(finish).fails_with("2 of 10 items are not done");
    let bad: Vec<String> = (0..items).filter(|item| is_bad(*item)).map(|item| item.to_string()).collect();
    bench.instar(["fleet", "finish", "--waive", &bad[0], "plan"]).fails_with("1 of 10 items are not done");
    let finished = bench.instar(["fleet", "finish", "--verify", "--waive", &bad.join(","), "plan"]);
    assert_eq!(finished.succeeds().text(), "8 items done, 2 waived\n");
}

fn an_item_is_done_once(bench: &Bench) {
    images(bench);
    bad_images(bench);
    plan_for_all(bench, &["-O", "raw"]);
    let sources: Vec<String> =
        lines(bench)[1..].iter().map(|item| item["source"].as_str().unwrap().to_owned()).collect();
    let number = |name: &str| sources.iter().position(|source| source.ends_with(name)).unwrap() as u64;
    let (sound, hostile) = (number("vdi.img"), number("hostile.img"));
    run(bench, sound).succeeds();
    let made = fs::metadata(bench.path("new/vdi.raw")).unwrap().modified().unwrap();
    run(bench, sound).succeeds();
    assert_eq!(fs::metadata(bench.path("new/vdi.raw")).unwrap().modified().unwrap(), made);
    run(bench, hostile).fails_with("/etc/passwd");
    let again = run(bench, hostile);
    again.fails_with("has failed before");
    assert_eq!(again.code(), Some(1));
    // Who knows better says so.
    let item = hostile.to_string();
    let allowed = ["fleet", "run", "--again", "--allow-dir", "/etc", "--item", &item, "plan"];
    bench.instar(allowed).succeeds();
    assert_eq!(states(bench)[hostile as usize], "done");
}

fn two_runs_of_an_item_do_not_work_at_the_same_time(bench: &Bench) {
    slow(bench);
    let first = bench.start(["fleet", "run", "--item", "0", "plan"]);
    wait_for(&bench.path("plan.d/0.lease"));
    let second = run(bench, 0);
    assert_eq!(second.code(), Some(75));
    assert!(second.message().contains("item 0 is being carried out by process"), "{}", second.message());
    assert_eq!((states(bench), status(bench).1), (vec!["running".to_owned()], Some(75)));
    first.finish().succeeds();
    assert_eq!((states(bench), status(bench).1), (vec!["done".to_owned()], Some(0)));
    run(bench, 0).succeeds();
}

fn one_run_at_a_time_works_where_files_have_but_one_name(bench: &Bench) {
    slow(bench);
    let run = || bench.command_under(&[WITHOUT, "error", "links"], ["fleet", "run", "--item", "0", "plan"]);
    let first = Running::start(&mut run());
    wait_for(&bench.path("plan.d/0.lease"));
    assert_eq!(Outcome::of(&mut run()).code(), Some(75));
    first.finish().succeeds();
    Outcome::of(&mut run()).succeeds();
    let left: Vec<_> =
        fs::read_dir(bench.path("plan.d")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["0.json"]);
}

fn a_run_that_is_killed_leaves_no_target_and_the_next_one_does_its_work(bench: &Bench) {
    slow(bench);
    let first = bench.start(["fleet", "run", "--item", "0", "plan"]);
    wait_for(&bench.path("plan.d/0.lease"));
    first.signal("KILL");
    assert_eq!(first.finish().code(), None);
    assert_eq!(fs::read_dir(bench.path("new")).unwrap().count(), 0);
    assert_eq!(states(bench), ["waiting"]);
    // What the first one had started may still be at work, and come first.
    let again = run(bench, 0);
    if again.code() == Some(75) {
        assert!(again.message().contains("another process has created"), "{}", again.message());
        run(bench, 0).succeeds();
    }
    assert_eq!(states(bench), ["done"]);
    bench.qemu(["compare", "old/slow.img", "new/slow.raw"]).succeeds();
    assert!(!bench.path("plan.d/0.lease").exists());
}

fn a_run_that_is_asked_to_end_gives_its_lease_back(bench: &Bench) {
    slow(bench);
    let first = bench.start(["fleet", "run", "--item", "0", "plan"]);
    wait_for(&bench.path("plan.d/0.lease"));
    std::thread::sleep(std::time::Duration::from_millis(100));
    first.signal("TERM");
    let ended = first.finish();
    assert_eq!(ended.code(), None, "it dies by the signal");
    assert!(!bench.path("plan.d/0.lease").exists());
    std::thread::sleep(std::time::Duration::from_millis(2500));
    assert_eq!(fs::read_dir(bench.path("new")).unwrap().count(), 0, "nothing works on");
}

fn a_target_of_an_earlier_try_stays_until_there_is_another(bench: &Bench) {
    slow(bench);
    fs::write(bench.path("new/slow.raw"), "whole, but without a record").unwrap();
    let second = bench.start(["fleet", "run", "--item", "0", "plan"]);
    wait_for(&bench.path("plan.d/0.lease"));
    std::thread::sleep(std::time::Duration::from_millis(500));
    second.signal("KILL");
    assert_eq!(second.finish().code(), None);
    assert_eq!(fs::read(bench.path("new/slow.raw")).unwrap(), b"whole, but without a record");
    while run(bench, 0).code() == Some(75) {}
    bench.qemu(["compare", "old/slow.img", "new/slow.raw"]).succeeds();
}

fn a_source_that_has_changed_is_not_converted(bench: &Bench) {
    images(bench);
    plan_for_all(bench, &[]);
    let source = lines(bench)[1]["source"].as_str().unwrap().to_owned();
    let file = fs::File::options().append(true).open(source).unwrap();
    std::io::Write::write_all(&mut &file, &[0; 512]).unwrap();
    let refused = run(bench, 0);
    refused.fails_with("has changed since the plan was made; make the plan anew");
    assert_eq!(refused.code(), Some(1));
    assert_eq!(states(bench)[0], "failed");
    assert_eq!(fs::read_dir(bench.path("new")).unwrap().count(), 0);
}

fn what_may_pass_is_tried_again(bench: &Bench) {
    images(bench);
    plan_for_all(bench, &[]);
    let source = lines(bench)[1]["source"].as_str().unwrap().to_owned();
    fs::rename(&source, bench.path("away")).unwrap();
    for tries in 1..=2 {
        assert_eq!(run(bench, 0).code(), Some(75));
        let (found, code) = status(bench);
        assert_eq!(
            (&found["list"][0]["state"], &found["list"][0]["tries"]),
            (&"again".into(), &tries.into())
        );
        assert_eq!(code, Some(75));
    }
    fs::rename(bench.path("away"), &source).unwrap();
    run(bench, 0).succeeds();
    assert_eq!(status(bench).0["list"][0]["tries"], 3);
}

fn targets_that_changed_are_not_finished(bench: &Bench) {
    slow(bench);
    plan_for_all(bench, &[]);
    run(bench, 0).succeeds();
    bench.instar(["fleet", "finish", "plan"]).succeeds();
    let target = fs::File::options().write(true).open(bench.path("new/slow.raw")).unwrap();
    target.set_len(5 << 20).unwrap();
    bench.instar(["fleet", "finish", "plan"]).fails_with("this is not what item 0 made");
    fs::remove_file(bench.path("new/slow.raw")).unwrap();
    bench.instar(["fleet", "finish", "plan"]).fails_with("No such file or directory");
}

fn targets_are_compared_by_the_settings_and_formats_of_the_plan(bench: &Bench) {
    for name in ["old", "new", "below"] {
        fs::create_dir(bench.path(name)).unwrap();
    }
    disk::make(&bench.path("below/base"), 1 << 20, &[Piece::Data(0, 100_000, 7)]);
    let overlay = ["-b", "../below/base", "-F", "raw", "old/over.img"];
    bench.qemu([&["create", "-q", "-f", "qcow2"], &overlay[..]].concat()).succeeds();
    let below = bench.path("below");
    plan_for_all(bench, &["-f", "qcow2", "--allow-dir", below.to_str().unwrap()]);
    run(bench, 0).succeeds();
    bench.instar(["fleet", "finish", "--verify", "plan"]).succeeds();
    // A disk that would be an image with a file of the machine below it.
    let below = ["-b", "/etc/passwd", "-F", "raw", "old/over.img", "1M"];
    bench.qemu([&["create", "-q", "-f", "qcow2"], &below[..]].concat()).succeeds();
    plan_for_all(bench, &["-f", "raw", "-O", "raw"]);
    run(bench, 0).succeeds();
    bench.instar(["fleet", "finish", "--verify", "plan"]).succeeds();
    bench.qemu(["compare", "-f", "raw", "-F", "raw", "old/over.img", "new/over.raw"]).succeeds();
}

fn plans_that_make_no_sense_are_refused(bench: &Bench) {
    images(bench);
    fs::create_dir(bench.path("more")).unwrap();
    fs::copy(bench.path("old/raw.img"), bench.path("more/raw.vdi")).unwrap();
    for (words, why) in [
        (&["--to", "new"][..], "Expecting at least one image"),
        (&["old/raw.img"], "Expecting --to DIR"),
        (&["--to", "absent", "old/raw.img"], "--to expects a directory that exists"),
        (&["--to", "new", "absent"], "No such file or directory"),
        (&["--to", "new", "old/raw.img", "more/raw.vdi"], "would both become"),
        (&["-O", "vdi", "--to", "more", "more/raw.vdi"], "would be replaced by itself"),
        (&["-m", "17", "--to", "new", "old/raw.img"], "Invalid number of coroutines"),
        (&["-S", "7", "--to", "new", "old/raw.img"], "Invalid buffer size"),
        (&["--in-flight", "0", "--to", "new", "old/raw.img"], "--in-flight expects at least 1"),
        (&["--item", "1", "--to", "new", "old/raw.img"], "--item is not an option of 'fleet plan'"),
        (&["--range-size", "1000", "old/raw.img", "out"], "--range-size expects a multiple of 1 MiB"),
    ] {
        let refused = bench.instar([&["fleet", "plan"], words].concat());
        refused.fails_with(why);
        assert!(refused.stdout.is_empty(), "half a plan");
    }
    bench.instar(["fleet"]).fails_with("Expecting plan, run, status, finish or script");
    bench.instar(["fleet", "stop", "plan"]).fails_with("not 'stop'");
}

fn plans_from_elsewhere_are_refused(bench: &Bench) {
    slow(bench);
    let good = fs::read_to_string(bench.path("plan")).unwrap();
    for (text, why) in [
        (String::new(), "the plan is empty"),
        (good.replacen("\"fleet-plan\":1", "\"fleet-plan\":9", 1), "make the plan anew"),
        (good.replacen("\"items\":1", "\"items\":2", 1), "the plan ends before item 1 of 2"),
        (good.replacen("\"item\":0", "\"item\":5", 1), "item 5 stands where item 0 is expected"),
        ("x".repeat(1 << 20), "a line is longer than"),
        (format!("{good}\u{0}"), ""),
    ] {
        fs::write(bench.path("plan"), text).unwrap();
        let said = bench.instar(["fleet", "status", "plan"]);
        said.is_civil();
        if !why.is_empty() {
            said.fails_with(why);
        }
    }
    fs::write(bench.path("plan"), good).unwrap();
    run(bench, 1).fails_with("there is no item 1: the last one is 0");
    let absent = bench.instar(["fleet", "run", "--item", "0", "absent"]);
    assert_eq!(absent.code(), Some(75), "the storage may not be there yet");
    bench.instar(["fleet", "run", "plan"]).fails_with("which item?");
    fs::create_dir(bench.path("plan.d")).unwrap();
    fs::write(bench.path("plan.d/0.json"), "{").unwrap();
    run(bench, 0).fails_with("this is not a record of an item");
}
