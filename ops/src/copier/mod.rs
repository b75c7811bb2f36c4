//! The one copier: joins a source map to a target map, on all lanes.
//!
//! ```text
//!                    ┌────────── lane ──────────┐
//!   Plan ─ chunk ──► │ plain: Copy on the host  │ ──────────────────────────► file
//!   (one lock,       │ placed: read, decode,    │      Target (one lock,
//!    tickets)        │   scan, encode ──────────┼─► turn: allocate in order) ► file
//!                    └──────────────────────────┘
//! ```
//!
//! Every chunk has a ticket; whatever decides where bytes go happens in the order of tickets, so the result does not
//! depend on the number of lanes. A lane that fails still takes its turn, so that no lane waits without end.

mod assemble;
mod encode;
mod place;
mod placer;
mod plain;
mod plan;
mod runs;
mod salvage;
mod sharing;
mod sift;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use instar_abi::layout;
use instar_abi::report::{Failure, Stage};
use instar_disk::{Encoding, Host, Result, Sealing, Slot, Sparse, Target, Turn, Turnstile, align_up};

use crate::bitmaps::{self, Chosen};
use crate::checksum;
use crate::keys::Keys;
use crate::leaves::{Growth, Hashing, Leaf};
use crate::session::{At, Outcome};
use crate::source::Source;
use crate::tree::LEAF;

pub(crate) use sharing::Sharing;
use sift::Carry;

pub(crate) use assemble::{Assembler, Span};
pub(crate) use plan::{Chunk, Cut, Piece, Plan, Stretching};
pub(crate) use runs::{Run, cut as cut_runs};

/// A copy: its source, its target and its rules.
pub(crate) struct Work<'h> {
    pub(crate) source: Source<'h>,
    pub(crate) target: Box<dyn Target + 'h>,
    /// The first byte of the source that is copied.
    pub(crate) shift: u64,
    /// Where it goes in the target; not 0 only in a plain one.
    pub(crate) start: u64,
    /// Bytes to copy.
    pub(crate) length: u64,
    /// The zeros in data that are left out; with `None`, data is written as it is.
    pub(crate) sparse: Option<Sparse>,
    /// The content of the target where nothing is written.
    pub(crate) ground: Ground,
    /// Known zeros are written too (`-S 0`).
    pub(crate) write_zeros: bool,
    /// Whether unreadable ranges become zeros.
    pub(crate) salvage: bool,
    /// Somebody watches the progress.
    pub(crate) watched: bool,
    /// How plain data may reach the target without being looked at.
    pub(crate) offload: Offload,
    /// Bitmaps of the source for the target.
    pub(crate) bitmaps: Chosen,
    /// The disk's checksum is wanted.
    pub(crate) hashing: Option<Hashing>,
}

/// How plain data may reach the target without being looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offload {
    /// Not at all.
    No,
    /// By sharing extents with a plain target, where zeros in them cost no space and stay out of the target's map.
    SharePlain,
    /// By sharing extents: zeros in them then cost no space of their own.
    Share,
    /// By sharing extents, else by the kernel's own copying.
    Copy,
}

/// The content of a target where nothing is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ground {
    /// Zeros: a new image, or one that the user vouches for.
    Zero,
    /// Whatever was there.
    Unknown,
    /// The backing file, which is this long, then zeros.
    Backing(u64),
    /// What the source does not select: the layers below its top layer (the user decides), or what `rebase` and `commit` leave as it is.
    Layer,
}

/// Bytes of data in a chunk that the host copies. Ours: long enough that the doorbell does not count, short enough that
/// lanes finish together.
const PLAIN_BUDGET: u64 = 4 << 20;
/// Bytes of data in a chunk that goes through a lane's buffer as it is. Ours: measured, 1 MiB is as fast in processes and a tenth
/// slower in a virtual machine, where a doorbell costs more; 4 MiB fall out of the second-level cache and take half as long again.
const PLACED_BUDGET: u64 = 2 << 20;
/// Bytes of data in a chunk that is compared with what other layers have: both are in memory. Ours.
const COMPARED_BUDGET: u64 = 1 << 20;
/// Bytes of data in a chunk that is encoded. Ours: many of them wait for their turn.
const PACKED_BUDGET: u64 = 1 << 20;
/// The largest cluster of a qcow2 image.
const USUAL_UNIT: u64 = 2 << 20;
/// Chunks of a small disk whose progress is shown, and bytes in one of them at least. Ours: some three per cent a step, as the
/// reference tool has them, and not a doorbell for less than it costs.
const WATCHED_STEPS: u64 = 32;
const WATCHED_LEAST: u64 = 256 << 10;
/// Units that are made zero at once where tables wait in memory. Ours: they are in one or two tables.
const ZERO_UNITS: u64 = 4096;
/// The unit in which filesystems allocate space.
const PAGE: u64 = 4096;
/// Boundary of chunks in a target without units.
const PLAIN_ALIGN: u64 = 64 << 10;

/// Copies, then completes the target.
pub(crate) fn run(host: &dyn Host, work: Work<'_>) -> Outcome<()> {
    let encoding = work.target.encoding();
    let plain = work.target.plain();
    let compares = work.source.compares();
    let unit = work.source.largest_unit().max(work.target.unit());
    let lanes = lanes_with_room(unit);
    let (keys, sealing) = (work.source.keys(), work.target.sealing());
    let cut = cut(&work).at(Stage::Create)?;
    let carry = match (cut.stretching, work.sparse) {
        (Stretching::Marked, Some(sparse)) => Some(Carry::new(sparse, work.target.unit())),
        _ => None,
    };
    let sharing = Sharing::find(host, &work, cut.stretching);
    let (ends, salvage) = ((work.shift, work.start), work.salvage);
    let plan = Plan::new(work.source, (cut, sharing.clone()), ends, work.length, salvage);
    let shared = Shared {
        host,
        unit: work.target.unit(),
        plan: Turnstile::new(plan),
        target: Turnstile::new(work.target),
        turn: Turn::new(),
        sparse: work.sparse,
        stretching: cut.stretching,
        carry: Turnstile::new(carry),
        ground: work.ground,
        write_zeros: work.write_zeros,
        salvage,
        offload: work.offload,
        sharing,
        encoding,
        keys,
        sealing,
        hashing: work.hashing,
        growth: Turnstile::new(work.hashing.map(Growth::new)),
        unshared: AtomicBool::new(false),
        compares,
        full: AtomicBool::new(false),
        total: work.length,
        done: AtomicU64::new(0),
        failed: AtomicBool::new(false),
        failure: Turnstile::new(None),
    };
    host.progress(0, work.length.max(1));
    let copied = rounds(&shared, lanes, plain);
    let Shared {
        plan,
        target,
        failure,
        growth,
        ..
    } = shared;
    let mut target = target.into_inner();
    let failed = failure.into_inner().map_or(copied, |(_, failure)| Err(failure));
    let mut source = plan.into_inner().into_source();
    let finished = failed.and_then(|()| {
        bitmaps::carry(&mut source, &mut *target, &work.bitmaps).at(Stage::Finish)?;
        target.finish().at(Stage::Finish)
    });
    if let Err(failure) = finished {
        target.abandon();
        return Err(failure);
    }
    host.progress(1, 1);
    match growth.into_inner() {
        Some(growth) => checksum::report(host, growth),
        None => Ok(()),
    }
}

/// Copies all of the plan, in as many rounds as the target needs: between two of them, its tables are written.
fn rounds(shared: &Shared<'_, '_>, lanes: usize, plain: Option<Slot>) -> Outcome<()> {
    let host = shared.host;
    loop {
        host.parallel(&|lane| match plain {
            _ if lane >= lanes => {}
            Some(slot) => plain::lane(shared, slot),
            None => place::lane(shared),
        });
        let done = shared.plan.with(host, |plan| plan.is_done());
        if done || shared.failed.load(Ordering::Relaxed) {
            return Ok(());
        }
        shared
            .target
            .with(host, |target| target.settle())
            .at(Stage::Finish)?;
        shared.full.store(false, Ordering::Relaxed);
    }
}

/// How many lanes can decode units of `unit` bytes at once in the memory that a run has at least. Units of usual sizes leave
/// room for all; a VMDK's grains may have 32 MiB.
pub(crate) fn lanes_with_room(unit: u64) -> usize {
    if unit <= USUAL_UNIT {
        return usize::MAX;
    }
    // The unit, the stream that it comes from, and the unit before it, which is still being written.
    let each = unit.saturating_mul(3);
    let lanes = layout::DEFAULT_BYTES.checked_div(each).unwrap_or(1);
    usize::try_from(lanes.max(1)).unwrap_or(usize::MAX)
}

fn cut(work: &Work<'_>) -> instar_disk::Result<Cut> {
    let unit = work.target.unit();
    let plain = work.target.plain().is_some();
    let stretching = stretching(work);
    let align = match stretching {
        Stretching::Whole => 1,
        _ if plain => PLAIN_ALIGN,
        _ => unit.max(PLAIN_ALIGN),
    };
    let (zeros_below, inherit_below) = match work.ground {
        Ground::Layer => (u64::MAX, align_up(work.length, unit)?),
        Ground::Backing(size) if work.write_zeros => (u64::MAX, align_up(size, unit)?),
        Ground::Backing(size) => (size, align_up(size, unit)?),
        Ground::Zero if !work.write_zeros => (0, 0),
        Ground::Zero | Ground::Unknown => (u64::MAX, 0),
    };
    let (hashing, counted) = (work.hashing.is_some(), if plain { 1 } else { unit });
    let budget = match work.target.encoding() {
        _ if plain && !hashing => PLAIN_BUDGET,
        None if work.source.compares() => COMPARED_BUDGET,
        None => PLACED_BUDGET,
        Some(_) => PACKED_BUDGET,
    };
    let budget = match work.watched {
        true => budget.min((work.length / WATCHED_STEPS).max(WATCHED_LEAST)),
        false => budget,
    };
    Ok(Cut {
        align,
        unit: counted,
        budget,
        least: if hashing { counted.max(LEAF) } else { counted },
        look: hashing,
        zeros_below,
        zeros_are_data: work.write_zeros,
        zeros_most: match work.ground {
            Ground::Layer => unit.saturating_mul(ZERO_UNITS),
            _ => u64::MAX,
        },
        inherit_below,
        backed_below: match work.ground {
            Ground::Backing(size) => size,
            _ => 0,
        },
        stretching,
    })
}

/// Where all granules lie in units of the target, or in pages of a plain one, such a place has space if any byte in it is not
/// zero, whatever the stretches are. Encoded units are zero or not.
fn stretching(work: &Work<'_>) -> Stretching {
    let Some(sparse) = work.sparse.filter(|_| work.target.encoding().is_none()) else {
        return Stretching::Off;
    };
    let plain = work.target.plain().is_some();
    let unit = if plain { PAGE } else { work.target.unit() };
    if sparse.minimum() == sparse.granule() && sparse.granule() <= unit {
        Stretching::Off
    } else if plain {
        Stretching::Whole
    } else {
        Stretching::Marked
    }
}

/// The state that lanes share.
struct Shared<'c, 'h> {
    host: &'c dyn Host,
    unit: u64,
    plan: Turnstile<Plan<'h>>,
    target: Turnstile<Box<dyn Target + 'h>>,
    turn: Turn,
    sparse: Option<Sparse>,
    stretching: Stretching,
    /// The state that stretches pass from chunk to chunk, where they matter.
    carry: Turnstile<Option<Carry>>,
    ground: Ground,
    write_zeros: bool,
    salvage: bool,
    offload: Offload,
    /// Where blocks of the source become blocks of a target that says where they go.
    sharing: Sharing,
    encoding: Option<Encoding>,
    /// What sealed data of the source is decrypted with.
    keys: Keys,
    /// How data is encrypted that is written.
    sealing: Option<Sealing>,
    hashing: Option<Hashing>,
    growth: Turnstile<Option<Growth>>,
    /// The host cannot share extents with this target.
    unshared: AtomicBool,
    /// What is copied is compared with other layers.
    compares: bool,
    /// The target's tables are to be written before more is placed.
    full: AtomicBool,
    total: u64,
    done: AtomicU64,
    failed: AtomicBool,
    failure: Turnstile<Option<(u64, Failure)>>,
}

impl Shared<'_, '_> {
    /// The next chunk; `false` if there is none left in this round or a lane has failed. A chunk that could not be planned
    /// has a ticket all the same.
    fn next(&self, chunk: &mut plan::Chunk) -> Outcome<bool> {
        if self.failed.load(Ordering::Relaxed) || self.full.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let found = self.plan.with(self.host, |plan| {
            let found = plan.next(chunk);
            found.at(Stage::Read(plan.at()))
        });
        for (at, fault) in chunk.lost.drain(..) {
            salvage::warn(self.host, at, fault);
        }
        found
    }

    /// Keeps the failure nearest to the image's start, so that the message does not depend on the lanes.
    fn fail(&self, at: u64, failure: Failure) {
        self.failed.store(true, Ordering::Relaxed);
        self.failure.with(self.host, |kept| {
            if kept.as_ref().is_none_or(|(first, _)| at < *first) {
                *kept = Some((at, failure));
            }
        });
    }

    /// The unit in which a lane's buffer is laid out.
    fn layout(&self, unit: u64) -> u64 {
        self.hashing.map_or(unit, |_| unit.max(LEAF))
    }

    /// Hashes a chunk's bytes, which are laid out in whole leaves, if that is wanted.
    fn hash(&self, chunk: &Chunk, spans: &[Span], buffer: &[u8], leaves: &mut Vec<Leaf>) -> Result<()> {
        match &self.hashing {
            Some(hashing) => hashing.hash(spans, buffer, &(chunk.start..self.ends(chunk)), leaves),
            None => Ok(()),
        }
    }

    /// Adds a chunk's leaves to the tree. Runs in the chunk's turn.
    fn grow(&self, chunk: &Chunk, leaves: &[Leaf]) -> Result<()> {
        self.growth.with(self.host, |growth| match growth {
            Some(growth) => growth.add(leaves, self.ends(chunk)),
            None => Ok(()),
        })
    }

    /// Where a chunk ends; what lies behind the last one is its.
    const fn ends(&self, chunk: &Chunk) -> u64 {
        if chunk.end >= self.total {
            u64::MAX
        } else {
            chunk.end
        }
    }

    /// Says that a chunk is settled.
    fn advance(&self, chunk: &plan::Chunk) {
        let step = (self.total / 100).max(1);
        let settled = chunk.end.saturating_sub(chunk.start);
        let before = self.done.fetch_add(settled, Ordering::Relaxed);
        let now = before.saturating_add(settled);
        if now.checked_div(step) != before.checked_div(step) {
            self.host.progress(now.min(self.total), self.total);
        }
    }
}
