//! `commit`: what layers hold goes into one below them.
//!
//! ```text
//!  image ──┐
//!  layers ─┴─► what they have ─► the base ─► flush ─► the image is emptied
//! ```
//!
//! What goes into the base is hidden by what it comes from, until the image is emptied: through the image, the same disk is seen at
//! any moment. A base that is too small grows first. What it gains reads as zero, as its end did for the layers above it.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_abi::Report;
use instar_abi::errno::EOPNOTSUPP;
use instar_abi::job::{Change, Commit, NewSize, Preallocation, Resize, Source as Named};
use instar_abi::report::{Done, Failure, Stage};
use instar_disk::{Fault, File, FileKind, Format, Sparse, Target, align_up, fault};
use instar_qcow2::Keeping;

use crate::bitmaps::Chosen;
use crate::chain::Chain;
use crate::copier::{self, Ground, Offload, Work};
use crate::formats;
use crate::resize;
use crate::session::{At, Outcome, Session, internal};
use crate::source::Source;

/// Carries out `commit`.
pub(crate) fn run(session: &Session<'_>, job: &Commit) -> Outcome<Done> {
    let chain = Chain::open(session, &job.image, Stage::OpenSource(0))?;
    let size = chain.size();
    let top = chain.layer(0).map_or(Format::Raw, |(format, _)| format);
    session.host.report(&Report::Opened(top));
    let base = Base::find(&chain, job)?;
    session.host.report(&Report::Size(size));
    let file = session.file(job.base).at(Stage::OpenTarget)?;
    let apart = session.files(&job.apart).at(Stage::OpenTarget)?;
    // The last sector of a raw image may not be whole.
    let below = match base.format {
        Format::Raw => file.size(),
        _ => base.size,
    };
    let mut target = base.target(session, file, &apart)?;
    let mut chain = chain;
    if size > below {
        drop(target);
        base.grow(session, job, size)
            .map_err(|fault| refused(fault, below))?;
        // Its tables may stand elsewhere now.
        chain = Chain::open(session, &job.image, Stage::OpenSource(0))?;
        let facts = chain.facts(base.depth).ok_or_else(|| internal(line!()));
        let file = File::new(session.host, facts.at(Stage::Other)?);
        let apart = grown(&apart, size);
        target = base.target(session, file, &apart)?;
    }
    let length = align_up(size, target.unit()).at(Stage::Other)?.min(target.size());
    let mut source = Source::above(chain, base.depth, length);
    if target.records() {
        record(&mut source, &mut *target, length).at(Stage::Read(0))?;
        target.settle().at(Stage::Finish)?;
    }
    let work = Work {
        source,
        target,
        shift: 0,
        start: 0,
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
        let data = job.emptied_data.map(|slot| session.file(slot)).transpose();
        let data = data.at(Stage::Change)?.map(|data| data.facts());
        image.change(&Change::Empty(data)).at(Stage::Change)?;
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

/// The layer that is written to.
struct Base {
    /// Layers above it.
    depth: usize,
    format: Format,
    /// Bytes of its disk.
    size: u64,
    /// What remembers the content of the base is right if it stands directly over it: it shows what it showed.
    renews: bool,
}

impl Base {
    fn find(chain: &Chain<'_>, job: &Commit) -> Outcome<Self> {
        // The host has followed the names before; an image that says another one by now is no sound image.
        let found = chain.find(job.base).filter(|(depth, _)| *depth > 0);
        let (depth, format) = found.ok_or_else(|| internal(line!())).at(Stage::Other)?;
        let above = depth.checked_sub(1).and_then(|depth| chain.layer(depth));
        Ok(Self {
            depth,
            format,
            size: chain.layer(depth).map_or(0, |(_, size)| size),
            renews: above.is_none_or(|(above, _)| above != format),
        })
    }

    fn target<'h>(
        &self,
        session: &Session<'h>,
        file: File<'h>,
        apart: &[File<'h>],
    ) -> Outcome<Box<dyn Target + 'h>> {
        let keeping = Keeping {
            records: true,
            ..Keeping::default()
        };
        formats::readable(session, self.format, file, apart, keeping, self.renews).at(Stage::OpenTarget)
    }

    /// Gives it a disk of `size` bytes, which is smaller.
    fn grow(&self, session: &Session<'_>, job: &Commit, size: u64) -> Outcome<()> {
        let file = session.file(job.base).at(Stage::Change)?;
        // A larger VHDX is another one for what stands over it.
        if self.format == Format::Vhdx && !self.renews {
            return Err(Fault::new(fault::resize::UNSUPPORTED).in_file(file.slot())).at(Stage::Change);
        }
        let mut image = formats::edit(session, self.format, file).at(Stage::Change)?;
        let wanted = Resize {
            size: NewSize::Exactly(size),
            preallocation: Preallocation::Off,
            shrink: false,
            apart: job.apart.clone(),
        };
        let named = Named::new(job.base, Some(self.format));
        resize::run(session, &named, &mut *image, &wanted)
    }
}

/// Why the base, which has a disk of `size` bytes, does not grow.
fn refused(failure: Failure, size: u64) -> Failure {
    use fault::resize::{DEVICE, LAYOUT, UNSUPPORTED};
    if failure.stage != Stage::Change {
        return failure;
    }
    let fault = match failure.fault.code {
        // In the reference tool's words.
        DEVICE | LAYOUT | UNSUPPORTED => Fault {
            code: fault::core::IO,
            numbers: Fault::new(fault::core::IO).with([EOPNOTSUPP]).numbers,
            ..failure.fault
        },
        _ => failure.fault,
    };
    Failure {
        stage: Stage::Write(size),
        fault,
    }
}

/// What holds the data of a disk that has grown to `size` bytes; only one that has all of it can have grown, and no device.
fn grown<'h>(apart: &[File<'h>], size: u64) -> Vec<File<'h>> {
    match apart {
        [data] if data.kind() != FileKind::Block => alloc::vec![data.grown_to(size)],
        _ => apart.to_vec(),
    }
}

/// Zeros are found in whole units of the base, which are no smaller.
const SECTOR: u64 = 512;
