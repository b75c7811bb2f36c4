//! Images inside a part of a file, or inside several that follow one another: their reader sees that as a file of its own, and
//! nothing else.
//!
//! ```text
//!  file    0 ───── start ═══════════════ start + size ───── end        an OVA, say
//!                    │   what the image is read from  │
//!                    0 ────────────────────────────  size
//! ```

mod cut;
mod part;

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use instar_abi::Job;
use instar_abi::job::{Source, Window};
use instar_abi::report::Stage;
use instar_disk::{
    Fault, FileFacts, Host, HostFilter, Io, IoError, Result, Role, Slot, Turnstile, align_up, fault,
};

use crate::digests::Digests;
use crate::session::{At, Outcome};
use cut::Cut;
pub(crate) use cut::again;
pub(crate) use part::Part;

/// A host some of whose files are parts of those that it has opened.
pub(crate) struct Within<'h> {
    host: &'h dyn Host,
    /// There are some.
    has_parts: AtomicBool,
    parts: Turnstile<Vec<Arc<Part>>>,
    /// What members of archives must come to.
    pub(crate) digests: Digests,
}

impl<'h> Within<'h> {
    /// The files of `host` as they are.
    pub(crate) fn new(host: &'h dyn Host) -> Self {
        Self {
            host,
            has_parts: AtomicBool::new(false),
            parts: Turnstile::new(Vec::new()),
            digests: Digests::default(),
        }
    }

    /// Enters the parts that `job` names; the job as it looks from inside.
    ///
    /// # Errors
    /// A part that does not lie in its file.
    pub(crate) fn named<'j>(&self, job: &'j Job) -> Outcome<Cow<'j, Job>> {
        if !is_needed(job) {
            return Ok(Cow::Borrowed(job));
        }
        let mut inside = job.clone();
        for (index, source) in (0..).zip(job.verb.sources()) {
            self.enter_all(source, &mut inside.files)
                .at(Stage::OpenSource(index))?;
        }
        Ok(Cow::Owned(inside))
    }

    fn enter_all(&self, source: &Source, files: &mut [FileFacts]) -> Result<()> {
        for source in source.layers() {
            if let Some(facts) = files.iter_mut().find(|facts| facts.slot == source.slot)
                && !source.inside.is_empty()
            {
                let (start, size) =
                    resolve(&source.inside, facts.size).map_err(|fault| fault.in_file(facts.slot))?;
                facts.size = size;
                self.enter(Part::new(facts.slot, &[(start, size)], false));
            }
        }
        Ok(())
    }

    /// From now on `part` is all that there is of its file. It may lie in a part of the file that was entered before.
    pub(crate) fn enter(&self, part: Part) -> Arc<Part> {
        let part = Arc::new(match self.part(part.slot) {
            Some(around) => part.moved(&around),
            None => part,
        });
        self.parts.with(self.host, |parts| {
            parts.retain(|known| known.slot != part.slot);
            parts.push(Arc::clone(&part));
        });
        self.has_parts.store(true, Ordering::Release);
        part
    }

    /// The part that a file is, if it is one.
    pub(crate) fn part(&self, slot: Slot) -> Option<Arc<Part>> {
        let parts = self.all();
        parts.into_iter().find(|part| part.slot == slot)
    }

    /// Where in the host's file a file begins.
    pub(crate) fn start(&self, slot: Slot) -> u64 {
        let part = self.part(slot);
        part.and_then(|part| part.run(0)).map_or(0, |(start, _)| start)
    }

    /// Waits for the digests of what was read.
    ///
    /// # Errors
    /// One is another than it must be; the host's.
    pub(crate) fn conclude(&self) -> Result<()> {
        self.digests.conclude(self.host)
    }

    fn all(&self) -> Vec<Arc<Part>> {
        if !self.has_parts.load(Ordering::Acquire) {
            return Vec::new();
        }
        self.parts.with(self.host, |parts| parts.clone())
    }
}

impl HostFilter for Within<'_> {
    fn below(&self) -> &dyn Host {
        self.host
    }

    fn submit(&self, batch: &mut [Io<'_>]) {
        let parts = self.all();
        if parts.is_empty() {
            return self.host.submit(batch);
        }
        let mut outside = Vec::new();
        let cuts: Vec<Cut> = batch
            .iter_mut()
            .map(|io| cut::cut(&parts, &mut io.action, &mut outside))
            .collect();
        self.host.submit(&mut outside);
        let mut done = outside.iter().map(cut::Done::of).collect::<Vec<_>>().into_iter();
        for (io, cut) in batch.iter_mut().zip(cuts) {
            let (outcome, shared) = cut::joined(&mut done, cut.pieces);
            io.shared = shared;
            io.outcome = if cut.is_whole {
                outcome
            } else {
                outcome.and(Err(IoError::OUT_OF_REACH))
            };
        }
    }

    fn open(&self, namer: Slot, role: Role, name: &[u8]) -> Result<FileFacts> {
        if self.part(namer).is_some_and(|part| part.is_packed) {
            return Err(Fault::new(fault::ova::NESTED).named(name).in_file(namer));
        }
        let facts = self.host.open(namer, role, name)?;
        if self.part(facts.slot).is_some() {
            // An image that names the file it stands in.
            return Err(Fault::new(fault::core::CHAIN_LOOP).named(name).in_file(namer));
        }
        Ok(facts)
    }

    fn parallel(&self, work: &(dyn Fn(usize) + Sync)) {
        if !self.digests.are_wanted() {
            return self.host.parallel(work);
        }
        // The last lane reads a file from start to end for its digest, and then helps the others.
        let last = self.host.lanes().saturating_sub(1);
        self.host.parallel(&|lane| {
            if lane == last {
                self.digests.look(self.host);
            }
            work(lane);
        });
    }
}

/// The start and the length of a part of a file of `size` bytes.
///
/// # Errors
/// The part is not inside the file, or is not a whole number of sectors long.
pub(crate) fn part(window: Window, size: u64) -> Result<(u64, u64)> {
    let Some(rest) = size.checked_sub(window.offset) else {
        return Err(Fault::new(fault::core::WINDOW_OFFSET).with([window.offset, size]));
    };
    let length = match window.length {
        None => align_up(rest, 512)?,
        Some(length) if length > rest => {
            return Err(Fault::new(fault::core::WINDOW_LENGTH).with([window.offset, length, size]));
        }
        Some(length) if !length.is_multiple_of(512) => {
            return Err(Fault::new(fault::core::WINDOW_SECTORS).with([length]));
        }
        Some(length) => length,
    };
    Ok((window.offset, length))
}

/// Where the innermost of parts within parts starts in a file of `size` bytes, and how long it is.
fn resolve(inside: &[Window], size: u64) -> Result<(u64, u64)> {
    let (mut start, mut size) = (0_u64, size);
    for window in inside {
        let (offset, length) = part(*window, size)?;
        start = start.saturating_add(offset);
        // One that is not a whole number of sectors long is rounded up, with zeros.
        size = length.min(size.saturating_sub(offset));
    }
    Ok((start, size))
}

/// Whether the job names a part of a file.
fn is_needed(job: &Job) -> bool {
    let sources = job.verb.sources().into_iter();
    sources
        .flat_map(Source::layers)
        .any(|source| !source.inside.is_empty())
}
