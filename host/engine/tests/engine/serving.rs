//! Batches: read once, judged whole, carried out in order.

use instar_abi::layout::{self, BASE, HEAP};
use instar_abi::request::{Op, status};
use instar_abi::{BadRequest, RawRequest, Slot};
use instar_engine::ReportLimits;
use instar_memory::{Next, Violation};

use crate::guest::{Guest, files, pattern, request, source, target};

#[test]
fn a_batch_is_carried_out_in_order_and_stops_at_the_first_failure() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("in"), b"source").unwrap();
    let files = files();
    let input = source(&files, &directory.path().join("in"));
    let output = target(&files, &directory.path().join("out"));
    let guest = Guest::new(files);
    let batch = [
        request(Op::READ, input.slot, 0, 6),
        request(Op::WRITE, output.slot, 0, 6),
        // The source is no target.
        request(Op::WRITE, input.slot, 0, 6),
        request(Op::WRITE, output.slot, 6, 6),
    ];
    let (next, results) = guest.ring(3, &batch);
    assert_eq!(next, Next::Continue);
    let statuses: Vec<_> = results.iter().map(|result| result.status).collect();
    assert_eq!(statuses, [0, 0, libc::EBADF.unsigned_abs(), status::CANCELLED]);
    assert_eq!(results[0].value, 6);
    guest.engine.files().commit(false).unwrap();
    assert_eq!(std::fs::read(directory.path().join("out")).unwrap(), b"source");
    assert_eq!(std::fs::read(directory.path().join("in")).unwrap(), b"source");
}

#[test]
fn a_malformed_request_ends_the_guest_before_anything_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("old");
    std::fs::write(&path, b"untouched").unwrap();
    let files = files();
    let old = target(&files, &path);
    let guest = Guest::new(files);
    let good = request(Op::WRITE, old.slot, 0, 4);
    for (bad, violation) in [
        (
            RawRequest { op: 99, ..good },
            Violation::BadRequest(BadRequest::Op(99)),
        ),
        (
            RawRequest { reserved: 1, ..good },
            Violation::BadRequest(BadRequest::Value),
        ),
        (
            RawRequest { address: 8, ..good },
            Violation::BadRequest(BadRequest::Address(8)),
        ),
        (RawRequest { slot: 7, ..good }, Violation::UnknownSlot(7)),
        (
            RawRequest {
                op: Op::COPY.0,
                other: 1100,
                ..good
            },
            Violation::UnknownSlot(1100),
        ),
    ] {
        assert_eq!(guest.ring(0, &[good, bad]).0, Next::Kill(violation));
    }
    assert!(!guest.engine.files().is_touched(old.slot));
    drop(guest);
    assert_eq!(std::fs::read(&path).unwrap(), b"untouched");
}

#[test]
fn a_batch_of_impossible_length_ends_the_guest() {
    let guest = Guest::new(files());
    for count in [0, 257, u32::MAX] {
        let mailbox = layout::mailbox(0) - BASE;
        guest.memory.store_u32(mailbox + 4, count).unwrap();
        assert_eq!(guest.engine.serve(0), Next::Kill(Violation::BatchCount(count)));
    }
    for lane in [16, u32::MAX] {
        assert!(matches!(
            guest.engine.serve(lane),
            Next::Kill(Violation::Other(_))
        ));
    }
}

#[test]
fn a_full_batch_fits() {
    let guest = Guest::new(files());
    let batch: Vec<_> = (0..256).map(|n| request(Op::PROGRESS, Slot(0), n, 256)).collect();
    let (next, results) = guest.ring(15, &batch);
    assert_eq!((next, results.len()), (Next::Continue, 256));
    assert!(results.iter().all(|result| result.status == status::OK));
    assert_eq!(guest.heard.progress.lock().unwrap()[255], (255, 256));
}

#[test]
fn exit_ends_the_batch() {
    let guest = Guest::new(files());
    let batch = [
        request(Op::EXIT, Slot(0), 0, 0),
        request(Op::PROGRESS, Slot(0), 1, 2),
    ];
    let (next, results) = guest.ring(0, &batch);
    assert_eq!(next, Next::Exit);
    assert_eq!(results[1].status, status::CANCELLED);
    assert!(guest.heard.progress.lock().unwrap().is_empty());
}

#[test]
fn reports_reach_the_sink_and_are_bounded() {
    let limits = ReportLimits { count: 3, bytes: 100 };
    let guest = Guest::limited(files(), limits);
    guest.put(HEAP, b"nonsense");
    let report = |length| request(Op::REPORT, Slot(0), 0, length);
    assert!(guest.ask(report(3)).is_ok());
    assert_eq!(*guest.heard.reports.lock().unwrap(), [b"non".to_vec()]);
    assert_eq!(guest.ring(0, &[report(8)]).0, Next::Kill(Violation::BadReport));
    assert!(guest.ask(report(0)).is_ok());
    assert_eq!(
        guest.ring(0, &[report(1)]).0,
        Next::Kill(Violation::TooManyReports)
    );
    let guest = Guest::limited(files(), limits);
    assert_eq!(
        guest.ring(0, &[report(101)]).0,
        Next::Kill(Violation::TooManyReports)
    );
}

#[test]
fn wait_returns_when_woken_and_when_the_run_stops() {
    let guest = Guest::new(files());
    guest.put(HEAP, &7_u32.to_ne_bytes());
    let wait = RawRequest {
        extra: 7,
        ..request(Op::WAIT, Slot(0), 0, 0)
    };
    // Another value: no sleep at all.
    let other = RawRequest { extra: 8, ..wait };
    assert!(guest.ask(other).is_ok());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(10));
            guest.engine.stop();
        });
        let start = std::time::Instant::now();
        let canceled = libc::ECANCELED.unsigned_abs();
        let (_, results) = guest.ring(1, &[wait]);
        assert_eq!(results[0].status, canceled);
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
        let (_, results) = guest.ring(1, &[wait]);
        assert_eq!(results[0].status, canceled, "and nothing more is done");
    });
}

/// A lane rewrites its request while it is served: what happens is one of the two, never a mixture.
#[test]
fn a_request_rewritten_meanwhile_is_one_of_the_two() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let directory = tempfile::tempdir().unwrap();
    let files = files();
    let output = target(&files, &directory.path().join("out"));
    let guest = Guest::new(files);
    let mailbox = layout::mailbox(0) - BASE;
    let raw = request(Op::WRITE, output.slot, 0, 512);
    guest.ring(0, &[raw]);
    let over = AtomicBool::new(false);
    let mut seen = [false; 2];
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                // The slot, back and forth between one that exists and one that does not.
                guest.memory.store_u32(mailbox + 64 + 8, 1).unwrap();
                guest.memory.store_u32(mailbox + 64 + 8, 0).unwrap();
            }
        });
        for _ in 0..200_000 {
            match guest.engine.serve(0) {
                Next::Continue => seen[0] = true,
                Next::Kill(Violation::UnknownSlot(1)) => seen[1] = true,
                other => panic!("{other:?}"),
            }
            if seen == [true; 2] {
                break;
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(seen, [true; 2], "the race was lost every time");
}

#[test]
fn lanes_are_served_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let files = files();
    let output = target(&files, &directory.path().join("out"));
    let guest = Guest::new(files);
    let bytes = pattern(16 << 16, 5);
    guest.put(HEAP, &bytes);
    std::thread::scope(|scope| {
        for lane in 0..16_u32 {
            let guest = &guest;
            scope.spawn(move || {
                let at = u64::from(lane) << 16;
                for piece in 0..16 {
                    let at = at + (piece << 12);
                    let raw = RawRequest {
                        address: HEAP + at,
                        ..request(Op::WRITE, output.slot, at, 4096)
                    };
                    let (next, results) = guest.ring(lane, &[raw]);
                    assert_eq!((next, results[0].status), (Next::Continue, 0));
                }
            });
        }
    });
    guest.engine.files().commit(false).unwrap();
    assert!(std::fs::read(directory.path().join("out")).unwrap() == bytes);
}

/// Whatever 64 bytes a guest sends: an answer or its end, never ours.
#[test]
fn random_requests_are_answered_or_end_the_guest() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("in"), vec![1; 10000]).unwrap();
    let files = files();
    source(&files, &directory.path().join("in"));
    let options = instar_engine::TargetOptions {
        limit: 1 << 20,
        ..Default::default()
    };
    files.target(&directory.path().join("out"), &options).unwrap();
    let guest = Guest::new(files);
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut answered = 0;
    for _ in 0..100_000 {
        let pick = next();
        let corner = |value: u64, n: u64| match n % 4 {
            0 => value % 8192,
            1 => HEAP + value % 65536,
            2 => value % (2 << 20),
            _ => value,
        };
        // Every operation but Wait, which takes its time.
        let op = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 16][(pick % 14) as usize];
        let raw = RawRequest {
            op,
            flags: ((pick >> 8) % 4) as u32,
            slot: ((pick >> 16) % 3) as u32,
            other: ((pick >> 24) % 3) as u32,
            offset: corner(next(), pick >> 32),
            other_offset: corner(next(), pick >> 34),
            length: corner(next(), pick >> 36),
            address: corner(next(), 1 + (pick >> 38) % 2),
            extra: [0, 512, 4096, 1 << 24, 3][((pick >> 40) % 5) as usize],
            reserved: 0,
        };
        if guest.ring(0, &[raw]).0 == Next::Continue {
            answered += 1;
        }
    }
    assert!(answered > 10_000, "{answered}");
    assert!(guest.engine.files().status(Slot(1)).unwrap().length <= 1 << 20);
}
