//! The program with a guest that has been taken over: real files, the real engine, real reports, and a guest that sends what the test
//! says. Builds without debug assertions do not take a guest from outside, and have nothing to test here.
#![cfg(debug_assertions)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failure is a test failure"
)]

mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use instar_abi::layout::{BACKEND, BASE, CONTROL, HEAP, JOB};
use instar_abi::report::{Backing, Checked, Done, Failure, Info, Snapshot, Stage};
use instar_abi::request::{COMPARE_WITH_ZERO, Op, ZERO_MAY_UNMAP};
use instar_abi::{Fault, FaultCode, Format, ImageText, RawRequest, Report, Slot};
use instar_testkit::elf::{Batch, player};
use support::{Room, shown};

const INSTAR: &str = env!("CARGO_BIN_EXE_instar");

/// The backends that this machine has.
fn backends() -> Vec<&'static str> {
    match std::fs::File::options().read(true).write(true).open("/dev/kvm") {
        Ok(_) => vec!["process", "kvm"],
        Err(error) => {
            assert!(
                std::env::var_os("INSTAR_TEST_NEEDS_KVM").is_none_or(|value| value != "1"),
                "{error}"
            );
            println!("skipped: the KVM half of this test, since {error}");
            vec!["process"]
        }
    }
}

fn request(op: Op, slot: u32, offset: u64, length: u64) -> RawRequest {
    RawRequest {
        op: op.0,
        slot,
        offset,
        length,
        address: HEAP,
        ..RawRequest::default()
    }
}

fn exit() -> Batch {
    Batch::of(&[request(Op::EXIT, 0, 0, 0)])
}

/// A guest that plays batches.
struct Evil {
    room: Room,
}

impl Evil {
    fn new(batches: &[Batch]) -> Self {
        let room = Room::new();
        room.write("guest", &player(batches));
        Self { room }
    }

    /// A guest that says these reports: they lie in the image, `image`, from which it reads them.
    fn saying(reports: &[Report]) -> Self {
        let mut image = vec![0; 512];
        let mut batches = Vec::new();
        for report in reports {
            let bytes = instar_abi::encode(report).unwrap();
            let at = image.len() as u64;
            let length = bytes.len() as u64;
            batches.push(Batch::of(&[
                request(Op::READ, 0, at, length),
                request(Op::REPORT, 0, 0, length),
            ]));
            image.extend(bytes);
        }
        batches.push(exit());
        let evil = Self::new(&batches);
        evil.room.write("image", &image);
        evil
    }

    fn command(&self, wrapper: &[&str], backend: &str, words: &[&str]) -> Command {
        let all: Vec<&str> = wrapper
            .iter()
            .copied()
            .chain([INSTAR, "--sandbox", backend])
            .chain(words.iter().copied())
            .collect();
        let mut command = self.room.command(Path::new(all[0]), &all[1..]);
        if !wrapper.is_empty() {
            use std::os::unix::process::CommandExt;
            command.arg0(all[0]);
        }
        command.env("INSTAR_TEST_GUEST", self.room.path("guest"));
        command
    }

    fn run(&self, backend: &str, words: &[&str]) -> Output {
        self.command(&[], backend, words).output().unwrap()
    }
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// An orderly end: an exit code, no panic, no signal, no abort.
#[track_caller]
fn is_orderly(output: &Output) {
    let text = errors(output);
    assert!(output.status.code().is_some(), "{}", shown(output));
    for word in ["internal error", "stopped by its own jail", "memory allocation"] {
        assert!(!text.contains(word), "{}", shown(output));
    }
}

#[track_caller]
fn is_stopped(output: &Output, why: &str) {
    is_orderly(output);
    assert_eq!(output.status.code(), Some(1), "{}", shown(output));
    assert!(errors(output).contains(why), "{why}: {}", shown(output));
}

fn info(name: &[u8], snapshots: Vec<Snapshot>) -> Report {
    Report::Info(Box::new(Info {
        slot: Slot(0),
        format: Format::Raw,
        virtual_size: 512,
        cluster_size: None,
        encrypted: false,
        compressed: false,
        dirty: false,
        backing: Some(Backing {
            name: ImageText::new(name),
            format: None,
        }),
        export_size: None,
        snapshots,
        specific: None,
    }))
}

fn snapshot() -> Snapshot {
    Snapshot {
        id: ImageText::default(),
        name: ImageText::default(),
        vm_state_size: 0,
        date_sec: 0,
        date_nsec: 0,
        vm_clock_nsec: 0,
        icount: None,
        disk_size: None,
    }
}

const TOO_MANY: &str = "it sent too many reports";

/// Runs to the end; gives also how many KiB of memory the program held at most, as far as looking now and then shows.
fn peak(command: &mut Command) -> (Output, u64) {
    use std::process::Stdio;
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let status = format!("/proc/{}/status", child.id());
    let ended = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                let text = std::fs::read_to_string(&status).unwrap_or_default();
                let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
                let held = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
                most = held.unwrap_or(0).max(most);
                std::thread::sleep(Duration::from_millis(2));
            }
            most
        });
        let output = child.wait_with_output().unwrap();
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        (output, watcher.join().unwrap())
    })
}

/// A guest may make us use so much more memory than a sound one: 256 MiB of addresses are enough for every verb.
const WITH_64_MORE: &str = "--as=335544320";

/// What the program holds in memory when the guest says one layer.
fn sound(backend: &str) -> u64 {
    let evil = Evil::saying(&[info(b"below", Vec::new()), Report::Done(Done::default())]);
    let (output, held) = peak(&mut evil.command(&[], backend, &["info", "image"]));
    assert!(output.status.success(), "{}", shown(&output));
    held
}

/// Floods of reports, each in limits: layers with names that add up, many snapshots, warnings, findings, small reports of the wrong kind.
#[test]
fn floods_of_reports_end_the_guest_and_take_little_memory() {
    let long = [&b"a/".repeat(2047)[..], b"a"].concat();
    let many = vec![snapshot(); 100_000];
    let warning = Report::Warning(Failure {
        stage: Stage::OpenBacking(Slot(u32::MAX)),
        fault: Fault::new(FaultCode(1)).named(&[0x1b; 4096]),
    });
    let checked = Report::Checked(Format::Raw, Checked::default());
    let finding = Report::Findings(vec![Fault::new(FaultCode(1)).named(&[b'x'; 4096]); 200]);
    let most = vec![
        info(b"below", vec![snapshot(); 65_536]),
        Report::Done(Done::default()),
    ];
    let floods: [(&[&str], Vec<Report>, Option<&str>); 7] = [
        (&["info", "--output=json", "image"], most, None),
        (
            &["info", "image"],
            vec![info(&long, Vec::new()); 400],
            Some(TOO_MANY),
        ),
        (
            &["info", "--backing-chain", "image"],
            vec![info(&long, Vec::new()); 400],
            Some(TOO_MANY),
        ),
        (
            &["info", "--backing-chain", "--output=json", "image"],
            vec![info(b"", many); 12],
            Some(TOO_MANY),
        ),
        (&["map", "image"], vec![checked; 400], Some(TOO_MANY)),
        (&["check", "image"], vec![finding; 400], Some(TOO_MANY)),
        (&["info", "image"], vec![warning; 1500], None),
    ];
    for (words, reports, stopped) in floods {
        let evil = Evil::saying(&reports);
        for backend in backends() {
            let start = Instant::now();
            let (output, held) = peak(&mut evil.command(&["prlimit", WITH_64_MORE], backend, words));
            is_orderly(&output);
            let more = held.saturating_sub(sound(backend));
            println!("{backend} {words:?}: {more} KiB more than a sound guest");
            assert!(more < 64 << 10, "{backend} {words:?}: {more} KiB more");
            if let Some(why) = stopped {
                assert!(errors(&output).contains(why), "{words:?}: {}", errors(&output));
            }
            assert!(start.elapsed() < Duration::from_secs(240), "{words:?}");
            assert!(
                output.stdout.len() < 48 << 20,
                "{words:?}: {}",
                output.stdout.len()
            );
            assert!(
                output.stderr.len() < 48 << 20,
                "{words:?}: {}",
                output.stderr.len()
            );
        }
    }
}

/// A hundred layers of one file, each with a name of 4 KiB: no name grows from layer to layer.
#[test]
fn names_of_layers_come_from_files_that_were_opened() {
    let long = [&b"a/".repeat(2047)[..], b"a"].concat();
    let mut reports = vec![info(&long, Vec::new()); 100];
    reports.push(Report::Done(Done::default()));
    let evil = Evil::saying(&reports);
    for backend in backends() {
        let output = evil.run(backend, &["info", "--backing-chain", "image"]);
        is_orderly(&output);
        assert!(output.stdout.len() < 2 << 20, "{}", output.stdout.len());
        let text = String::from_utf8(output.stdout).unwrap();
        for line in text.lines().filter(|line| line.starts_with("image: ")) {
            assert_eq!(line, "image: image");
        }
    }
}

#[test]
fn reports_with_overlong_texts_are_refused() {
    let mut image = vec![0; 512];
    let mut bytes = instar_abi::encode(&info(&[b'a'; 4096], Vec::new())).unwrap();
    let at = bytes
        .windows(3)
        .position(|window| window == [0x80, 0x20, b'a'])
        .unwrap();
    bytes[at + 1] = 0x21;
    bytes.splice(at + 2..at + 2, vec![b'a'; 128]);
    let length = bytes.len() as u64;
    image.extend(bytes);
    let evil = Evil::new(&[
        Batch::of(&[
            request(Op::READ, 0, 512, length),
            request(Op::REPORT, 0, 0, length),
        ]),
        exit(),
    ]);
    evil.room.write("image", &image);
    for backend in backends() {
        is_stopped(
            &evil.run(backend, &["info", "image"]),
            "a report that cannot be read",
        );
    }
}

/// Whether the target can share extents with the source.
fn sharable() -> RawRequest {
    RawRequest {
        other: 1,
        ..request(Op::SHARABLE, 0, 0, 0)
    }
}

/// Work without end, of every kind that can be without end here: none of it outlives the time that the run has.
#[test]
fn long_requests_of_every_kind_end_at_the_deadline() {
    let copy = RawRequest {
        other: 1,
        extra: 4096,
        flags: 1,
        ..request(Op::COPY, 0, 0, 1 << 40)
    };
    let compare = RawRequest {
        flags: COMPARE_WITH_ZERO,
        ..request(Op::COMPARE, 0, 0, 64 << 20)
    };
    let extents = RawRequest {
        extra: 64 << 10,
        ..request(Op::EXTENTS, 0, 0, 1 << 40)
    };
    let may_unmap = RawRequest {
        flags: ZERO_MAY_UNMAP,
        ..request(Op::ZERO, 1, 0, 1 << 40)
    };
    let wait = RawRequest {
        address: HEAP + 4096,
        ..request(Op::WAIT, 0, 0, 0)
    };
    let with_space = RawRequest {
        flags: 2,
        ..request(Op::RESIZE, 1, 0, 1 << 40)
    };
    let kinds = [
        ("Copy", copy, 1),
        ("Compare", compare, 256),
        ("Extents", extents, 256),
        ("Read", request(Op::READ, 0, 0, 64 << 20), 256),
        ("Wait", wait, 256),
        ("Advise", request(Op::ADVISE, 0, 0, 1 << 40), 256),
        ("Progress", request(Op::PROGRESS, 0, 1, 2), 256),
        ("Allocated", request(Op::ALLOCATED, 0, 0, 0), 256),
        ("Sharable", sharable(), 256),
        ("Flush", request(Op::FLUSH, 1, 0, 0), 256),
        ("Wake", request(Op::WAKE, 0, 0, 0), 256),
        ("Write", request(Op::WRITE, 1, 0, 64 << 20), 256),
        ("Zero", may_unmap, 256),
        ("Discard", request(Op::DISCARD, 1, 0, 1 << 40), 256),
        ("Resize", request(Op::RESIZE, 1, 0, 1 << 40), 256),
        ("Resize with space", with_space, 1),
        ("Report", request(Op::REPORT, 0, 0, 0), 1),
        ("Open", request(Op::OPEN, 0, 0, 5), 256),
        ("Receive", request(Op::RECEIVE, 0, 0, 4096), 256),
        ("Send", request(Op::SEND, 1, 0, 4096), 256),
    ];
    let size = instar_abi::encode(&Report::Size(1 << 40)).unwrap();
    let declare = Batch::of(&[
        request(Op::READ, 0, 0, size.len() as u64),
        request(Op::REPORT, 0, 0, size.len() as u64),
    ]);
    for (name, work, count) in kinds {
        let mut batches = vec![declare.clone()];
        batches.extend(vec![Batch::of(&vec![work; count]); 100]);
        let evil = Evil::new(&batches);
        evil.room.write("image", &size);
        let path = evil.room.path("image");
        let image = std::fs::File::options().write(true).open(path).unwrap();
        image.set_len(4 << 40).unwrap();
        for backend in backends() {
            // A machine that runs other tests may be late itself.
            let soonest = (0..3).map(|_| ends_in_time(&evil, backend, name)).min().unwrap();
            println!("{name} on {backend}: {soonest:?} of half a second");
            assert!(
                soonest < Duration::from_millis(1100),
                "{name} on {backend}: {soonest:?}"
            );
        }
    }
}

/// Runs with half a second of time; gives what was needed.
fn ends_in_time(evil: &Evil, backend: &str, name: &str) -> Duration {
    let words = "--timeout 0.5 convert -m 1 -f raw -O raw image out";
    let words: Vec<&str> = words.split(' ').collect();
    let start = Instant::now();
    let output = evil.run(backend, &words);
    let took = start.elapsed();
    is_orderly(&output);
    // Those that end early have no more to say, and fault at the end of what they play.
    let text = errors(&output);
    assert!(
        text.contains("Timed out after 0.5") || text.contains("The sandbox stopped"),
        "{name}: {text}"
    );
    assert!(!evil.room.path("out").exists(), "{name}");
    took
}

/// Requests that would fill the disk: no target grows before its size has been declared, and then as far as that needs.
#[test]
fn a_taken_over_guest_fills_no_disk() {
    let huge = 1 << 40;
    let writes = [
        request(Op::ZERO, 1, 0, huge),
        request(Op::RESIZE, 1, 0, huge),
        RawRequest {
            flags: 1,
            ..request(Op::RESIZE, 1, 0, huge)
        },
        RawRequest {
            flags: 2,
            ..request(Op::RESIZE, 1, 0, huge)
        },
        request(Op::WRITE, 1, huge, 4096),
        RawRequest {
            other: 1,
            other_offset: huge,
            ..request(Op::COPY, 0, 0, 512)
        },
    ];
    let size = instar_abi::encode(&Report::Size(1 << 20)).unwrap();
    let declare = Batch::of(&[
        request(Op::READ, 0, 0, size.len() as u64),
        request(Op::REPORT, 0, 0, size.len() as u64),
    ]);
    for declared in [false, true] {
        let mut batches: Vec<Batch> = declared.then(|| declare.clone()).into_iter().collect();
        batches.extend(writes.map(|write| Batch::of(&[write])));
        let evil = Evil::new(&batches);
        let mut image = size.clone();
        image.resize(4096, 0);
        evil.room.write("image", &image);
        evil.room.write("old", &[7; 4096]);
        for backend in backends() {
            let words = [
                "convert", "-m", "1", "-n", "-f", "raw", "-O", "raw", "image", "old",
            ];
            let output = evil.run(backend, &words);
            // All of them were refused, so it came to the end of what it plays.
            is_stopped(&output, "The sandbox stopped the guest");
            assert!(
                errors(&output).contains("no file was changed"),
                "{}",
                shown(&output)
            );
            assert_eq!(std::fs::read(evil.room.path("old")).unwrap(), [7; 4096]);
        }
    }
    let twice = Evil::saying(&[Report::Size(1), Report::Size(1 << 40)]);
    let absurd = Evil::saying(&[Report::Size(1 << 40)]);
    for backend in backends() {
        let words = ["convert", "-m", "1", "-f", "raw", "-O", "raw", "image", "out"];
        is_stopped(&twice.run(backend, &words), TOO_MANY);
        let bounded = [&["--max-size", "1G"][..], &words].concat();
        is_stopped(&absurd.run(backend, &bounded), "a size above max-size");
    }
}

/// What was written to a file that was there is said, and not denied.
#[test]
fn a_stop_says_whether_a_target_was_changed() {
    let size = instar_abi::encode(&Report::Size(4096)).unwrap();
    let unknown = request(Op(999), 0, 0, 0);
    let evil = Evil::new(&[
        Batch::of(&[
            request(Op::READ, 0, 0, size.len() as u64),
            request(Op::REPORT, 0, 0, size.len() as u64),
            request(Op::WRITE, 1, 0, 512),
        ]),
        Batch::of(&[unknown]),
    ]);
    let mut image = size;
    image.resize(4096, 0);
    evil.room.write("image", &image);
    for backend in backends() {
        evil.room.write("old", &[7; 4096]);
        let output = evil.run(
            backend,
            &[
                "convert", "-m", "1", "-n", "-f", "raw", "-O", "raw", "image", "old",
            ],
        );
        is_stopped(&output, "the unknown operation 999; the target has been changed");
        let output = evil.run(
            backend,
            &["convert", "-m", "1", "-f", "raw", "-O", "raw", "image", "new"],
        );
        is_stopped(&output, "the unknown operation 999; no file was changed");
        assert!(!evil.room.path("new").exists());
    }
}

/// Code, the boot record, the job and the backend's own pages: the guest cannot write there, and nobody does it for the guest.
#[test]
fn nothing_is_written_for_the_guest_where_the_guest_may_not_write() {
    for address in [BASE, CONTROL, JOB, BACKEND + 3000, BACKEND + 4096 + 64] {
        for op in [Op::READ, Op::EXTENTS] {
            let into = RawRequest {
                address,
                extra: 16,
                ..request(op, 0, 0, 16)
            };
            let evil = Evil::new(&[Batch::of(&[into]), exit()]);
            evil.room.write("image", &[0x90; 4096]);
            for backend in backends() {
                let output = evil.run(backend, &["info", "image"]);
                is_stopped(&output, &format!("a request for a buffer at {address:#x}"));
            }
        }
    }
}

/// A generator whose numbers are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn value(&mut self) -> u64 {
        match self.next() % 6 {
            0 => 0,
            1 => u64::MAX - self.next() % 4,
            2 => HEAP + self.next() % (1 << 20),
            3 => 1 << (self.next() % 64),
            4 => self.next() % 8192,
            _ => self.next(),
        }
    }

    fn request(&mut self) -> RawRequest {
        let small = |random: &mut Self| u32::try_from(random.next() % 4).unwrap();
        // Every operation that exists, and one on each side.
        let op = u32::try_from(self.next() % u64::from(Op::SEND.0 + 2)).unwrap();
        // Those that end the guest end the test of those behind them.
        let op = if op == Op::EXIT.0 || op == Op::WAIT.0 {
            Op::READ.0
        } else {
            op
        };
        RawRequest {
            op,
            flags: small(self),
            slot: small(self) % 2,
            other: small(self) % 2,
            offset: self.value() % (1 << 50),
            other_offset: self.value() % (1 << 50),
            length: self.value() % (1 << 24),
            address: HEAP + self.value() % (1 << 24),
            extra: self.value() % (1 << 20),
            reserved: 0,
        }
    }
}

/// Requests of every operation with values at random: an orderly end, the source as it was, and no file anywhere.
#[test]
fn random_requests_of_every_operation_never_reach_the_host_or_another_file() {
    let mut random = Random(0x0123_4567_89ab_cdef);
    let source: Vec<u8> = (0..70_000_u32).map(|n| n as u8 | 1).collect();
    for round in 0..20 {
        let batches: Vec<Batch> = (0..200).map(|_| Batch::of(&[random.request()])).collect();
        let evil = Evil::new(&batches);
        evil.room.write("image", &source);
        evil.room.write("bystander", b"bystander");
        for backend in backends() {
            let words = [
                "--timeout",
                "5",
                "convert",
                "-m",
                "1",
                "-f",
                "raw",
                "-O",
                "raw",
                "image",
                "out",
            ];
            is_orderly(&evil.run(backend, &words));
            assert_eq!(std::fs::read(evil.room.path("image")).unwrap(), source, "{round}");
            assert_eq!(std::fs::read(evil.room.path("bystander")).unwrap(), b"bystander");
            let mut names: Vec<_> = std::fs::read_dir(evil.room.path("."))
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            names.sort();
            assert_eq!(names, ["bystander", "guest", "image"], "{round}");
        }
    }
}
