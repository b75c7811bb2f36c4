//! `selftest`: on this machine, and on machines that lack things.

use std::fs;
use std::os::unix::process::ExitStatusExt;

use instar_tests::{Bench, Outcome, Running, Sandbox, both_sandboxes};
use serde_json::Value;

both_sandboxes!(
    every_attempt_fails_and_every_format_works_here,
    a_machine_that_lacks_something_is_told_so,
    it_needs_a_place_for_its_files_and_leaves_nothing_there,
    a_signal_leaves_no_directory_behind,
);

const WITHOUT: &str = env!("CARGO_BIN_EXE_without");

/// In seconds: far more than it takes, on a machine that runs other tests.
const LONG: u64 = 60_000;

fn json(outcome: &Outcome) -> Value {
    serde_json::from_slice(&outcome.stdout).unwrap()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().unwrap()
}

fn every_attempt_fails_and_every_format_works_here(bench: &Bench) {
    let outcome = bench.instar(["selftest", "--output=json"]);
    let value = json(outcome.succeeds());
    assert_eq!(value["passed"], true, "{outcome}");
    assert!(value["milliseconds"].as_u64().unwrap() < LONG, "{outcome}");
    let name = bench.sandbox().name();
    for (by, least) in [("guest", 40), ("request", 30), ("process", 12)] {
        let tried: Vec<_> = list(&value, "attempts").iter().filter(|one| one["by"] == by).collect();
        assert!(tried.len() >= least, "{by}: {}", tried.len());
        for one in tried {
            let done = one["name"] == "allowed" || one["promised"] == false;
            assert_eq!(one["outcome"] == "done", done, "{one}");
            assert_eq!(one["as-promised"], true, "{one}");
            // The sandbox that was asked for, and no other.
            assert!(by == "process" || one["sandbox"] == name, "{one}");
        }
    }
    let formats: Vec<&str> =
        list(&value, "formats").iter().map(|one| one["format"].as_str().unwrap()).collect();
    assert_eq!(formats, ["luks", "parallels", "qcow", "qcow2", "qed", "raw", "vdi", "vhdx", "vmdk", "vpc"]);
    let human = bench.instar(["selftest"]);
    assert!(human.succeeds().text().contains("passed: what is promised holds"), "{human}");
    assert!(!human.text().contains("NOT AS PROMISED"), "{human}");
}

/// What is missing, in which sandbox if not in both, whether the test can pass, and what it says.
const MISSING: &[(&str, Option<Sandbox>, bool, &str)] = &[
    ("landlock", None, true, "landlock: the kernel has none"),
    ("close-range,pidfds,clone3,openat2", None, true, "passed"),
    ("seccomp", None, false, "the kernel has no seccomp"),
    ("kvm-ioctls", Some(Sandbox::Kvm), false, "no sandbox that the settings permit can be used"),
    ("executable-memory", Some(Sandbox::Process), false, "process: it cannot be started"),
    ("processes", None, false, "another process cannot be started"),
];

fn a_machine_that_lacks_something_is_told_so(bench: &Bench) {
    for (features, only, passes, words) in MISSING {
        if only.is_some_and(|only| only != bench.sandbox()) {
            continue;
        }
        let outcome = Outcome::of(&mut bench.command_under(&[WITHOUT, "error", features], ["selftest"]));
        assert_eq!(outcome.code(), Some(i32::from(!passes)), "{features}: {outcome}");
        let said = format!("{}{}", outcome.is_civil().text(), outcome.errors());
        assert!(said.contains(words), "{features}: {outcome}");
    }
    // Without Landlock, what only it prevents is done, and is not promised.
    let wrapper = [WITHOUT, "error", "landlock"];
    let value = json(&Outcome::of(&mut bench.command_under(&wrapper, ["selftest", "--output", "json"])));
    let open = list(&value, "attempts").iter().find(|one| one["name"] == "open").unwrap();
    assert_eq!((&open["outcome"], &open["promised"]), (&"done".into(), &false.into()), "{open}");
    fs::write(bench.path("strict.toml"), "require-landlock = true\n").unwrap();
    let words = ["selftest", "--config", "strict.toml"];
    let outcome = Outcome::of(&mut bench.command_under(&wrapper, words));
    assert!(outcome.text().contains("the configuration requires Landlock"), "{outcome}");
    assert_eq!(outcome.code(), Some(1));
}

fn it_needs_a_place_for_its_files_and_leaves_nothing_there(bench: &Bench) {
    let place = bench.path("temporary");
    let run = |place: &std::path::Path| Outcome::of(bench.command(["selftest"]).env("TMPDIR", place));
    run(&place).fails_with("TMPDIR names another place");
    fs::create_dir(&place).unwrap();
    run(&place).succeeds();
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
}

fn a_signal_leaves_no_directory_behind(bench: &Bench) {
    let room = bench.path("room");
    fs::create_dir(&room).unwrap();
    for (signal, number) in [("TERM", 15), ("HUP", 1)] {
        let running = Running::start(bench.command(["selftest"]).env("TMPDIR", &room));
        while fs::read_dir(&room).unwrap().next().is_none() {}
        running.signal(signal);
        let outcome = running.finish();
        assert_eq!(outcome.status.signal(), Some(number), "{outcome}");
        assert!(fs::read_dir(&room).unwrap().next().is_none(), "SIG{signal} leaves a directory");
    }
}
