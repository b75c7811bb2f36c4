//! What can only be read from the front is put into a temporary file, and read from there.
//!
//! ```text
//!  disk.qcow2.xz ─► Flow ─► pieces ─► temporary file, zeros left out      the image's slot, as the verb sees it
//!                                               └──────────────────────────────────────►┘
//! ```

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_abi::Report;
use instar_abi::job::{Job, Source, Verb};
use instar_abi::report::{Done, Failure, Stage};
use instar_codecs::Packing;
use instar_disk::{
    Action, Fault, File, FileKind, Format, Host, HostFilter, Io, Preallocate, Result, Slot, align_up, fault,
    from_usize,
};

use crate::copier::{self, Run};
use crate::flow::Flow;
use crate::session::{At, Outcome};
use crate::through;

/// Bytes of a piece.
const PIECE: usize = 1 << 20;
/// Zeros that are left out: pages of the file.
pub(crate) const GRANULE: u64 = 4096;
/// The unit of virtual sizes.
const SECTOR: u64 = 512;

/// Where a job is carried out.
pub(crate) enum Entered<'h> {
    /// On the files as they are.
    AsItIs,
    /// With some files in temporary ones, and the job as it looks then.
    Spooled(Spooled<'h>, Box<Job>),
    /// Nowhere: it was done on the way.
    Done(Done),
}

/// A host some of whose files are read from temporary ones.
pub(crate) struct Spooled<'h> {
    host: &'h dyn Host,
    /// A file, and the temporary one that it is in.
    files: Vec<(Slot, Slot)>,
}

/// Puts what `job` names and can only be read from the front into temporary files, unless it can be copied as it comes.
///
/// # Errors
/// A file that cannot be unpacked; no room for it.
pub(crate) fn enter<'h>(host: &'h dyn Host, job: &Job) -> Outcome<Entered<'h>> {
    let mut spooled = Spooled {
        host,
        files: Vec::new(),
    };
    let mut facts = job.files.clone();
    for (index, source) in (0..).zip(job.verb.sources()) {
        let stage = Stage::OpenSource(index);
        let (Some(spool), Some(mut flow)) = (source.spool, flow(host, job, source).at(stage)?) else {
            continue;
        };
        if let Some(done) = through::run(host, job, &mut flow)? {
            return Ok(Entered::Done(done));
        }
        let size = fill(host, job, source, &mut flow).at(stage)?;
        for facts in facts.iter_mut().filter(|facts| facts.slot == source.slot) {
            (facts.size, facts.kind) = (size, FileKind::Regular);
        }
        spooled.files.push((source.slot, spool));
        let fault = Fault::new(fault::stream::SPOOLED).in_file(source.slot);
        host.report(&Report::Warning(Failure { stage, fault }));
    }
    if spooled.files.is_empty() {
        return Ok(Entered::AsItIs);
    }
    let job = Job {
        files: facts,
        ..job.clone()
    };
    Ok(Entered::Spooled(spooled, Box::new(job)))
}

impl Spooled<'_> {
    /// Where a file is read from.
    fn place(&self, slot: &mut Slot) {
        if let Some((_, spool)) = self.files.iter().find(|(file, _)| file == slot) {
            *slot = *spool;
        }
    }

    /// The file that is read from there.
    fn file(&self, slot: &mut Slot) {
        if let Some((file, _)) = self.files.iter().find(|(_, spool)| spool == slot) {
            *slot = *file;
        }
    }
}

/// The files that a request reads.
fn each_read(action: &mut Action<'_>, mut change: impl FnMut(&mut Slot)) {
    match action {
        Action::Read { slot, .. }
        | Action::Extents { slot, .. }
        | Action::Advise { slot, .. }
        | Action::Allocated { slot } => change(slot),
        Action::Copy(copy) => change(&mut copy.source),
        Action::Sharable { source, .. } => change(source),
        Action::Compare(compare) => {
            change(&mut compare.slot);
            if let Some((slot, _)) = &mut compare.other {
                change(slot);
            }
        }
        _ => {}
    }
}

impl HostFilter for Spooled<'_> {
    fn below(&self) -> &dyn Host {
        self.host
    }

    fn submit(&self, batch: &mut [Io<'_>]) {
        for io in &mut *batch {
            each_read(&mut io.action, |slot| self.place(slot));
        }
        self.host.submit(batch);
        for io in batch {
            each_read(&mut io.action, |slot| self.file(slot));
        }
    }
}

/// The flow out of the file of `source`, if that can only be read from the front.
///
/// # Errors
/// The host's; no memory to unpack it.
fn flow<'h>(host: &'h dyn Host, job: &Job, source: &Source) -> Result<Option<Flow<'h>>> {
    let facts = job.files.iter().find(|facts| facts.slot == source.slot);
    let (Some(facts), true) = (facts, source.spool.is_some()) else {
        return Ok(None);
    };
    let file = File::new(host, *facts);
    let is_raw = source.format == Some(Format::Raw);
    if file.kind() == FileKind::Stream {
        // A format that the user names may be inside what is packed.
        return Flow::open(file, !is_raw).map(Some);
    }
    // What is to be judged is the file that was sent, and nothing that is in it.
    if matches!(job.verb, Verb::Safety(_)) {
        return Ok(None);
    }
    let mut mark = [0; Packing::MARK_BYTES];
    let read = file.read(0, &mut mark)?;
    let packing = Packing::of(mark.get(..read).unwrap_or_default());
    if is_raw || packing.is_none() || is_of_a_format(&file, packing)? {
        return Ok(None);
    }
    Flow::open(file, true).map(Some)
}

/// Whether a file that begins as a packed one is an image of a format: one of which the first chunk is packed so, or that is read at random.
fn is_of_a_format(file: &File<'_>, packing: Option<Packing>) -> Result<bool> {
    if file.facts().called_dmg || instar_dmg::is_marked(file)? {
        return Ok(true);
    }
    Ok(packing == Some(Packing::Zstd) && instar_zst::is_seekable(file)?)
}

/// Puts all of it into the temporary file of `source`; gives its bytes.
///
/// # Errors
/// The flow's; no room for it.
fn fill(host: &dyn Host, job: &Job, source: &Source, flow: &mut Flow<'_>) -> Result<u64> {
    let facts = job.files.iter().find(|facts| Some(facts.slot) == source.spool);
    let facts = facts.ok_or_else(|| crate::session::internal(line!()).in_file(source.slot))?;
    let spool = File::new(host, *facts);
    let limit = job.bounds.virtual_size;
    let size = pour(flow, spool, Some(GRANULE), limit).map_err(|failed| match failed {
        Failed::Source(fault) => fault,
        Failed::Target(fault) if fault.code == fault::core::IO => Fault {
            code: fault::stream::SPOOL,
            ..fault
        },
        Failed::Target(fault) => fault,
    })?;
    spool.resize(size, Preallocate::Off)?;
    Ok(size)
}

/// Which side failed.
pub(crate) enum Failed {
    Source(Fault),
    Target(Fault),
}

/// Writes all of `flow` to an empty file, but for zeros that fill granules; gives its bytes. The last one may not be written.
///
/// # Errors
/// Those of either side; more than `limit` bytes.
pub(crate) fn pour(
    flow: &mut Flow<'_>,
    file: File<'_>,
    granule: Option<u64>,
    limit: u64,
) -> core::result::Result<u64, Failed> {
    let mut piece = alloc::vec![0; PIECE];
    let mut runs = Vec::new();
    let mut size = 0_u64;
    loop {
        let filled = flow.fill(&mut piece).map_err(Failed::Source)?;
        let end = size.saturating_add(from_usize(filled));
        if end > limit {
            let fault = Fault::new(fault::core::VIRTUAL_SIZE_LIMIT).with([end, limit]);
            return Err(Failed::Source(fault));
        }
        runs.clear();
        copier::cut_runs(&piece, 0, filled, size, granule, &mut runs).map_err(Failed::Source)?;
        write(file, &piece, &runs).map_err(Failed::Target)?;
        size = end;
        file.host()
            .progress(flow.taken(), flow.taken().max(flow.length()));
        if filled < piece.len() {
            return Ok(size);
        }
    }
}

fn write(file: File<'_>, piece: &[u8], runs: &[Run]) -> Result<()> {
    let data = runs.iter().filter(|run| !run.zero);
    let mut writes: Vec<Io<'_>> = data
        .map(|run| {
            let end = run.at.saturating_add(run.length);
            Io::new(Action::Write {
                slot: file.slot(),
                offset: run.target,
                from: piece.get(run.at..end).unwrap_or_default(),
            })
        })
        .collect();
    file.host().all(&mut writes)
}

/// The virtual size of a raw disk of so many bytes.
///
/// # Errors
/// It is too large.
pub(crate) fn disk_size(size: u64) -> Result<u64> {
    align_up(size, SECTOR)
}
