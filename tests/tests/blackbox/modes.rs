//! Cache modes on a filesystem without direct I/O, and progress on a terminal, on a pipe and after a signal.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use instar_tests::compare::{qemu_reads, same_outcome};
use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, Outcome, Running, both_sandboxes, instar_path, ledger, wait};

/// A filesystem without direct I/O; unmounted when it goes.
struct Plain(PathBuf);

impl Plain {
    fn new(bench: &Bench) -> Option<Self> {
        let place = bench.path("plain");
        fs::create_dir(&place).unwrap();
        let mounted = Command::new("mount").args(["-t", "ramfs", "ramfs"]).arg(&place).output();
        if mounted.is_ok_and(|outcome| outcome.status.success()) {
            return Some(Self(place));
        }
        ledger::skip("a ramfs cannot be mounted: every filesystem here has direct I/O");
        None
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

both_sandboxes!(
    missing_direct_io_is_refused_with_a_message,
    a_signal_prints_one_line_of_progress,
    a_terminal_gets_a_bar_and_a_pipe_gets_percentages,
);

fn missing_direct_io_is_refused_with_a_message(bench: &Bench) {
    let Some(plain) = Plain::new(bench) else { return };
    disk::usual(&bench.path("disk.raw"));
    for (words, code) in [
        (["convert", "-t", "none", "-O", "raw", "disk.raw", "plain/out"].as_slice(), 1),
        (&["convert", "-t", "directsync", "-O", "qcow2", "disk.raw", "plain/out"], 1),
        (&["convert", "-O", "raw", "disk.raw", "plain/old"], 0),
        (&["convert", "-T", "none", "-O", "raw", "plain/old", "out"], 1),
        (&["convert", "-T", "directsync", "-O", "raw", "plain/old", "out"], 1),
        (&["convert", "-n", "-t", "none", "-O", "raw", "disk.raw", "plain/old"], 1),
        (&["convert", "-t", "writethrough", "-T", "writethrough", "-O", "raw", "plain/old", "plain/new"], 0),
    ] {
        let ours = same_outcome(bench, words, "direct I/O");
        assert_eq!(ours.code(), Some(code), "{ours}");
        assert_eq!(code == 1, ours.errors().contains("filesystem does not support O_DIRECT"), "{ours}");
        // What the other program left behind.
        let _ = fs::remove_file(bench.path("plain/out"));
    }
    qemu_reads(bench, "plain/new", "disk.raw", "without direct I/O");
    drop(plain);
}

fn a_signal_prints_one_line_of_progress(bench: &Bench) {
    disk::make(&bench.path("disk.raw"), 6 << 20, &[Piece::Data(0, 6 << 20, 1)]);
    let running = bench.start(["convert", "-r", "2M", "-O", "raw", "disk.raw", "out"]);
    wait::until_handled(running.id(), 10);
    std::thread::sleep(Duration::from_millis(300));
    running.signal("USR1");
    let outcome = running.finish();
    assert_eq!(outcome.code(), Some(0), "{outcome}");
    assert!(outcome.text().is_empty(), "{outcome}");
    let errors = outcome.errors();
    let step = errors.strip_prefix("    (").and_then(|rest| rest.strip_suffix("/100%)\n"));
    let step: f64 = step.unwrap_or_else(|| panic!("{outcome}")).parse().unwrap();
    assert!(step > 0.0 && step <= 100.0, "{outcome}");
    // Where nothing is to be shown it ends nothing either.
    let quiet = bench.start(["convert", "-q", "-r", "3M", "-O", "raw", "disk.raw", "out"]);
    wait::until_handled(quiet.id(), 10);
    quiet.signal("USR1");
    assert_eq!(quiet.finish().code(), Some(0));
}

fn a_terminal_gets_a_bar_and_a_pipe_gets_percentages(bench: &Bench) {
    if Command::new("script").arg("--version").output().is_err() {
        return ledger::skip("script is not installed: there is no terminal");
    }
    disk::make(&bench.path("disk.raw"), 4 << 20, &[Piece::Data(0, 4 << 20, 1)]);
    std::os::unix::fs::symlink(instar_path(), bench.path("qemu-img")).unwrap();
    let shown = |program: &str| {
        let line = format!("{program} convert --sandbox {} -p -O raw disk.raw out", bench.sandbox().name());
        let outcome = Running::start(Command::new("script").current_dir(bench.directory()).args([
            "-qec",
            &line,
            "/dev/null",
        ]))
        .finish();
        assert_eq!(outcome.code(), Some(0), "{outcome}");
        outcome.text()
    };
    let bar = shown(instar_path().to_str().unwrap());
    assert!(bar.contains('%') && !bar.contains("/100%)"), "{bar:?}");
    // Under the name of qemu-img the same text goes to a terminal as to a pipe.
    let text = shown("./qemu-img");
    assert!(text.contains("    (0.00/100%)\r") && text.contains("    (100.00/100%)\r"), "{text:?}");
    let piped: Outcome = bench.instar(["convert", "-p", "-O", "raw", "disk.raw", "out"]);
    assert!(piped.succeeds().text().starts_with("    (0.00/100%)\r"), "{piped}");
    assert!(piped.text().ends_with("    (100.00/100%)\r\n"), "{piped}");
}
