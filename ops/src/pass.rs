//! One pass over a disk from its first byte to its last, on all lanes.
//!
//! ```text
//!   lane: Plan ─ chunk ─► read, decode ─► Visit::look ──┐
//!   lane: Plan ─ chunk ─► read, decode ─► Visit::look ──┴─ in turn ─► Visit::take
//! ```

use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use instar_abi::report::{Failure, Stage};
use instar_disk::{Host, Turn, Turnstile};

use crate::copier::{Assembler, Chunk, Cut, Plan, Sharing, Span, Stretching, lanes_with_room};
use crate::keys::Keys;
use crate::session::{At, Outcome};
use crate::source::Source;
use crate::tree::LEAF;

/// Bytes of data in a chunk: they pass through the buffer of one lane, which must stay in the cache.
const BUDGET: u64 = 1 << 20;

/// What becomes of the bytes.
pub(crate) trait Visit: Sync {
    /// What a lane finds in a chunk before its turn.
    type Found: Default;

    /// Looks at a chunk, on any lane and at any time.
    ///
    /// # Errors
    /// Whatever ends the pass.
    fn look(&self, data: Data<'_>, found: &mut Self::Found) -> Outcome<()>;

    /// Takes a chunk, in the order of the disk.
    ///
    /// # Errors
    /// Whatever ends the pass.
    fn take(&self, data: Data<'_>, found: &Self::Found) -> Outcome<()>;
}

/// The data of a chunk.
#[derive(Clone, Copy)]
pub(crate) struct Data<'c> {
    /// Where it is in the buffer, in ascending order; what lies between is zero.
    pub(crate) spans: &'c [Span],
    pub(crate) buffer: &'c [u8],
    /// The bytes of the pass that the chunk settles.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

impl Data<'_> {
    pub(crate) const fn range(&self) -> Range<u64> {
        self.start..self.end
    }
}

/// Shows `visit` the bytes of `source` from `shift` on, `length` of them.
///
/// # Errors
/// The source's, and those of `visit`: the one nearest to the start.
pub(crate) fn over<V: Visit>(
    host: &dyn Host,
    source: Source<'_>,
    (shift, length): (u64, u64),
    visit: &V,
) -> Outcome<()> {
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
    let (lanes, keys) = (lanes_with_room(source.largest_unit()), source.keys());
    let shared = Shared {
        host,
        visit,
        size: length,
        plan: Turnstile::new(Plan::new(
            source,
            (cut, Sharing::default()),
            (shift, 0),
            length,
            false,
        )),
        turn: Turn::new(),
        keys,
        settled: AtomicU64::new(0),
        failed: AtomicBool::new(false),
        failure: Turnstile::new(None),
    };
    host.progress(0, length.max(1));
    host.parallel(&|number| {
        if number < lanes {
            lane(&shared);
        }
    });
    match shared.failure.into_inner() {
        Some((_, failure)) => Err(failure),
        None => Ok(()),
    }
}

/// The state that lanes share.
struct Shared<'c, 'h, V> {
    host: &'c dyn Host,
    visit: &'c V,
    size: u64,
    plan: Turnstile<Plan<'h>>,
    turn: Turn,
    keys: Keys,
    settled: AtomicU64,
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
}

fn lane<V: Visit>(shared: &Shared<'_, '_, V>) {
    let mut lane = Lane {
        assembler: Assembler::new(shared.keys.clone()),
        ..Lane::default()
    };
    let mut found = V::Found::default();
    while !shared.failed.load(Ordering::Relaxed) {
        let planned = shared.plan.with(shared.host, |plan| {
            let found = plan.next(&mut lane.chunk);
            found.at(Stage::Read(plan.at()))
        });
        let looked = match planned {
            Ok(false) => return,
            Ok(true) => lane
                .fetch(shared.host)
                .and_then(|()| shared.visit.look(lane.data(), &mut found)),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = looked {
            // The chunk still takes its turn; otherwise the lanes behind it would never continue.
            shared.fail(lane.chunk.start, failure);
        }
        shared.turn.wait_for(shared.host, lane.chunk.ticket);
        // After a failure nothing is taken any more, so that nothing follows a gap.
        let taken = match shared.failed.load(Ordering::Relaxed) {
            true => Ok(()),
            false => shared.visit.take(lane.data(), &found),
        };
        if let Err(failure) = taken {
            shared.fail(lane.chunk.start, failure);
        }
        shared.turn.pass(shared.host);
        shared.advance(&lane.chunk);
    }
}

impl Lane {
    fn data(&self) -> Data<'_> {
        Data {
            spans: &self.spans,
            buffer: &self.buffer,
            start: self.chunk.start,
            end: self.chunk.end,
        }
    }

    fn fetch(&mut self, host: &dyn Host) -> Outcome<()> {
        let stage = Stage::Read(self.chunk.start);
        self.assembler
            .lay_out(&self.chunk.pieces, false, LEAF, &mut self.spans, &mut self.buffer)
            .at(stage)?;
        self.assembler
            .fetch(host, false, Vec::new(), &[], &mut self.buffer)?;
        Ok(())
    }
}

impl<V> Shared<'_, '_, V> {
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
        let before = self.settled.fetch_add(settled, Ordering::Relaxed);
        let now = before.saturating_add(settled);
        if now.checked_div(step) != before.checked_div(step) {
            self.host.progress(now.min(self.size), self.size);
        }
    }
}
