//! `commit`: what layers hold goes into one below them.
//!
//! ```text
//!  image ──┐
//!  layers ─┴─► what they have ─► the base ─► flush ─► the image is emptied
//! ```
//!
//! What goes into the base is hidden by what it comes from, until the image is emptied: whoever looks through the image sees the same
//! disk at any moment.

use instar_abi::Report;
use instar_abi::job::{Change, Commit};
use instar_abi::report::{Done, Stage};
use instar_disk::{Fault, File, FileFacts, FileKind, Format, Preallocate, Sparse, Target, align_up, fault};
use instar_qcow2::Keeping;

use crate::bitmaps::Chosen;
use crate::chain::Chain;
use crate::copier::{self, Ground, Offload, Work};
use crate::formats;
use crate::session::{At, Outcome, Session, internal};
use crate::source::Source;

/// Carries out `commit`.
pub(crate) fn run(session: &Session<'_>, job: &Commit) -> Outcome<Done> {
    let chain = Chain::open(session, &job.image, Stage::OpenSource(0))?;
    let size = chain.size();
    let top = chain.layer(0).map_or(Format::Raw, |(format, _)| format);
    session.host.report(&Report::Opened(top));
    // The host has followed the names before; an image that says another one by now is no sound image.
    let found = chain.find(job.base).filter(|(depth, _)| *depth > 0);
    let (depth, format) = found.ok_or_else(|| internal(line!())).at(Stage::Other)?;
    let above = depth.checked_sub(1).and_then(|depth| chain.layer(depth));
    let keeping = Keeping {
        records: true,
        ..Keeping::default()
    };
    session.host.report(&Report::Size(size));
    let file = session.file(job.base).at(Stage::OpenTarget)?;
    let data = job.data_file.map(|slot| session.file(slot)).transpose();
    let data = data.at(Stage::OpenTarget)?;
    // The last sector of a raw image may not be whole.
    let below = match format {
        Format::Raw => file.size(),
        _ => chain.layer(depth).map_or(0, |(_, size)| size),
    };
    let file = match size > below {
        true => grown(format, file, size).at(Stage::Write(below))?,
        false => file,
    };
    // What remembers the content of the base is right if it stands directly over it: it shows what it showed.
    let renews = above.is_none_or(|(above, _)| above != format);
    let target = formats::readable(session, format, file, data, keeping, renews).at(Stage::OpenTarget)?;
    let length = align_up(size, target.unit()).at(Stage::Other)?.min(target.size());
    let mut source = Source::above(chain, depth, length);
    let mut target = target;
    if target.records() {
        record(&mut source, &mut *target, length).at(Stage::Read(0))?;
        target.settle().at(Stage::Finish)?;
    }
    let work = Work {
        source,
        target,
        shift: 0,
        length,
        sparse: Sparse::new(SECTOR),
        ground: Ground::Layer,
        write_zeros: false,
        salvage: false,
        watched: job.watched,
        offload: Offload::Copy,
        bitmaps: Chosen::default(),
        hashing: None,
    };
    copier::run(session.host, work)?;
    if job.empties && formats::empties(top) {
        let file = session.file(job.image.slot).at(Stage::Change)?;
        let mut image = formats::edit(session, top, file).at(Stage::Change)?;
        image.change(&Change::Empty).at(Stage::Change)?;
    }
    Ok(Done {
        virtual_size: size,
        ..Done::default()
    })
}

/// Tells the target all that it will be given.
fn record(source: &mut Source<'_>, target: &mut dyn Target, length: u64) -> instar_disk::Result<()> {
    let unit = target.unit();
    let mut at = 0;
    while at < length {
        let (wanted, bytes) = source.wants(at)?;
        let end = at.saturating_add(bytes.max(1)).min(length);
        if wanted {
            let start = instar_disk::align_down(at, unit);
            target.record(start, align_up(end, unit)?.min(length).saturating_sub(start));
        }
        at = end;
    }
    Ok(())
}

/// The base with `size` bytes: it is smaller than what goes into it.
fn grown<'h>(format: Format, file: File<'h>, size: u64) -> instar_disk::Result<File<'h>> {
    if format != Format::Raw || file.kind() == FileKind::Block {
        return Err(Fault::new(fault::core::IO)
            .with([EOPNOTSUPP])
            .in_file(file.slot()));
    }
    file.resize(size, Preallocate::Off)?;
    let facts = FileFacts { size, ..file.facts() };
    Ok(File::new(file.host(), facts))
}

/// Zeros are found in whole units of the base, which are no smaller.
const SECTOR: u64 = 512;
/// Linux's number for "Operation not supported".
const EOPNOTSUPP: u64 = 95;
