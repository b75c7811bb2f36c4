//! Every interleaving of the protocols that lanes keep, within the memory model of the language: the crew, the doorbell, the turnstile and
//! the turns. The code is that of the guest, with loom's atomics under it.
//!
//! A lost wake is a deadlock here, and an access without an order is a race: both fail the test. Sleeping is a futex as the kernel has it:
//! the word is compared and the lane put to sleep in one step, and a wake that comes between a lane's look at the word and its sleep is
//! seen.

use loom::cell::Cell;
use loom::model::Builder;
use loom::sync::atomic::fence;
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use instar_abi::mailbox::{DOORBELL_GUEST, DOORBELL_HOST};

use crate::atomic::{AtomicU32, Ordering};
use crate::bell;
use crate::crew::Crew;
use crate::host::Host;
use crate::turnstile::{Turn, Turnstile};

/// Where lanes sleep. One for all words: a wake for another word is one of those that may come for no reason.
struct Futex {
    gate: Mutex<()>,
    woken: Condvar,
    /// How the word is read that is compared.
    look: fn(&AtomicU32) -> u32,
}

impl Futex {
    fn new() -> Self {
        Self::looking(|word| word.load(Ordering::SeqCst))
    }

    /// With the kernel's full barrier before its look. Loom has none in loads and stores, however they are ordered, but its
    /// read-modify-writes are as strong.
    fn with_barrier() -> Self {
        Self::looking(|word| word.fetch_add(0, Ordering::SeqCst))
    }

    fn looking(look: fn(&AtomicU32) -> u32) -> Self {
        Self {
            gate: Mutex::new(()),
            woken: Condvar::new(),
            look,
        }
    }
}

impl Host for Futex {
    fn wait(&self, word: &AtomicU32, expected: u32) {
        let gate = self.gate.lock().unwrap();
        if (self.look)(word) == expected {
            drop(self.woken.wait(gate).unwrap());
        }
    }

    fn wake(&self, _word: &AtomicU32) {
        let _gate = self.gate.lock().unwrap();
        self.woken.notify_all();
    }
}

/// What the protocols protect: an access that is not ordered with another one fails the model.
struct Watched(Cell<u32>);

// SAFETY: loom sees every access, and fails the model where two are not ordered.
unsafe impl Sync for Watched {}

impl Watched {
    fn new() -> Self {
        Self(Cell::new(0))
    }

    fn add(&self, value: u32) {
        self.0.set(self.0.get() + value);
    }
}

/// Every interleaving with at most so many places where a lane is interrupted that could have gone on.
fn every_interleaving(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn a_crew_does_every_part_once_and_none_outlives_its_round() {
    every_interleaving(2, || {
        let shared = Arc::new((Crew::new(), Futex::new()));
        let others: Vec<_> = (1..3)
            .map(|lane| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.0.serve(&shared.1, lane, 0))
            })
            .collect();
        let parts = [Watched::new(), Watched::new(), Watched::new()];
        shared.0.parallel(&shared.1, 2, &|lane| parts[lane].add(1));
        // Ours again: a lane that were still at work would race with this.
        for part in &parts {
            part.add(1);
            assert_eq!(part.0.get(), 2);
        }
        assert!(!shared.0.is_busy());
        for other in others {
            assert_eq!(other.join().unwrap(), 1);
        }
    });
}

#[test]
fn a_crew_does_one_round_after_the_other() {
    every_interleaving(3, || {
        let shared = Arc::new((Crew::new(), Futex::new()));
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let done = shared.0.serve(&shared.1, 1, 0);
                shared.0.serve(&shared.1, 1, done)
            })
        };
        for round in 1..3 {
            let parts = [Watched::new(), Watched::new()];
            shared.0.parallel(&shared.1, 1, &|lane| parts[lane].add(round));
            assert_eq!(parts.map(|part| part.0.get()), [round; 2]);
        }
        assert_eq!(other.join().unwrap(), 2);
    });
}

/// The host's side of the bell, in the order of its accesses: `GuestMemory::load_u32`, what it reads and writes for the guest,
/// `GuestMemory::store_u32`, the wake.
fn answer(futex: &Futex, word: &AtomicU32, mut serve: impl FnMut()) {
    loop {
        let value = word.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        match value {
            DOORBELL_HOST => break,
            _ => futex.wait(word, DOORBELL_GUEST),
        }
    }
    serve();
    fence(Ordering::Release);
    word.store(DOORBELL_GUEST, Ordering::Relaxed);
    fence(Ordering::SeqCst);
    futex.wake(word);
}

#[test]
fn a_mailbox_has_one_owner_at_every_moment_and_no_ring_is_lost() {
    every_interleaving(4, || {
        let shared = Arc::new((AtomicU32::new(DOORBELL_GUEST), Futex::new(), Watched::new()));
        let host = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for request in [1, 11] {
                    answer(&shared.1, &shared.0, || {
                        assert_eq!(shared.2.0.get(), request);
                        shared.2.add(9);
                    });
                }
            })
        };
        for result in [10, 20] {
            shared.2.add(1);
            bell::ring(&shared.1, &shared.0);
            assert_eq!(shared.2.0.get(), result);
        }
        host.join().unwrap();
    });
}

#[test]
fn a_turnstile_lets_one_lane_in_at_a_time_and_forgets_none() {
    every_interleaving(3, || {
        let shared = Arc::new((Turnstile::new(Watched::new()), Futex::new()));
        let enter = |shared: &(Turnstile<Watched>, Futex)| shared.0.with(&shared.1, |value| value.add(1));
        let others: Vec<_> = (0..2)
            .map(|_| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || enter(&shared))
            })
            .collect();
        enter(&shared);
        for other in others {
            other.join().unwrap();
        }
        assert_eq!(shared.0.with(&shared.1, |value| value.0.get()), 3);
    });
}

#[test]
fn turns_come_in_the_order_of_their_tickets_and_nobody_sleeps_through_one() {
    every_interleaving(3, || {
        let shared = Arc::new((Turn::new(), Futex::with_barrier(), Watched::new()));
        let take = |shared: &(Turn, Futex, Watched), ticket: u32| {
            shared.0.wait_for(&shared.1, ticket);
            assert_eq!(shared.2.0.get(), ticket);
            shared.2.add(1);
            shared.0.pass(&shared.1);
        };
        let others: Vec<_> = [2, 1]
            .into_iter()
            .map(|ticket| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || take(&shared, ticket))
            })
            .collect();
        take(&shared, 0);
        for other in others {
            other.join().unwrap();
        }
        assert!(shared.0.is(3));
    });
}

/// The models see what they look for: a bell whose ringer does not wake, and a value that is touched past its lock, both fail.
#[test]
fn a_lost_wake_and_a_race_are_found() {
    let deadlock = std::panic::catch_unwind(|| {
        every_interleaving(2, || {
            let shared = Arc::new((AtomicU32::new(0), Futex::new()));
            let other = {
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.0.store(1, Ordering::SeqCst))
            };
            while shared.0.load(Ordering::Acquire) == 0 {
                shared.1.wait(&shared.0, 0);
            }
            other.join().unwrap();
        });
    });
    assert!(deadlock.is_err());
    let race = std::panic::catch_unwind(|| {
        every_interleaving(2, || {
            let value = Arc::new(Watched::new());
            let other = {
                let value = Arc::clone(&value);
                thread::spawn(move || value.add(1))
            };
            value.add(1);
            other.join().unwrap();
        });
    });
    assert!(race.is_err());
}
