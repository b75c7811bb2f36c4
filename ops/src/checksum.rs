//! `checksum`: the content of a virtual disk in 32 bytes, the same for the same content in any container.
//!
//! Lanes read, decode and hash chunks at the same time; their digests join the tree in order. Runs of zeros that the tables
//! know of cost nothing.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use instar_abi::Report;
use instar_abi::job::{Algorithm, Checksum};
use instar_abi::report::{Done, Failure, Stage};
use instar_disk::{Host, Turn, Turnstile};

use crate::copier::{Assembler, Chunk, Cut, Plan, Sharing, Span, Stretching, lanes_with_room};
use crate::keys::Keys;
use crate::leaves::{Growth, Hashing, Leaf};
use crate::session::{At, Outcome, Session};
use crate::source::Source;
use crate::tree::LEAF;

/// Bytes of data in a chunk: they pass through the buffer of one lane, which must stay in the cache.
const BUDGET: u64 = 1 << 20;

/// Carries out `checksum`.
pub(crate) fn run(session: &Session<'_>, job: &Checksum) -> Outcome<Done> {
    let source = Source::open(session, core::slice::from_ref(&job.source))?;
    let virtual_size = source.size();
    of(session.host, source, job.algorithm)?;
    session.host.progress(1, 1);
    Ok(Done {
        virtual_size,
        ..Done::default()
    })
}

/// Reports the checksum of all of `source`.
fn of(host: &dyn Host, source: Source<'_>, algorithm: Algorithm) -> Outcome<()> {
    let size = source.size();
    let cut = Cut {
        align: LEAF,
        unit: LEAF,
        budget: BUDGET,
        least: LEAF,
        look: false,
        zeros_below: 0,
        zeros_are_data: false,
        zeros_most: u64::MAX,
        inherit_below: 0,
        backed_below: 0,
        stretching: Stretching::Off,
    };
    let hashing = Hashing::new(algorithm, size).at(Stage::Other)?;
    let (lanes, keys) = (lanes_with_room(source.largest_unit()), source.keys());
    let shared = Shared {
        host,
        hashing,
        size,
        plan: Turnstile::new(Plan::new(source, (cut, Sharing::default()), (0, 0), size, false)),
        turn: Turn::new(),
        growth: Turnstile::new(Growth::new(hashing)),
        keys,
        hashed: AtomicU64::new(0),
        failed: AtomicBool::new(false),
        failure: Turnstile::new(None),
    };
    host.progress(0, size.max(1));
    host.parallel(&|number| {
        if number < lanes {
            lane(&shared);
        }
    });
    if let Some((_, failure)) = shared.failure.into_inner() {
        return Err(failure);
    }
    report(host, shared.growth.into_inner())
}

/// Reports the checksum of a disk that has been looked at.
pub(crate) fn report(host: &dyn Host, growth: Growth) -> Outcome<()> {
    let digest = growth.finish().at(Stage::Other)?;
    host.report(&Report::Checksum(digest));
    Ok(())
}

/// The state that lanes share.
struct Shared<'c, 'h> {
    host: &'c dyn Host,
    hashing: Hashing,
    size: u64,
    plan: Turnstile<Plan<'h>>,
    turn: Turn,
    growth: Turnstile<Growth>,
    keys: Keys,
    hashed: AtomicU64,
    failed: AtomicBool,
    /// The failure nearest to the start.
    failure: Turnstile<Option<(u64, Failure)>>,
}

/// One lane's buffers, reused from chunk to chunk.
#[derive(Default)]
struct Lane {
    chunk: Chunk,
    assembler: Assembler,
    spans: Vec<Span>,
    buffer: Vec<u8>,
    leaves: Vec<Leaf>,
}

fn lane(shared: &Shared<'_, '_>) {
    let mut lane = Lane {
        assembler: Assembler::new(shared.keys.clone()),
        ..Lane::default()
    };
    while !shared.failed.load(Ordering::Relaxed) {
        let planned = shared.plan.with(shared.host, |plan| {
            let found = plan.next(&mut lane.chunk);
            found.at(Stage::Read(plan.at()))
        });
        lane.leaves.clear();
        let hashed = match planned {
            Ok(false) => return,
            Ok(true) => lane.hash(shared),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = hashed {
            // The chunk still takes its turn; otherwise the lanes behind it would never continue.
            shared.fail(lane.chunk.start, failure);
        }
        shared.turn.wait_for(shared.host, lane.chunk.ticket);
        let grown = shared
            .growth
            .with(shared.host, |growth| growth.add(&lane.leaves, lane.chunk.end));
        shared.turn.pass(shared.host);
        match grown {
            Ok(()) => shared.advance(&lane.chunk),
            Err(fault) => shared.fail(
                lane.chunk.start,
                Failure {
                    stage: Stage::Other,
                    fault,
                },
            ),
        }
    }
}

impl Lane {
    fn hash(&mut self, shared: &Shared<'_, '_>) -> Outcome<()> {
        let stage = Stage::Read(self.chunk.start);
        self.assembler
            .lay_out(&self.chunk.pieces, false, LEAF, &mut self.spans, &mut self.buffer)
            .at(stage)?;
        self.assembler
            .fetch(shared.host, false, Vec::new(), &[], &mut self.buffer)?;
        let range = self.chunk.start..self.chunk.end;
        shared
            .hashing
            .hash(&self.spans, &self.buffer, &range, &mut self.leaves)
            .at(stage)
    }
}

impl Shared<'_, '_> {
    fn fail(&self, at: u64, failure: Failure) {
        self.failed.store(true, Ordering::Relaxed);
        self.failure.with(self.host, |kept| {
            if kept.as_ref().is_none_or(|(first, _)| at < *first) {
                *kept = Some((at, failure));
            }
        });
    }

    fn advance(&self, chunk: &Chunk) {
        let step = (self.size / 100).max(1);
        let settled = chunk.end.saturating_sub(chunk.start);
        let before = self.hashed.fetch_add(settled, Ordering::Relaxed);
        let now = before.saturating_add(settled);
        if now.checked_div(step) != before.checked_div(step) {
            self.host.progress(now.min(self.size), self.size);
        }
    }
}
