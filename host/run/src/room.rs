//! How far targets may grow: as far as an image of the size that was declared, whatever the guest asks for.
//!
//! ```text
//!   create SIZE, resize [+]SIZE ──────────────────────► known before the run ──┐
//!   create -b, convert, dd ─► the guest opens its sources ─► Report::Size, once ─┴─► each target: what it held + room(size)
//! ```
//!
//! Until the size is known no target grows at all. The guest that declares it may have been taken over: then `max-size` bounds what
//! it declares (1 TiB for images that are not trusted), and nothing else does, since a sound image of a few bytes may have any size.

use instar_abi::Job;
use instar_abi::job::{Change, ChangeImage, CopyBitmaps, NewSize, Verb};
use instar_engine::Files;
use instar_memory::Violation;

/// What a run may declare, and what follows from it.
#[derive(Debug)]
pub(crate) struct Room {
    /// The size that the user gave.
    known: Option<u64>,
    /// The largest size that may be declared.
    largest: u64,
    /// Bytes beside the disk and its tables: copied bitmaps, what another size adds to an image that is amended.
    beside: u64,
    /// Bytes before a size is declared: an image that was not closed is repaired when it is opened.
    repair: u64,
}

/// A part of the disk for the tables of any format: those of clusters of 512 bytes with refcounts of 64 bits take a thirty-second.
/// Ours.
const TABLES: u64 = 8;
/// Headers, logs, and what a disk is rounded up by: the largest block, that of a VHDX, has 256 MiB. Ours.
const FIXED: u64 = 512 << 20;
/// The table of one bitmap, and the directory of as many as there can be. Ours.
const BITMAP_TABLES: u64 = 128 << 20;

/// New refcounts of a file are no larger part of it: 64 bits for each cluster of 512 bytes are a sixty-fourth. Ours.
const REFCOUNTS: u64 = 32;
/// New refcounts of a small file: some of the largest clusters. Ours.
const FEW: u64 = 16 << 20;

/// Bytes of the files that may be written to.
fn written(job: &Job) -> u64 {
    let files = job.files.iter().filter(|file| file.writable);
    files.fold(0, |sum: u64, file| sum.saturating_add(file.size))
}

impl Room {
    pub(crate) fn new(job: &Job) -> Self {
        let known = match &job.verb {
            Verb::Create(create) => create.size,
            Verb::Change(job) => added(&job.change),
            // Tables of an image that is there: no more than the fixed part.
            Verb::Bitmaps(_) => Some(0),
            // New refcounts of all that it holds.
            Verb::Check(check) if check.repair.is_some() => Some(written(job) / REFCOUNTS),
            _ => None,
        };
        let beside = match &job.verb {
            // No larger than in the source.
            Verb::Convert(convert) if convert.bitmaps != CopyBitmaps::No => {
                let sources = job.files.iter().filter(|file| !file.writable);
                sources.fold(0_u64, |sum, file| sum.saturating_add(file.size))
            }
            // The fixed part is for the bits of the one that changes: qemu's limit is as much.
            Verb::Bitmaps(_) => BITMAP_TABLES,
            // What is declared is for the other options.
            Verb::Change(ChangeImage {
                change: Change::Amend(Some(options)),
                ..
            }) => with_tables(options.size.unwrap_or(0)),
            _ => 0,
        };
        // In a row they make one disk.
        let sources = match &job.verb {
            Verb::Convert(convert) => u64::try_from(convert.sources.len()).unwrap_or(u64::MAX),
            _ => 1,
        };
        let repair = match &job.verb {
            Verb::Change(_) | Verb::Rebase(_) | Verb::Commit(_) | Verb::Bench(_) => {
                (written(job) / REFCOUNTS).saturating_add(FEW)
            }
            _ => 0,
        };
        Self {
            repair,
            known,
            largest: job.bounds.virtual_size.saturating_mul(sources),
            beside,
        }
    }

    /// Before the run.
    pub(crate) fn begin(&self, files: &Files) {
        files.let_targets_grow(self.known.map_or(self.repair, |size| self.needed(size)));
    }

    /// The guest says how large the image will be.
    pub(crate) fn declared(&self, files: &Files, size: u64) -> Result<(), Violation> {
        if self.known.is_some() {
            return Ok(());
        }
        if size > self.largest {
            return Err(Violation::Other("a size above max-size"));
        }
        files.let_targets_grow(self.needed(size));
        Ok(())
    }

    /// Bytes that an image of this size takes at most.
    const fn needed(&self, size: u64) -> u64 {
        with_tables(size)
            .saturating_add(FIXED)
            .saturating_add(self.beside)
    }
}

/// Bytes that a disk of this size takes with its tables.
const fn with_tables(size: u64) -> u64 {
    size.saturating_add(size / TABLES)
}

/// Bytes that a change adds to the disk of an image, as far as they are known.
const fn added(change: &Change) -> Option<u64> {
    match change {
        // How much depends on what is in it.
        Change::Amend(_) => None,
        Change::Resize(resize) => match resize.size {
            NewSize::Exactly(bytes) | NewSize::Larger(bytes) => Some(bytes),
            NewSize::Smaller(_) => Some(0),
        },
        // Tables of an image that is there: no more than the fixed part.
        Change::CreateSnapshot(_)
        | Change::ApplySnapshot(_)
        | Change::DeleteSnapshot(_)
        | Change::Rebase(_)
        | Change::Keys(_)
        | Change::Empty(_)
        | Change::Compact(_) => Some(0),
    }
}
