//! How the program ends: by signals, with nobody reading, out of time.

#![allow(clippy::unwrap_used, reason = "a failure is a test failure")]

mod support;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::{Room, shown};

const INSTAR: &str = env!("CARGO_BIN_EXE_instar");

/// Sends a signal by its name.
fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}

/// An interrupted conversion dies by the signal, soon, and leaves nothing; one that was quicker is complete.
#[test]
fn signals_leave_no_partial_target() {
    const BYTES: u64 = 200 << 20;
    let room = Room::new();
    room.write("disk.raw", &vec![0x5a; usize::try_from(BYTES).unwrap()]);
    let mut interrupted = 0;
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1), ("INT", 2), ("TERM", 15)] {
        let mut child = room
            .command(Path::new(INSTAR), &["convert", "disk.raw", "out.raw"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(60));
        let sent = Instant::now();
        signal(&child, name);
        let status = child.wait().unwrap();
        if status.success() {
            assert_eq!(std::fs::metadata(room.path("out.raw")).unwrap().len(), BYTES);
        } else {
            interrupted += 1;
            assert_eq!(status.signal(), Some(number), "{status}");
            // A hundred milliseconds is the promise; machines that run tests are busy.
            assert!(sent.elapsed() < Duration::from_secs(20));
            assert!(!room.path("out.raw").exists());
        }
        let _ = std::fs::remove_file(room.path("out.raw"));
        let left: Vec<_> = std::fs::read_dir(room.path(".")).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
    assert!(interrupted > 0, "every conversion was quicker than the signal");
}

/// Signals that the caller had ignored stay ignored: a closed terminal does not end what `nohup` started, nor Ctrl-C a job in the
/// background.
#[test]
fn signals_that_were_ignored_stay_ignored() {
    const BYTES: usize = 24 << 20;
    let room = Room::new();
    room.write("disk.raw", &vec![0x5a; BYTES]);
    for name in ["HUP", "INT", "TERM"] {
        // The shell ignores it and becomes the program.
        let script = format!("trap '' {name}; exec \"$0\" convert -r 16M -O raw disk.raw out.raw");
        let mut child = room
            .command(Path::new("/bin/sh"), &["-c", &script, INSTAR])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(400));
        signal(&child, name);
        assert!(child.wait().unwrap().success(), "SIG{name}");
        assert_eq!(
            std::fs::metadata(room.path("out.raw")).unwrap().len(),
            BYTES as u64
        );
        std::fs::remove_file(room.path("out.raw")).unwrap();
    }
}

/// A time limit holds for what is written to a pipe that nobody reads, too.
#[test]
fn a_pipe_that_nobody_reads_does_not_hold_the_program_up() {
    let room = Room::new();
    let disk = std::fs::File::create(room.path("disk.raw")).unwrap();
    for piece in 0..4000_u64 {
        std::os::unix::fs::FileExt::write_all_at(&disk, b"x", piece << 16).unwrap();
    }
    for words in [
        &[
            "--timeout",
            "0.5",
            "map",
            "--output=json",
            "-f",
            "raw",
            "disk.raw",
        ][..],
        &["--timeout", "0.5", "map", "-f", "raw", "disk.raw"],
    ] {
        let start = Instant::now();
        let mut child = room
            .command(Path::new(INSTAR), words)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(1), "{words:?}");
        let took = start.elapsed();
        assert!(
            took >= Duration::from_millis(450) && took < Duration::from_millis(1500),
            "{took:?}"
        );
    }
}

#[test]
fn output_that_does_not_arrive_changes_no_exit_code_and_never_panics() {
    let room = Room::new();
    room.write("disk.raw", &[0; 512]);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = room
        .command(Path::new(INSTAR), &["info", "disk.raw"])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    // As the reference tool has it; ours says what happened.
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "qemu-img: warning: Could not write to standard output: No space left on device\n"
    );
    let mut child = room
        .command(Path::new(INSTAR), &["info", "disk.raw"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert!(output.stderr.is_empty(), "{}", shown(&output));
}

#[test]
fn success_prints_nothing_on_standard_error() {
    let room = Room::new();
    room.write("disk.raw", &[3; 70_000]);
    for words in [
        &["info", "disk.raw"][..],
        &["convert", "disk.raw", "out"],
        &["dd", "if=disk.raw", "of=out"],
        &["sandbox"],
        &["sandbox", "--output=json"],
    ] {
        let output = room.ours(words);
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{}",
            shown(&output)
        );
    }
    let output = room.ours(&["sandbox", "--output=json"]);
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(matches!(value["mode"].as_str(), Some("kvm" | "process")));
}

#[test]
fn everything_fits_a_quarter_of_a_gibibyte_of_addresses() {
    let room = Room::new();
    room.write("disk.raw", &[3; 70_000]);
    for sandbox in ["process", "kvm"] {
        if sandbox == "kvm" && std::fs::File::open("/dev/kvm").is_err() {
            instar_testkit::ledger::skip("/dev/kvm cannot be opened");
            continue;
        }
        for words in [
            &["info", "disk.raw"][..],
            &["convert", "disk.raw", "out"],
            &["dd", "if=disk.raw", "of=out", "bs=1000"],
        ] {
            let mut all = vec!["--as=268435456", INSTAR, "--sandbox", sandbox];
            all.extend_from_slice(words);
            let output = room
                .command(Path::new("prlimit"), &all)
                .arg0_reset()
                .output()
                .unwrap();
            assert!(output.status.success(), "{words:?}: {}", shown(&output));
        }
    }
}

/// `Room::command` calls everything by the reference tool's name; other programs need their own.
trait OwnName {
    fn arg0_reset(&mut self) -> &mut Self;
}

impl OwnName for Command {
    fn arg0_reset(&mut self) -> &mut Self {
        use std::os::unix::process::CommandExt;
        self.arg0("prlimit")
    }
}
