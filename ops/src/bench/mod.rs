//! `bench`: requests of one size, as fast as they are answered.
//!
//! ```text
//!  Cursor ─ ranges ─► map: the whole chain ──► lane: Read, decode      ─┐
//!                 └─► Writer: places, copy-up ► lane: Write, maybe Flush ─┴─► the next ranges
//!  └──────────── one lock ────────────┘
//! ```
//!
//! The requests that lanes hold at once are at most as many as the queue is deep; each lane hands its share over in one batch. A
//! flush that waits for all others ends a stage: lanes come together, and one of them flushes.

mod cursor;
mod write;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, Ordering};

use instar_abi::Report;
use instar_abi::errno::EIO;
use instar_abi::job::Bench;
use instar_abi::report::{Done, Failure, Stage};
use instar_disk::{Fault, Host, Result, Turnstile, fault, to_usize};

use self::cursor::{Cursor, Next};
use self::write::{Stretch, Writer};
use crate::chain::Chain;
use crate::copier::{Assembler, Piece, Span, lanes_with_room};
use crate::session::{At, Outcome, Session};

/// Bytes that a lane moves in one batch at most: what is longer goes in several. Ours: small enough for the second-level cache.
const BATCH_BYTES: u64 = 1 << 20;
/// Requests that a lane hands over in one batch at most: one doorbell's worth.
const BATCH_REQUESTS: u64 = 255;

/// Carries out `bench`.
pub(crate) fn run(session: &Session<'_>, job: &Bench) -> Outcome<Done> {
    let host = session.host;
    let chain = Chain::open(session, &job.image, Stage::OpenSource(0))?;
    let size = chain.size();
    if let Some(format) = chain.format() {
        host.report(&Report::Opened(format));
    }
    let writer = match &job.writes {
        None => None,
        Some(_) => Some(Writer::open(session, job, &chain).at(Stage::OpenSource(0))?),
    };
    // What follows is timed by the host.
    host.report(&Report::Size(size));
    let lanes = u64::try_from(host.lanes().min(lanes_with_room(chain.largest_unit()))).unwrap_or(1);
    let shared = Shared {
        host,
        lanes: lanes.min(job.depth).max(1),
        depth: job.depth,
        pattern: job.writes.map_or(0, |writes| writes.pattern),
        plan: Turnstile::new(Plan {
            chain,
            writer,
            cursor: Cursor::new(job, size),
        }),
        failed: AtomicBool::new(false),
        broken: AtomicBool::new(false),
        failure: Turnstile::new(None),
    };
    shared.run_stages();
    let failure = shared.failure.into_inner();
    if failure.is_none() {
        host.report(&Report::Answered);
    }
    let finished = match shared.plan.into_inner().writer {
        // Where bytes did not get to their places, nothing may lead there.
        Some(writer) if !shared.broken.into_inner() => writer.finish().at(Stage::Finish),
        _ => Ok(()),
    };
    match failure {
        Some(failure) => Err(failure),
        None => finished.map(|()| Done {
            virtual_size: size,
            ..Done::default()
        }),
    }
}

/// What lanes share.
struct Shared<'c, 'h> {
    host: &'c dyn Host,
    lanes: u64,
    depth: u64,
    pattern: u8,
    plan: Turnstile<Plan<'h>>,
    failed: AtomicBool,
    /// A request that was sent has failed.
    broken: AtomicBool,
    /// The first one.
    failure: Turnstile<Option<Failure>>,
}

impl Shared<'_, '_> {
    /// Stage after stage, with a flush between two.
    fn run_stages(&self) {
        loop {
            self.host.parallel(&|number| {
                if let Some(share) = self.share(number) {
                    self.lane(share);
                }
            });
            let more = self.plan.with(self.host, |plan| plan.cursor.begin_stage());
            if !more || self.failed.load(Ordering::Relaxed) {
                return;
            }
            if let Err(failure) = self.flush() {
                self.broken.store(true, Ordering::Relaxed);
                return self.fail(failure);
            }
        }
    }

    /// Requests that a lane may hold at once; none if it is one lane too many.
    fn share(&self, number: usize) -> Option<u64> {
        let number = u64::try_from(number).ok().filter(|number| *number < self.lanes)?;
        let (each, rest) = (
            self.depth.checked_div(self.lanes)?,
            self.depth.checked_rem(self.lanes)?,
        );
        Some(each.saturating_add(u64::from(number < rest)).min(BATCH_REQUESTS))
    }

    fn lane(&self, share: u64) {
        let mut lane = Lane::new(self.pattern);
        loop {
            let planned = self.plan.with(self.host, |plan| {
                // What a lane holds it answers, whatever becomes of the others: requests before the one that fails are done.
                if lane.requests.is_empty() && self.failed.load(Ordering::Relaxed) {
                    return Ok(Step::Over);
                }
                plan.next(self.host, share, &mut lane)
            });
            let answered = match planned {
                Ok(Step::Over) => return,
                Ok(Step::Batch) => lane.answer(self.host),
                Ok(Step::PastTheEnd(at)) => {
                    let fault = Fault::new(fault::core::IO).with([EIO]);
                    let stage = Stage::Read(at);
                    return self.fail(Failure { stage, fault });
                }
                Err(failure) => Err(failure),
            };
            if let Err(failure) = answered {
                self.broken.store(true, Ordering::Relaxed);
                return self.fail(failure);
            }
        }
    }

    fn flush(&self) -> Outcome<()> {
        self.plan.with(self.host, |plan| match &plan.writer {
            None => Ok(()),
            Some(writer) => write::flush(self.host, writer.slot()).at(Stage::Write(0)),
        })
    }

    fn fail(&self, failure: Failure) {
        self.failed.store(true, Ordering::Relaxed);
        self.failure.with(self.host, |kept| {
            kept.get_or_insert(failure);
        });
    }
}

/// What comes next, and where it is.
struct Plan<'h> {
    chain: Chain<'h>,
    writer: Option<Writer<'h>>,
    cursor: Cursor,
}

impl Plan<'_> {
    /// Fills `lane` with a batch.
    fn next(&mut self, host: &dyn Host, share: u64, lane: &mut Lane) -> Outcome<Step> {
        lane.clear();
        if lane.requests.is_empty() {
            let next = self.cursor.take(share, &mut lane.requests);
            lane.flush_due = next == Next::FlushAfter;
            if next == Next::PastTheEnd {
                return Ok(Step::PastTheEnd(self.cursor.at()));
            }
        }
        let mut room = BATCH_BYTES;
        while room > 0
            && let Some(request) = lane.requests.pop_front()
        {
            let start = request.start;
            let mut end = request.end.min(start.saturating_add(room));
            room = room.saturating_sub(end.saturating_sub(start));
            match &mut self.writer {
                None => lane.locate(&mut self.chain, start..end).at(Stage::Read(start))?,
                Some(writer) => {
                    if end < request.end {
                        end = writer.cut(start..end).min(request.end);
                    }
                    let taken = writer.place(&mut self.chain, start..end, &mut lane.stretches);
                    room = room.saturating_sub(taken.at(Stage::Write(start))?);
                }
            }
            if end < request.end {
                lane.requests.push_front(end..request.end);
            }
        }
        if let Some(writer) = &mut self.writer {
            writer.copy_up(host)?;
            lane.flush = (lane.flush_due && lane.requests.is_empty()).then(|| writer.slot());
        }
        Ok(if lane.is_idle() { Step::Over } else { Step::Batch })
    }
}

/// What lanes find when they ask for more.
enum Step {
    /// Nothing is left to do in this stage.
    Over,
    Batch,
    /// The next request, which starts here, does not lie on the disk.
    PastTheEnd(u64),
}

/// One lane's requests and buffers.
struct Lane {
    /// Those that it holds and has not answered.
    requests: VecDeque<Range<u64>>,
    /// After the last of them comes a flush that waits for nobody.
    flush_due: bool,
    /// What the batch at hand reads, as it lies in the buffer.
    pieces: Vec<Piece>,
    used: u64,
    assembler: Assembler,
    spans: Vec<Span>,
    buffer: Vec<u8>,
    /// What it writes.
    stretches: Vec<Stretch>,
    flush: Option<instar_disk::Slot>,
    pattern: u8,
}

impl Lane {
    fn new(pattern: u8) -> Self {
        Self {
            requests: VecDeque::new(),
            flush_due: false,
            pieces: Vec::new(),
            used: 0,
            assembler: Assembler::default(),
            spans: Vec::new(),
            buffer: Vec::new(),
            stretches: Vec::new(),
            flush: None,
            pattern,
        }
    }

    fn clear(&mut self) {
        self.pieces.clear();
        self.used = 0;
        self.stretches.clear();
        self.flush = None;
    }

    fn is_idle(&self) -> bool {
        self.pieces.is_empty() && self.stretches.is_empty()
    }

    /// Adds what `range` of the disk consists of.
    fn locate(&mut self, chain: &mut Chain<'_>, range: Range<u64>) -> Result<()> {
        let mut at = range.start;
        while at < range.end {
            let located = chain.map(at)?;
            let length = located.length.min(range.end.saturating_sub(at)).max(1);
            self.pieces.push(Piece {
                target: self.used,
                length,
                from: located.from,
                stretch: 0,
                look: false,
            });
            self.used = self.used.saturating_add(length);
            at = at.saturating_add(length);
        }
        Ok(())
    }

    /// Carries out the batch.
    fn answer(&mut self, host: &dyn Host) -> Outcome<()> {
        if !self.stretches.is_empty() {
            return self.write(host);
        }
        self.assembler
            .lay_out(&self.pieces, true, 1, &mut self.spans, &mut self.buffer)
            .at(Stage::Read(0))?;
        self.assembler
            .fetch(host, false, Vec::new(), &[], &mut self.buffer)
            .map(|_| ())
    }

    fn write(&mut self, host: &dyn Host) -> Outcome<()> {
        let stage = Stage::Write(0);
        let longest = self.stretches.iter().map(|stretch| stretch.length).max();
        let longest = to_usize(longest.unwrap_or(0)).at(stage)?;
        if self.buffer.len() < longest {
            self.buffer.resize(longest, self.pattern);
        }
        write::write(host, &self.stretches, &self.buffer, self.flush).at(stage)
    }
}
