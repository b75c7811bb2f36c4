//! The real guest, in every mode: it starts, does its job and ends.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a helper of tests: a failure is a test failure"
)]

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use common::{Engine, modes};
use instar_abi::job::{Bounds, Info, Seed, Source, Verb};
use instar_abi::layout::DEFAULT_BYTES;
use instar_abi::request::Op;
use instar_abi::{
    FileFacts, FileKind, Format, ImageText, Job, NamedSecret, RawRequest, Report, Secret, Slot, encode,
};
use instar_sandbox::{Choice, Mode, Outcome, Sandbox};
use instar_testkit::elf::{Batch, player};

fn info(size: u64) -> Vec<u8> {
    let slot = Slot(0);
    encode(&Job {
        verb: Verb::Info(Info {
            source: Source::new(slot, Some(Format::Raw)),
            backing_chain: false,
        }),
        files: vec![FileFacts {
            slot,
            size,
            kind: FileKind::Regular,
            writable: false,
            busy: false,
            called_dmg: false,
        }],
        bounds: Bounds::default(),
        seed: Seed::default(),
    })
    .unwrap()
}

#[test]
fn info_on_a_raw_file_is_reported_and_the_guest_exits() {
    for choice in modes() {
        for lanes in [1, 2, 16] {
            let sandbox = Sandbox::prepare(choice, lanes, DEFAULT_BYTES).unwrap();
            sandbox.set_job(&info(512 << 10)).unwrap();
            let engine = Engine::new(&[0; 512 << 10]);
            let outcome = engine.run(&sandbox);
            assert!(
                matches!(outcome, Outcome::Exited),
                "{choice:?} {lanes}: {outcome:?}"
            );
            let reports = engine.reports.lock().unwrap();
            assert!(
                matches!(&reports[..], [Report::Info(info), Report::Done(_)] if info.virtual_size == 512 << 10),
                "{reports:?}"
            );
            assert!(engine.served.load(Ordering::Relaxed) > 0);
        }
    }
}

/// A LUKS disk that qemu-img made.
fn locked(directory: &Path) -> Vec<u8> {
    let image = directory.join("image");
    let make = [
        "create",
        "-q",
        "--object",
        "secret,id=s,data=correct horse battery",
        "-f",
        "luks",
    ];
    let mut command = Command::new("qemu-img");
    command
        .args(make)
        .args(["-o", "key-secret=s,iter-time=10"])
        .arg(&image)
        .arg("64k");
    assert!(command.status().unwrap().success());
    std::fs::read(image).unwrap()
}

/// The guest has unlocked a disk with it by then, or failed to.
#[test]
fn nothing_of_a_secret_is_left_in_the_memory_of_the_guest() {
    const SECRET: &[u8] = b"correct horse battery";
    let directory = tempfile::tempdir().unwrap();
    let disk = locked(directory.path());
    let facts = FileFacts {
        slot: Slot(0),
        size: disk.len() as u64,
        kind: FileKind::Regular,
        writable: false,
        busy: false,
        called_dmg: false,
    };
    for choice in modes() {
        for (content, fits) in [(SECRET, true), (b"correct horse battery staple", false)] {
            let id = ImageText::new(b"s");
            let job = Job {
                verb: Verb::Snapshots(Source {
                    key: Some(id.clone()),
                    ..Source::new(Slot(0), Some(Format::Luks))
                }),
                files: vec![facts],
                bounds: Bounds::default(),
                seed: Seed::default(),
            };
            let content = Secret::new(content.to_vec());
            let sandbox = Sandbox::prepare(choice, 1, DEFAULT_BYTES).unwrap();
            sandbox.set_job(&encode(&job).unwrap()).unwrap();
            sandbox
                .set_secrets(&encode(&[NamedSecret { id, content }].to_vec()).unwrap())
                .unwrap();
            let engine = Engine::new(&disk);
            assert!(matches!(engine.run(&sandbox), Outcome::Exited));
            let last = engine.reports.lock().unwrap().pop().unwrap();
            assert_eq!(matches!(last, Report::Done(_)), fits, "{last:?}");
            let mut memory = vec![0; usize::try_from(sandbox.memory().len()).unwrap()];
            sandbox.memory().read(0, &mut memory).unwrap();
            let place = memory.windows(8).position(|bytes| bytes == &SECRET[..8]);
            assert_eq!(
                place.map(|place| format!("{place:#x}")),
                None,
                "{choice:?} {fits}"
            );
        }
    }
}

#[test]
fn auto_takes_what_the_probe_promises() {
    let expected = instar_sandbox::probe().automatic().unwrap();
    let sandbox = Sandbox::prepare(Choice::Auto, 1, DEFAULT_BYTES).unwrap();
    assert_eq!(sandbox.mode(), expected);
    assert_eq!(sandbox.fallback().is_some(), expected == Mode::Process);
}

#[test]
fn a_job_that_cannot_be_read_is_reported_as_our_mistake() {
    for choice in modes() {
        let sandbox = Sandbox::prepare(choice, 1, DEFAULT_BYTES).unwrap();
        sandbox.set_job(&[0xff; 100]).unwrap();
        let engine = Engine::new(b"");
        assert!(matches!(engine.run(&sandbox), Outcome::Exited));
        assert!(matches!(engine.reports.lock().unwrap()[..], [Report::Failed(_)]));
    }
}

/// Figures for a person: `cargo test -p instar-sandbox --release --test guest -- --ignored --nocapture`.
#[test]
#[ignore = "prints timings"]
fn start_up_cost() {
    for choice in modes() {
        for lanes in [1, 2] {
            let mut times: [Vec<Duration>; 3] = Default::default();
            for _ in 0..100 {
                let start = Instant::now();
                let sandbox = Sandbox::prepare(choice, lanes, DEFAULT_BYTES).unwrap();
                sandbox.set_job(&info(512 << 10)).unwrap();
                times[0].push(start.elapsed());
                let start = Instant::now();
                let engine = Engine::new(&[0; 512 << 10]);
                assert!(matches!(engine.run(&sandbox), Outcome::Exited));
                times[1].push(start.elapsed());
                let start = Instant::now();
                drop(sandbox);
                times[2].push(start.elapsed());
            }
            for times in &mut times {
                times.sort_unstable();
            }
            let figure = |times: &[Duration]| format!("{:?} (best {:?})", times[times.len() / 2], times[0]);
            println!(
                "{choice:?}, {lanes} lanes: prepare {}, run {}, drop {}",
                figure(&times[0]),
                figure(&times[1]),
                figure(&times[2])
            );
        }
    }
}

/// Figures for a person, like the one above: what it costs to ring and go on.
#[test]
#[ignore = "prints timings"]
fn doorbell_cost() {
    const RINGS: usize = 2000;
    let request = |op: Op| RawRequest {
        op: op.0,
        ..RawRequest::default()
    };
    let mut batches = vec![Batch::of(&[request(Op::PROGRESS)]); RINGS];
    batches.push(Batch::of(&[request(Op::EXIT)]));
    let elf = player(&batches);
    for choice in modes() {
        let mut best = Duration::MAX;
        for _ in 0..10 {
            let sandbox = common::sandbox(choice, 1, &elf);
            let start = Instant::now();
            assert!(matches!(common::run(&sandbox), Outcome::Exited));
            best = best.min(start.elapsed() / RINGS as u32);
        }
        println!("{choice:?}: a ring takes {best:?}");
    }
}
