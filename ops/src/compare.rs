//! `compare`: whether two images show the same disk, whatever their formats.
//!
//! ```text
//!  both maps, side by side ─► both zero, or the same bytes of the same file ─► nothing to do
//!  (one lock)               ─► plain data ─► Compare on the host: the bytes never enter the guest
//!                           ─► encoded, sealed ─► read and decoded in a lane, compared there
//! ```
//!
//! The lowest difference is the one that is told, so the answer does not depend on the number of lanes.

use alloc::vec::Vec;
use core::slice::from_ref;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use instar_abi::Report;
use instar_abi::job::Compare;
use instar_abi::report::{Compared, Done, Failure, Stage};
use instar_disk::{
    Action, CompareRange, Fault, Format, Host, Io, Result, Slot, Status, Turnstile, align_down, from_usize,
};

use crate::chain::Chain;
use crate::copier::{Assembler, Piece, Span, lanes_with_room};
use crate::keys::Keys;
use crate::located::{Located, Origin};
use crate::packed::no_choice;
use crate::session::{At, Outcome, Session};

/// Bytes that a lane decodes of each image at a time.
const BUDGET: u64 = 1 << 20;
/// Bytes that a lane has the host compare at a time. Ours: the doorbell does not count, and lanes finish together.
const PLAIN_BUDGET: u64 = 8 << 20;
/// Runs that a lane takes at a time.
const PIECES: usize = 128;
/// Steps of both maps before a lane lets go of the lock. Ours: a step may read a table.
const STEPS: usize = 1024;
/// Differences are told by sector, as qemu-img does.
const SECTOR: u64 = 512;
/// Bytes that the reference tool compares before it asks for the status again.
const STRICT_STEP: u64 = 2 << 20;

/// Carries out `compare`.
pub(crate) fn run(session: &Session<'_>, job: &Compare) -> Outcome<Done> {
    let left = Chain::open(session, &job.left, Stage::OpenSource(0))?;
    let right = Chain::open(session, &job.right, Stage::OpenSource(1))?;
    let formats = [left.format(), right.format()];
    if job.left.disk.is_some() && !formats.contains(&Some(Format::Ova)) {
        let format = left.format().unwrap_or(Format::Raw);
        return Err(no_choice(format)).at(Stage::OpenSource(0));
    }
    let sizes = (left.size(), right.size());
    let host = session.host;
    // Each lane decodes of both images.
    let lanes = lanes_with_room(left.largest_unit().saturating_add(right.largest_unit()));
    let done = Done {
        virtual_size: sizes.0,
        ..Done::default()
    };
    let keys = left.keys().and(right.keys());
    let (common, all) = (sizes.0.min(sizes.1), sizes.0.max(sizes.1));
    // The host shows progress from here on.
    host.report(&Report::Size(all));
    if job.strict && common != all {
        host.report(&Report::Compared(Compared::Sizes));
        return Ok(done);
    }
    let shared = Shared {
        host,
        walk: Turnstile::new(Walk {
            sides: [Side::new(left), Side::new(right)],
            at: 0,
            end: common,
            strict: job.strict,
        }),
        total: all,
        compared: AtomicU64::new(0),
        decided: AtomicBool::new(false),
        verdict: Turnstile::new(None),
        keys,
    };
    let work = |number: usize| {
        if number < lanes {
            lane(&shared);
        }
    };
    host.parallel(&work);
    if common != all && !shared.decided.load(Ordering::Relaxed) {
        host.report(&Report::Compared(Compared::Longer));
        shared.walk.with(host, |walk| walk.end = all);
        host.parallel(&work);
    }
    let verdict = match shared.verdict.into_inner() {
        None => Compared::Identical,
        Some((_, Ok(found))) => found,
        Some((_, Err(failure))) => return Err(failure),
    };
    if verdict == Compared::Identical {
        host.progress(1, 1);
    }
    host.report(&Report::Compared(verdict));
    Ok(done)
}

/// The state that lanes share.
struct Shared<'c, 'h> {
    host: &'c dyn Host,
    walk: Turnstile<Walk<'h>>,
    total: u64,
    compared: AtomicU64,
    decided: AtomicBool,
    /// The lowest place where the images differ or cannot be read, and which of the two.
    verdict: Turnstile<Option<(u64, Outcome<Compared>)>>,
    keys: Keys,
}

impl Shared<'_, '_> {
    fn decide(&self, at: u64, verdict: Outcome<Compared>) {
        self.decided.store(true, Ordering::Relaxed);
        self.verdict.with(self.host, |kept| {
            if kept.as_ref().is_none_or(|(first, _)| at < *first) {
                *kept = Some((at, verdict));
            }
        });
    }

    fn advance(&self, bytes: u64) {
        let step = (self.total / 50).max(1);
        let before = self.compared.fetch_add(bytes, Ordering::Relaxed);
        let now = before.saturating_add(bytes);
        if now.checked_div(step) != before.checked_div(step) {
            self.host.progress(now.min(self.total), self.total);
        }
    }
}

/// One of the two images.
struct Side<'h> {
    chain: Chain<'h>,
}

impl<'h> Side<'h> {
    const fn new(chain: Chain<'h>) -> Self {
        Self { chain }
    }

    /// Past its end an image is as good as zero.
    fn locate(&mut self, at: u64) -> Result<Located> {
        if at >= self.chain.size() {
            return Ok(Located {
                length: u64::MAX,
                from: Origin::Zero,
            });
        }
        self.chain.map(at)
    }
}

/// Both maps, side by side.
struct Walk<'h> {
    sides: [Side<'h>; 2],
    at: u64,
    end: u64,
    strict: bool,
}

/// Plain bytes of both sides, or of one where the other is zero.
#[derive(Clone, Copy)]
struct Plain {
    at: u64,
    length: u64,
    one: (Slot, u64),
    other: Option<(Slot, u64)>,
}

/// The next work of a lane.
#[derive(Default)]
struct Pairs {
    start: u64,
    end: u64,
    plain: Vec<Plain>,
    /// The same ranges of both sides, of which at least one is encoded.
    encoded: [Vec<Piece>; 2],
    /// A difference that the maps themselves show.
    status: Option<u64>,
    /// Where a map could not be read on, and whose it is: behind all that is to be compared.
    failed: Option<(u64, u32, Fault)>,
}

impl Walk<'_> {
    /// Fills `pairs`; `false` when nothing is left. What comes before damage is compared before the damage is told.
    fn next(&mut self, pairs: &mut Pairs) -> bool {
        match self.fill(pairs) {
            Ok(any) => any,
            Err((side, fault)) => {
                pairs.end = self.at;
                pairs.failed = Some((self.at, side, fault));
                self.at = self.end;
                true
            }
        }
    }

    /// As [`Walk::next`]. An error says which side's it is, and `pairs` has what comes before it.
    fn fill(&mut self, pairs: &mut Pairs) -> core::result::Result<bool, (u32, Fault)> {
        pairs.plain.clear();
        pairs.encoded.iter_mut().for_each(Vec::clear);
        pairs.start = self.at;
        pairs.end = self.at;
        if self.at >= self.end {
            return Ok(false);
        }
        let (mut plain, mut encoded, mut steps) = (0_u64, 0_u64, 0_usize);
        while self.at < self.end
            && plain < PLAIN_BUDGET
            && encoded < BUDGET
            && pairs.plain.len() < PIECES
            && pairs.encoded[0].len() < PIECES
            && steps < STEPS
        {
            steps = steps.saturating_add(1);
            let mut length = self.end.saturating_sub(self.at);
            if self.strict {
                match self.status()? {
                    Some(alike) => length = length.min(alike),
                    None => {
                        pairs.status = Some(self.at);
                        self.at = self.end;
                        break;
                    }
                }
            }
            let [left, right] = &mut self.sides;
            let one = left.locate(self.at).map_err(|fault| (0, fault))?;
            let two = right.locate(self.at).map_err(|fault| (1, fault))?;
            length = length.min(one.length).min(two.length);
            let from = [one.from, two.from];
            let (room, used) = match from {
                _ if from[0] == from[1] => (length, None),
                [Origin::Encoded(_) | Origin::Sealed(_), _] | [_, Origin::Encoded(_) | Origin::Sealed(_)] => {
                    (BUDGET.saturating_sub(encoded), Some(&mut encoded))
                }
                _ => (PLAIN_BUDGET.saturating_sub(plain), Some(&mut plain)),
            };
            length = length.min(room.max(SECTOR));
            if let Some(used) = used {
                *used = used.saturating_add(length);
                pairs.add(self.at, length, from);
            }
            self.at = self.at.saturating_add(length);
        }
        pairs.end = self.at;
        Ok(true)
    }

    /// For how many bytes both sides have the same status; none if they have not.
    fn status(&mut self) -> core::result::Result<Option<u64>, (u32, Fault)> {
        let at = self.at;
        let [left, right] = &mut self.sides;
        let one = left.chain.strict_status(at).map_err(|fault| (0, fault))?;
        let two = right.chain.strict_status(at).map_err(|fault| (1, fault))?;
        let end = self.end;
        let flags = |status: &Status| {
            let ends = at.saturating_add(status.length) >= end;
            let flags = [status.present, status.zero, status.data, status.compressed];
            (flags, status.place.is_some(), ends)
        };
        let length = one.length.min(two.length);
        // Where nothing is read, the reference tool goes on to the end of the shorter answer.
        let read = !(one.zero && two.zero) && (one.present || two.present);
        let length = if read { length.min(STRICT_STEP) } else { length };
        Ok((flags(&one) == flags(&two)).then_some(length))
    }
}

impl Pairs {
    fn add(&mut self, at: u64, length: u64, from: [Origin; 2]) {
        let plain = |one, other| Plain {
            at,
            length,
            one,
            other,
        };
        match from {
            [Origin::Data { slot, offset }, Origin::Zero] | [Origin::Zero, Origin::Data { slot, offset }] => {
                self.plain.push(plain((slot, offset), None));
            }
            [
                Origin::Data { slot, offset },
                Origin::Data {
                    slot: other,
                    offset: at,
                },
            ] => self.plain.push(plain((slot, offset), Some((other, at)))),
            _ => {
                for (pieces, from) in self.encoded.iter_mut().zip(from) {
                    pieces.push(Piece {
                        target: at,
                        length,
                        from,
                        stretch: 0,
                        look: false,
                    });
                }
            }
        }
    }
}

fn lane(shared: &Shared<'_, '_>) {
    let mut pairs = Pairs::default();
    let mut readers = [Reader::new(&shared.keys), Reader::new(&shared.keys)];
    while !shared.decided.load(Ordering::Relaxed) {
        if !shared.walk.with(shared.host, |walk| walk.next(&mut pairs)) {
            return;
        }
        if let Some(at) = pairs.status.take() {
            shared.decide(at, Ok(Compared::Status(at)));
        }
        if let Some((at, side, fault)) = pairs.failed.take() {
            let stage = Stage::Locate(side);
            shared.decide(at, Err(Failure { stage, fault }));
        }
        let plain = plain_differs(shared.host, &pairs.plain, &mut readers);
        let encoded = encoded_differs(shared.host, &pairs.encoded, &mut readers);
        let mut different = false;
        for outcome in [plain, encoded] {
            match outcome {
                Ok(None) => {}
                Ok(Some(at)) => {
                    different = true;
                    shared.decide(at, Ok(Compared::Content(at)));
                }
                Err((at, failure)) => {
                    different = true;
                    shared.decide(at, Err(failure));
                }
            }
        }
        if different {
            return;
        }
        shared.advance(pairs.end.saturating_sub(pairs.start));
    }
}

/// Where it happened, and what.
type Found = core::result::Result<Option<u64>, (u64, Failure)>;

/// The first sector of plain bytes that differs, as the host finds it.
fn plain_differs(host: &dyn Host, plain: &[Plain], readers: &mut [Reader; 2]) -> Found {
    if plain.is_empty() {
        return Ok(None);
    }
    let mut batch: Vec<Io<'_>> = plain
        .iter()
        .map(|plain| {
            Io::new(Action::Compare(CompareRange {
                slot: plain.one.0,
                offset: plain.one.1,
                other: plain.other,
                length: plain.length,
            }))
        })
        .collect();
    host.submit(&mut batch);
    for (io, plain) in batch.iter().zip(plain) {
        match io.outcome {
            Ok(same) if same >= plain.length => {}
            Ok(same) => return Ok(Some(plain.at.saturating_add(align_down(same, SECTOR)))),
            // Which of the two cannot be read shows when they are read one by one.
            Err(_) => {
                let piece = |(slot, offset)| Piece {
                    target: plain.at,
                    length: plain.length,
                    from: Origin::Data { slot, offset },
                    stretch: 0,
                    look: false,
                };
                let other = plain.other.map(piece).unwrap_or(Piece {
                    target: plain.at,
                    length: plain.length,
                    from: Origin::Zero,
                    stretch: 0,
                    look: false,
                });
                return encoded_differs(
                    host,
                    &[alloc::vec![piece(plain.one)], alloc::vec![other]],
                    readers,
                );
            }
        }
    }
    Ok(None)
}

/// One image's bytes of the ranges at hand.
#[derive(Default)]
struct Reader {
    assembler: Assembler,
    spans: Vec<Span>,
    buffer: Vec<u8>,
}

impl Reader {
    fn new(keys: &Keys) -> Self {
        Self {
            assembler: Assembler::new(keys.clone()),
            ..Self::default()
        }
    }
}

/// The first sector of the pairs that differs. Where one cannot be read, those before it are compared first.
fn encoded_differs(host: &dyn Host, pieces: &[Vec<Piece>; 2], readers: &mut [Reader; 2]) -> Found {
    let all = together_differs(host, [&pieces[0], &pieces[1]], readers);
    if all.is_ok() || pieces[0].len() < 2 {
        return all;
    }
    for (left, right) in pieces[0].iter().zip(&pieces[1]) {
        let found = together_differs(host, [from_ref(left), from_ref(right)], readers)?;
        if found.is_some() {
            return Ok(found);
        }
    }
    // A second look found nothing wrong: the first is believed.
    all
}

/// The first sector of the pairs that differs, if all of them can be read.
fn together_differs(host: &dyn Host, pieces: [&[Piece]; 2], readers: &mut [Reader; 2]) -> Found {
    let Some(first) = pieces[0].first() else {
        return Ok(None);
    };
    for ((reader, pieces), index) in readers.iter_mut().zip(pieces).zip(0..) {
        let Reader {
            assembler,
            spans,
            buffer,
        } = reader;
        let read = assembler
            .lay_out(pieces, true, 1, spans, buffer)
            .at(Stage::Read(first.target))
            .and_then(|()| assembler.fetch(host, false, Vec::new(), &[], buffer))
            .map(|_| ());
        read.map_err(|failure| of_side(index, first.target, failure))?;
    }
    let [left, right] = readers;
    for span in &left.spans {
        let range = span.at..span.at.saturating_add(span.length);
        let (one, other) = (left.buffer.get(range.clone()), right.buffer.get(range));
        if one == other {
            continue;
        }
        let pairs = one.into_iter().flatten().zip(other.into_iter().flatten());
        let same = pairs.take_while(|(one, other)| one == other).count();
        let at = span.target.saturating_add(from_usize(same));
        // Sectors are counted from where the pieces begin: a file that ends inside a sector makes one begin there.
        let piece = pieces[0].iter().rev().find(|piece| piece.target <= at);
        let start = piece.map_or(span.target, |piece| piece.target);
        let within = align_down(at.saturating_sub(start), SECTOR);
        return Ok(Some(start.saturating_add(within)));
    }
    Ok(None)
}

/// A failure to read, of which image it is.
fn of_side(index: u32, start: u64, failure: Failure) -> (u64, Failure) {
    let at = match failure.stage {
        Stage::Read(at) => at,
        _ => start,
    };
    let stage = Stage::ReadSource(index, at);
    (at, Failure { stage, ..failure })
}
