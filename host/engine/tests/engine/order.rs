//! Batches that write and then read, by several lanes at once.

use instar_abi::RawRequest;
use instar_abi::layout::HEAP;
use instar_abi::request::{Op, status};
use instar_engine::TargetOptions;
use instar_memory::Next;

use crate::guest::{Guest, files, pattern, request, source, target};

const PIECE: usize = 1 << 20;
const LANES: usize = 4;
const ROUNDS: usize = 12;

/// Where a lane keeps what it writes, and behind it what it reads.
fn buffer(lane: usize) -> u64 {
    HEAP + (lane * 2 * PIECE) as u64
}

#[test]
fn whoever_waits_for_the_target_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    let bytes = pattern(LANES * ROUNDS * PIECE, 8);
    std::fs::write(&from, &bytes).unwrap();
    let files = files();
    let read = source(&files, &from).slot;
    let written = target(&files, &to).slot;
    let guest = Guest::new(files);
    std::thread::scope(|scope| {
        for lane in 0..LANES {
            let (guest, bytes) = (&guest, &bytes);
            scope.spawn(move || {
                // Each round writes what the round before has read.
                for round in 0..=ROUNDS {
                    let place = |round: usize| (round * LANES + lane) * PIECE;
                    let at = |half: usize| buffer(lane) + (half % 2 * PIECE) as u64;
                    let mut batch: Vec<RawRequest> = Vec::new();
                    if let Some(before) = round.checked_sub(1) {
                        batch.push(RawRequest {
                            address: at(before),
                            ..request(Op::WRITE, written, place(before) as u64, PIECE as u64)
                        });
                    }
                    if round < ROUNDS {
                        batch.push(RawRequest {
                            address: at(round),
                            ..request(Op::READ, read, place(round) as u64, PIECE as u64)
                        });
                    }
                    let (next, results) = guest.ring(u32::try_from(lane).unwrap(), &batch);
                    assert_eq!(next, Next::Continue);
                    assert!(results.iter().all(|result| result.status == status::OK));
                    if round < ROUNDS {
                        let got = guest.get(at(round), PIECE);
                        assert!(got == bytes[place(round)..place(round) + PIECE], "{lane} {round}");
                    }
                }
            });
        }
    });
    guest.engine.files().commit(false).unwrap();
    assert!(std::fs::read(&to).unwrap() == bytes);
}

/// Whichever comes first: results say what would have happened in the order of the batch.
#[test]
fn a_write_that_fails_cancels_the_reads_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to) = (directory.path().join("from"), directory.path().join("to"));
    std::fs::write(&from, pattern(PIECE, 9)).unwrap();
    let files = files();
    let read = source(&files, &from).slot;
    let options = TargetOptions {
        limit: PIECE as u64,
        ..TargetOptions::default()
    };
    let written = files.target(to.as_os_str(), &options).unwrap().slot;
    let guest = Guest::new(files);
    let batch = |offset: u64| {
        [
            request(Op::WRITE, written, offset, PIECE as u64),
            request(Op::READ, read, 0, PIECE as u64),
        ]
    };
    std::thread::scope(|scope| {
        for lane in 0..3 {
            let (guest, batch) = (&guest, &batch);
            scope.spawn(move || {
                for _ in 0..20 {
                    let (_, results) = guest.ring(lane, &batch(0));
                    assert_eq!([results[0].status, results[1].status], [status::OK; 2]);
                    assert_eq!(results[1].value, PIECE as u64);
                    let (_, results) = guest.ring(lane, &batch(1));
                    assert_eq!(results[0].status, status::REFUSED_OUTPUT);
                    assert_eq!(results[1].status, status::CANCELLED);
                }
            });
        }
    });
}
