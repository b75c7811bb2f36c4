//! `convert`: one image or several in a row, into a new image or an existing one.

use instar_abi::Report;
use instar_abi::job::{self, Convert, CopiedRange, CopyBitmaps, Create, Preallocation};
use instar_abi::report::{Done, Failure, Stage};
use instar_disk::{Fault, FileKind, Format, Sparse, Target, fault};

use crate::bitmaps;
use crate::chain::Chain;
use crate::copier::{self, Ground, Offload, Sharing, Work};
use crate::formats;
use crate::leaves::Hashing;
use crate::outflow;
use crate::session::{At, Outcome, Session};
use crate::source::Source;

/// Carries out `convert`.
pub(crate) fn run(session: &Session<'_>, job: &Convert) -> Outcome<Done> {
    let mut source = Source::open(session, &job.sources)?;
    let bitmaps = bitmaps::choose(session.host, &mut source, job.bitmaps)?;
    if job.bitmaps != CopyBitmaps::No && job.target.create.format() != Format::Qcow2 {
        let format = job.target.create.format().name();
        return Err(Fault::new(fault::core::NO_BITMAPS).named(format.as_bytes())).at(Stage::Other);
    }
    let backing = match &job.target.backing {
        None => None,
        Some(backing) => Some(Chain::open(session, backing, Stage::OpenTargetBacking)?),
    };
    let size = source.size();
    let CopiedRange {
        offset: shift,
        length,
        target: start,
    } = copied(job, size).at(Stage::Other)?;
    let end = start.saturating_add(length);
    let stage = if job.target.existing {
        Stage::OpenTarget
    } else {
        Stage::Create
    };
    let made = rounded(end, job.granularity).at(stage)?;
    formats::fillable(&job.target, made).at(Stage::OpenTarget)?;
    if let (Some(stream), Create::Raw(_), true) = (job.sent_to, &job.target.create, made == end) {
        return outflow::raw(session.host, source, (shift, length), stream);
    }
    // Until that is said, no target grows.
    session.host.report(&Report::Size(made));
    let described = described(session, job, &source);
    let target = formats::create(session, &described, made, job.compress, backing.as_ref()).at(stage)?;
    say_rounded(session, &*target, end, made).at(stage)?;
    if target.size() < end {
        return Err(Fault::new(fault::core::TARGET_TOO_SMALL)).at(Stage::OpenTarget);
    }
    if job.bitmaps != CopyBitmaps::No && !target.takes_bitmaps() {
        let format = job.target.create.format().name();
        return Err(Fault::new(fault::core::NO_BITMAPS).named(format.as_bytes())).at(Stage::Other);
    }
    let virtual_size = target.size();
    // Before anything is written, unlike the reference tool, whose target is written by the time it looks.
    bitmaps::can_join(&bitmaps, length, &*target).at(Stage::Other)?;
    // What lies behind the source in an existing target stays, and is not looked at.
    let shown = match job.target.existing && !job.target_is_zero {
        true => length,
        false => virtual_size,
    };
    let hashing = job.checksum.map(|algorithm| Hashing::new(algorithm, shown));
    // Where a new image does not read as zeros, and nobody vouches for it, every byte is written.
    let whole = !target.begins_as_zeros() && !job.target_is_zero;
    let work = Work {
        source,
        target,
        shift,
        start,
        length,
        sparse: Sparse::new(if whole { 0 } else { job.sparse }),
        ground: ground(session, job, backing.as_ref().map(Chain::size)).at(stage)?,
        write_zeros: whole || job.sparse == 0,
        salvage: job.salvage,
        watched: job.watched,
        offload: offload(job),
        bitmaps,
        hashing: hashing.transpose().at(Stage::Other)?,
    };
    copier::run(session.host, work)?;
    outflow::finished(session, job.target.slot, job.sent_to)?;
    Ok(Done {
        virtual_size,
        ..Done::default()
    })
}

/// The part of a disk of `size` bytes that is copied: all of it, unless the job names a range.
fn copied(job: &Convert, size: u64) -> instar_disk::Result<CopiedRange> {
    let whole = CopiedRange {
        offset: 0,
        length: size,
        target: 0,
    };
    job.range
        .map_or(Ok(whole), |range| within(range, size, &job.target))
}

/// The size of a target whose size is a multiple of `granularity`.
fn rounded(size: u64, granularity: u64) -> instar_disk::Result<u64> {
    let all = size.checked_next_multiple_of(granularity.max(1));
    all.ok_or_else(|| Fault::new(fault::core::OVERFLOW).with([size]))
}

/// Says that a disk of `size` bytes becomes one of `made`, if that is more; then the target must begin as zeros.
fn say_rounded(session: &Session<'_>, target: &dyn Target, size: u64, made: u64) -> instar_disk::Result<()> {
    if made > size {
        if !target.begins_as_zeros() {
            return Err(Fault::new(fault::core::ROUNDED_DEVICE));
        }
        let fault = Fault::new(fault::core::ROUNDED).with([size, made]);
        let stage = Stage::Other;
        session.host.report(&Report::Warning(Failure { stage, fault }));
    }
    Ok(())
}

/// The range, if `size` bytes have it and the target can take it.
fn within(range: CopiedRange, size: u64, target: &job::Target) -> instar_disk::Result<CopiedRange> {
    let CopiedRange { offset, length, .. } = range;
    if length > size.saturating_sub(offset) {
        return Err(Fault::new(fault::core::RANGE_END).with([offset, length, size]));
    }
    if !target.existing || target.create.format() != Format::Raw {
        return Err(Fault::new(fault::core::RANGE_TARGET));
    }
    Ok(range)
}

/// The content of the target where nothing is written.
fn ground(session: &Session<'_>, job: &Convert, backing: Option<u64>) -> instar_disk::Result<Ground> {
    if job.target_is_zero {
        return Ok(Ground::Zero);
    }
    if job.layer_only {
        return Ok(Ground::Layer);
    }
    if let Some(size) = backing {
        return Ok(Ground::Backing(size));
    }
    let raw = job.target.create.format() == instar_disk::Format::Raw;
    let device = session.file(job.target.slot)?.kind() == FileKind::Block;
    Ok(if job.target.existing || (raw && device) {
        Ground::Unknown
    } else {
        Ground::Zero
    })
}

/// The target as it is to be made: where blocks of the source can become part of it, data stands on blocks.
fn described(session: &Session<'_>, job: &Convert, source: &Source<'_>) -> job::Target {
    let mut target = job.target.clone();
    if let Create::Vdi(options) = &mut target.create {
        let shares = !target.existing && offload(job) == Offload::Share;
        options.aligned = shares && !Sharing::between(session.host, source, target.slot).is_empty();
    }
    target
}

/// Extents are shared wherever that can be done, unless the user asked for space of the target's own.
fn offload(job: &Convert) -> Offload {
    let reserves = match &job.target.create {
        Create::Raw(raw) => raw.preallocation != Preallocation::Off,
        _ => false,
    };
    match job.offload {
        true => Offload::Copy,
        false if job.sparse == 0 || reserves => Offload::No,
        // Where zeros are to be found, only a target without a map of its own can do without looking.
        false if job.sparse_chosen => Offload::SharePlain,
        false => Offload::Share,
    }
}
