//! The stop sign: whatever is asked for, a run that is over ends it soon.

use std::time::{Duration, Instant};

use instar_abi::layout::{self, BASE, HEAP};
use instar_abi::request::{COMPARE_WITH_ZERO, COPY_TARGET_IS_ZERO, Op, ZERO_MAY_UNMAP};
use instar_abi::{BadRequest, RawRequest, Slot};
use instar_memory::{Next, StopSign, Violation};

use crate::guest::{Guest, files, request, source};

const CANCELED: u32 = libc::ECANCELED.unsigned_abs();

/// A source of four tebibytes without data, and a target.
fn with_a_large_source() -> (tempfile::TempDir, Guest, [Slot; 2]) {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("in");
    std::fs::File::create(&input).unwrap().set_len(4 << 40).unwrap();
    let files = files();
    let from = source(&files, &input).slot;
    let to = crate::guest::target(&files, &directory.path().join("out")).slot;
    (directory, Guest::new(files), [from, to])
}

/// Full batches of work that would take minutes or never end. None of it fills a disk.
fn long_work([from, to]: [Slot; 2]) -> Vec<(&'static str, RawRequest)> {
    let tebibyte = 1 << 40;
    let copy = RawRequest {
        other: to.0,
        flags: COPY_TARGET_IS_ZERO,
        extra: 4096,
        ..request(Op::COPY, from, 0, tebibyte)
    };
    vec![
        ("Copy of zeros", copy),
        (
            "Compare with zeros",
            RawRequest {
                flags: COMPARE_WITH_ZERO,
                ..request(Op::COMPARE, from, 0, 64 << 20)
            },
        ),
        (
            "Compare",
            RawRequest {
                other: from.0,
                other_offset: 4096,
                ..request(Op::COMPARE, from, 0, 64 << 20)
            },
        ),
        ("Read", request(Op::READ, from, 0, 16 << 20)),
        (
            "Wait",
            RawRequest {
                address: HEAP,
                ..request(Op::WAIT, from, 0, 0)
            },
        ),
    ]
}

#[test]
fn a_sign_that_is_raised_ends_every_kind_of_long_work_within_100_ms() {
    let (_directory, guest, slots) = with_a_large_source();
    drop(guest);
    for (name, work) in long_work(slots) {
        let (_directory, guest, _) = with_a_large_source();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| {
                // Again and again: what takes a moment each is long in a full batch.
                loop {
                    let (next, results) = guest.ring(1, &vec![work; 256]);
                    assert_eq!(next, Next::Continue, "{name}");
                    if results.iter().any(|result| result.status == CANCELED) {
                        break;
                    }
                    assert!(
                        results.iter().all(|result| result.status == 0),
                        "{name}: {results:?}"
                    );
                }
            });
            std::thread::sleep(Duration::from_millis(50));
            let raised = Instant::now();
            guest.engine.stop();
            asked.join().unwrap();
            let took = raised.elapsed();
            assert!(took < Duration::from_millis(250), "{name}: {took:?}");
        });
    }
}

#[test]
fn a_deadline_ends_work_without_a_signal() {
    let (_directory, guest, slots) = with_a_large_source();
    let sign = StopSign::default();
    let Guest {
        memory,
        engine,
        heard,
    } = guest;
    let guest = Guest {
        memory,
        engine: engine.with_sign(sign.clone()),
        heard,
    };
    sign.set_deadline(Instant::now() + Duration::from_millis(60));
    let start = Instant::now();
    let copy = long_work(slots).remove(0).1;
    assert_eq!(guest.ask(copy), Err(CANCELED));
    assert!(start.elapsed() >= Duration::from_millis(50));
    assert!(
        start.elapsed() < Duration::from_millis(400),
        "{:?}",
        start.elapsed()
    );
}

#[test]
fn a_map_of_very_many_pieces_ends_with_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let input = directory.path().join("in");
    let file = std::fs::File::create(&input).unwrap();
    for piece in 0..2000_u64 {
        std::os::unix::fs::FileExt::write_all_at(&file, b"x", piece << 16).unwrap();
    }
    let files = files();
    let from = source(&files, &input).slot;
    let guest = Guest::new(files);
    let extents = RawRequest {
        extra: 4000 * 16,
        ..request(Op::EXTENTS, from, 0, 1 << 40)
    };
    assert_eq!(guest.ask(extents).unwrap().value, 3999);
    guest.engine.stop();
    assert_eq!(guest.ask(extents), Err(CANCELED));
}

#[test]
fn no_zeroing_begins_for_which_the_disk_has_no_room() {
    let (directory, guest, [_, to]) = with_a_large_source();
    let start = Instant::now();
    let zero = request(Op::ZERO, to, 0, 1 << 50);
    assert_eq!(guest.ask(zero), Err(libc::ENOSPC.unsigned_abs()));
    assert!(start.elapsed() < Duration::from_secs(10));
    let left = guest.engine.files().status(to).unwrap().disk_size;
    assert!(left < 1 << 20, "{left} bytes in {directory:?}");
    let may_unmap = RawRequest {
        flags: ZERO_MAY_UNMAP,
        ..request(Op::ZERO, to, 0, 1 << 40)
    };
    assert!(guest.ask(may_unmap).is_ok());
}

#[test]
fn targets_grow_as_far_as_the_run_says_and_no_further() {
    let (_directory, guest, [from, to]) = with_a_large_source();
    const REFUSED: u32 = instar_abi::request::status::REFUSED_OUTPUT;
    let all = |end: u64| {
        [
            request(Op::WRITE, to, end - 1, 1),
            request(Op::ZERO, to, 0, end),
            request(Op::DISCARD, to, 0, end),
            request(Op::RESIZE, to, 0, end),
            RawRequest {
                other: to.0,
                other_offset: end - 1,
                ..request(Op::COPY, from, 0, 1)
            },
        ]
    };
    guest.engine.files().let_targets_grow(0);
    for work in all(1) {
        assert_eq!(guest.ask(work), Err(REFUSED), "{work:?}");
    }
    assert!(!guest.engine.files().is_touched(to));
    guest.engine.files().let_targets_grow(8192);
    for (fits, too_far) in all(8192).into_iter().zip(all(8193)) {
        assert!(guest.ask(fits).is_ok(), "{fits:?}");
        assert_eq!(guest.ask(too_far), Err(REFUSED), "{too_far:?}");
    }
    // Small copies in one batch are written together.
    let copies = [4096_u64, 8192].map(|at| RawRequest {
        other: to.0,
        other_offset: at,
        ..request(Op::COPY, from, 0, 4096)
    });
    let (_, results) = guest.ring(0, &copies);
    assert_eq!((results[0].status, results[1].status), (0, REFUSED));
    assert_eq!(guest.engine.files().status(to).unwrap().length, 8192);
}

#[test]
fn what_the_guest_may_not_fill_is_not_filled_for_it() {
    let (_directory, guest, [from, _]) = with_a_large_source();
    let mailbox = layout::mailbox(0) - BASE..layout::mailbox(1) - BASE;
    guest.memory.seal(vec![HEAP - BASE..HEAP - BASE + 8192, mailbox]);
    guest.put(HEAP, &[0xee; 8192]);
    let into = |op, address, length| RawRequest {
        address,
        extra: length,
        ..request(op, from, 0, length)
    };
    for op in [Op::READ, Op::EXTENTS] {
        assert!(guest.ask(into(op, HEAP, 8192)).is_ok());
        for (address, length) in [
            (HEAP, 8193),
            (HEAP + 8191, 16),
            (HEAP + 8192, 16),
            (BASE + (8 << 20), 16),
        ] {
            let (next, _) = guest.ring(0, &[into(op, address, length)]);
            let address = Violation::BadRequest(BadRequest::Address(address));
            assert_eq!(next, Next::Kill(address));
        }
    }
}
