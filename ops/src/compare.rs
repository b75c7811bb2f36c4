//! `compare`: whether two images show the same disk, whatever their formats.
//!
//! Both maps are walked side by side under one lock; what only one side can decide without reading (both zero, both the
//! same bytes of the same file) is not read. Lanes read and compare the rest. The lowest difference is the one that is
//! told, so the answer does not depend on the number of lanes.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use instar_abi::Report;
use instar_abi::job::Compare;
use instar_abi::report::{Compared, Done, Failure, MapRun, Stage};
use instar_disk::{Host, Kind, Result, Turnstile, align_down, from_usize};

use crate::allowance::Allowance;
use crate::chain::{Chain, Located};
use crate::copier::{Assembler, From, Piece, Span};
use crate::session::{At, Outcome, Session};

/// Bytes that a lane reads of each image at a time.
const BUDGET: u64 = 1 << 20;
/// Runs that a lane takes at a time.
const PIECES: usize = 128;
/// Steps of both maps before a lane lets go of the lock.
const STEPS: usize = 4096;
/// Differences are told by sector, as qemu-img does.
const SECTOR: u64 = 512;

/// Carries out `compare`.
pub(crate) fn run(session: &Session<'_>, job: &Compare) -> Outcome<Done> {
    let mut left = Chain::open(session, &job.left, Stage::OpenSource(0))?;
    let mut right = Chain::open(session, &job.right, Stage::OpenSource(1))?;
    if job.strict {
        left.as_written();
        right.as_written();
    }
    let sizes = (left.size(), right.size());
    let host = session.host;
    let done = Done {
        virtual_size: sizes.0,
        ..Done::default()
    };
    if sizes.0 != sizes.1 {
        host.report(&Report::Compared(Compared::Sizes { strict: job.strict }));
        if job.strict {
            return Ok(done);
        }
    }
    let shared = Shared {
        host,
        walk: Turnstile::new(Walk {
            allowances: [Allowance::new(left.physical()), Allowance::new(right.physical())],
            left,
            right,
            at: 0,
            end: sizes.0.max(sizes.1),
            strict: job.strict,
        }),
        total: sizes.0.max(sizes.1),
        compared: AtomicU64::new(0),
        decided: AtomicBool::new(false),
        verdict: Turnstile::new(None),
    };
    host.progress(0, shared.total.max(1));
    host.parallel(&|_| lane(&shared));
    let verdict = match shared.verdict.into_inner() {
        None => Compared::Identical,
        Some((_, Ok(found))) => found,
        Some((_, Err(failure))) => return Err(failure),
    };
    host.progress(1, 1);
    host.report(&Report::Compared(verdict));
    Ok(done)
}

/// What lanes share.
struct Shared<'c, 'h> {
    host: &'c dyn Host,
    walk: Turnstile<Walk<'h>>,
    total: u64,
    compared: AtomicU64,
    decided: AtomicBool,
    /// The lowest place where the images differ or cannot be read, and which of the two.
    verdict: Turnstile<Option<(u64, Outcome<Compared>)>>,
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

/// Both maps, side by side.
struct Walk<'h> {
    left: Chain<'h>,
    right: Chain<'h>,
    allowances: [Allowance; 2],
    at: u64,
    end: u64,
    strict: bool,
}

/// What a lane compares next: the same ranges of both sides.
#[derive(Default)]
struct Pairs {
    start: u64,
    end: u64,
    left: Vec<Piece>,
    right: Vec<Piece>,
    /// A difference that the maps themselves show.
    status: Option<u64>,
}

impl Walk<'_> {
    /// Fills `pairs`; `false` when nothing is left.
    fn next(&mut self, pairs: &mut Pairs) -> Result<bool> {
        pairs.left.clear();
        pairs.right.clear();
        pairs.start = self.at;
        pairs.end = self.at;
        if self.at >= self.end {
            return Ok(false);
        }
        let (mut used, mut steps) = (0_u64, 0_usize);
        while self.at < self.end && used < BUDGET && pairs.left.len() < PIECES && steps < STEPS {
            steps = steps.saturating_add(1);
            if self.strict
                && let Some(different) = self.status_differs()?
            {
                pairs.status = Some(different);
                self.at = self.end;
                break;
            }
            let (left, right) = (
                locate(&mut self.left, self.at)?,
                locate(&mut self.right, self.at)?,
            );
            let length = left
                .length
                .min(right.length)
                .min(self.end.saturating_sub(self.at));
            let (from_left, from_right) = (From::of(left.kind), From::of(right.kind));
            let taken = if from_left == from_right {
                // Both zero, or the same bytes of the same file.
                length
            } else {
                let taken = length.min(BUDGET);
                for (allowance, from) in self.allowances.iter_mut().zip([from_left, from_right]) {
                    allowance.spend(from.effort(), taken)?;
                }
                let piece = |from| Piece {
                    target: self.at,
                    length: taken,
                    from,
                };
                pairs.left.push(piece(from_left));
                pairs.right.push(piece(from_right));
                used = used.saturating_add(taken);
                taken
            };
            self.at = self.at.saturating_add(taken);
        }
        pairs.end = self.at;
        Ok(true)
    }

    fn status_differs(&mut self) -> Result<Option<u64>> {
        let flags = |run: &MapRun| {
            (
                run.present,
                run.zero,
                run.data,
                run.compressed,
                run.place.is_some(),
            )
        };
        let (left, right) = (self.left.status(self.at)?, self.right.status(self.at)?);
        Ok((flags(&left) != flags(&right)).then_some(self.at))
    }
}

/// Past its end an image is as good as zero.
fn locate(chain: &mut Chain<'_>, at: u64) -> Result<Located> {
    if at < chain.size() {
        return chain.map(at);
    }
    Ok(Located {
        length: u64::MAX,
        kind: Kind::Zero { at: None },
    })
}

fn lane(shared: &Shared<'_, '_>) {
    let mut pairs = Pairs::default();
    let mut sides = [Side::default(), Side::default()];
    while !shared.decided.load(Ordering::Relaxed) {
        let found = shared.walk.with(shared.host, |walk| walk.next(&mut pairs));
        match found.at(Stage::Read(pairs.start)) {
            Ok(true) => {}
            Ok(false) => return,
            Err(failure) => return shared.decide(pairs.start, Err(failure)),
        }
        if let Some(at) = pairs.status.take() {
            shared.decide(at, Ok(Compared::Status(at)));
        }
        match differs(shared.host, &pairs, &mut sides) {
            Ok(None) => shared.advance(pairs.end.saturating_sub(pairs.start)),
            Ok(Some(at)) => return shared.decide(at, Ok(Compared::Content(at))),
            Err(failure) => return shared.decide(pairs.start, Err(failure)),
        }
    }
}

/// One image's bytes of the ranges at hand.
#[derive(Default)]
struct Side {
    assembler: Assembler,
    spans: Vec<Span>,
    buffer: Vec<u8>,
}

/// The first sector of the pairs that differs.
fn differs(
    host: &dyn Host,
    pairs: &Pairs,
    sides: &mut [Side; 2],
) -> core::result::Result<Option<u64>, Failure> {
    let [left, right] = sides;
    for (side, pieces) in [(&mut *left, &pairs.left), (&mut *right, &pairs.right)] {
        let Side {
            assembler,
            spans,
            buffer,
        } = side;
        assembler
            .lay_out(pieces, true, 1, spans, buffer)
            .at(Stage::Read(pairs.start))?;
        assembler.fetch(host, false, Vec::new(), &[], buffer)?;
    }
    for span in &left.spans {
        let range = span.at..span.at.saturating_add(span.length);
        let (one, other) = (left.buffer.get(range.clone()), right.buffer.get(range));
        if one == other {
            continue;
        }
        let first = one
            .into_iter()
            .flatten()
            .zip(other.into_iter().flatten())
            .position(|(one, other)| one != other);
        let at = span.target.saturating_add(from_usize(first.unwrap_or(0)));
        return Ok(Some(align_down(at, SECTOR)));
    }
    Ok(None)
}
