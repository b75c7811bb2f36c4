//! The services of the outside world for code that handles images.

use core::sync::atomic::AtomicU32;

use instar_abi::fault::{core as faults, nbd};
use instar_abi::request::{CompareRange, CopyRange, Preallocate, ZeroHow, status};
use instar_abi::{Fault, FileFacts, Report, Role, Slot, limits};

use crate::{Result, from_usize};

/// The outside: files by slot, lanes to work in, a place to report to.
///
/// Implemented by the guest (a doorbell) and by the test support (ordinary files). All methods may be called from
/// any lane.
pub trait Host: Sync {
    /// Carries out `batch` in order. Stops at the first failure: that one has its error, those after it are
    /// [`IoError::CANCELLED`]. Any length is fine; the implementation splits what is too long for one doorbell. What is not
    /// [in reach](Action::is_in_reach) is [`IoError::OUT_OF_REACH`].
    fn submit(&self, batch: &mut [Io<'_>]);

    /// Opens a file that the image behind `namer` names, read-only, as `role`. The same file gives the same slot, and the length that it
    /// has by now if the run writes to it.
    ///
    /// # Errors
    /// The gate's refusal, with the flag that would allow it, or the system's error.
    fn open(&self, namer: Slot, role: Role, name: &[u8]) -> Result<FileFacts>;

    /// Lanes that can work at once, at least 1.
    fn lanes(&self) -> usize;

    /// Runs `work(lane)` on every lane, 0 (the caller) included; returns when all have returned.
    fn parallel(&self, work: &(dyn Fn(usize) + Sync));

    /// Sleeps while `word` is `expected`; may return early.
    fn wait(&self, word: &AtomicU32, expected: u32);

    /// Wakes all that wait for `word`.
    fn wake(&self, word: &AtomicU32);

    /// Hands a record to the host.
    fn report(&self, report: &Report);

    /// Says how far the work is.
    fn progress(&self, done: u64, total: u64);

    /// Whether a file is a disk behind a server: nobody else copies its bytes or shares them.
    fn is_remote(&self, slot: Slot) -> bool {
        let _ = slot;
        false
    }
}

/// A host on top of another one: what it does not do itself, that one does.
pub trait HostFilter: Sync {
    /// The host below.
    fn below(&self) -> &dyn Host;

    /// As [`Host::submit`].
    fn submit(&self, batch: &mut [Io<'_>]);

    /// As [`Host::open`].
    ///
    /// # Errors
    /// The same.
    fn open(&self, namer: Slot, role: Role, name: &[u8]) -> Result<FileFacts> {
        self.below().open(namer, role, name)
    }

    /// As [`Host::parallel`].
    fn parallel(&self, work: &(dyn Fn(usize) + Sync)) {
        self.below().parallel(work);
    }

    /// As [`Host::is_remote`].
    fn is_remote(&self, slot: Slot) -> bool {
        self.below().is_remote(slot)
    }
}

impl<F: HostFilter> Host for F {
    fn submit(&self, batch: &mut [Io<'_>]) {
        HostFilter::submit(self, batch);
    }

    fn open(&self, namer: Slot, role: Role, name: &[u8]) -> Result<FileFacts> {
        HostFilter::open(self, namer, role, name)
    }

    fn lanes(&self) -> usize {
        self.below().lanes()
    }

    fn parallel(&self, work: &(dyn Fn(usize) + Sync)) {
        HostFilter::parallel(self, work);
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        self.below().wait(word, expected);
    }

    fn wake(&self, word: &AtomicU32) {
        self.below().wake(word);
    }

    fn report(&self, report: &Report) {
        self.below().report(report);
    }

    fn progress(&self, done: u64, total: u64) {
        self.below().progress(done, total);
    }

    fn is_remote(&self, slot: Slot) -> bool {
        HostFilter::is_remote(self, slot)
    }
}

impl dyn Host + '_ {
    /// Carries out one action; gives what came of it, as [`Io::outcome`] has it.
    pub fn one(&self, action: Action<'_>) -> Result<u64> {
        let mut batch = [Io::new(action)];
        self.submit(&mut batch);
        let [io] = batch;
        io.result()
    }

    /// Carries out a batch, all of which must succeed; fails with the first failure.
    pub fn all(&self, batch: &mut [Io<'_>]) -> Result<()> {
        self.submit(batch);
        batch.iter().try_for_each(|io| io.result().map(|_| ()))
    }
}

/// One request and its outcome.
#[derive(Debug)]
pub struct Io<'a> {
    /// The action.
    pub action: Action<'a>,
    /// What came of it: for Read bytes read, for Copy bytes written as data, for Extents records filled, for
    /// Compare bytes that are the same, for Allocated bytes, for Sharable 1 if it is so, for
    /// Receive bytes received.
    pub outcome: core::result::Result<u64, IoError>,
    /// For Copy, bytes whose extents are shared now.
    pub shared: u64,
}

impl<'a> Io<'a> {
    /// A request that has not run.
    #[must_use]
    pub const fn new(action: Action<'a>) -> Self {
        Self {
            action,
            outcome: Err(IoError::CANCELLED),
            shared: 0,
        }
    }

    /// What came of it; a failure names the file that the action is about.
    pub fn result(&self) -> Result<u64> {
        let (slot, _) = self.action.slots();
        self.outcome.map_err(|error| error.fault(slot))
    }
}

/// The actions of the host on files, with the meaning of [`instar_abi::Request`].
#[derive(Debug)]
#[allow(
    missing_docs,
    reason = "each field has the meaning of the Request field of the same name"
)]
pub enum Action<'a> {
    Read {
        slot: Slot,
        offset: u64,
        into: &'a mut [u8],
    },
    Write {
        slot: Slot,
        offset: u64,
        from: &'a [u8],
    },
    Copy(CopyRange),
    Zero {
        slot: Slot,
        offset: u64,
        length: u64,
        how: ZeroHow,
    },
    Discard {
        slot: Slot,
        offset: u64,
        length: u64,
    },
    Extents {
        slot: Slot,
        offset: u64,
        length: u64,
        into: &'a mut [Extent],
    },
    Resize {
        slot: Slot,
        length: u64,
        preallocate: Preallocate,
    },
    Flush {
        slot: Slot,
    },
    Advise {
        slot: Slot,
        offset: u64,
        length: u64,
    },
    Compare(CompareRange),
    Allocated {
        slot: Slot,
    },
    Sharable {
        source: Slot,
        target: Slot,
    },
    Receive {
        slot: Slot,
        into: &'a mut [u8],
    },
    Send {
        slot: Slot,
        from: &'a [u8],
    },
}

impl Action<'_> {
    /// The file that it is about, and the other one if it has two. One that is written to comes first.
    #[must_use]
    pub const fn slots(&self) -> (Slot, Option<Slot>) {
        match self {
            Self::Read { slot, .. }
            | Self::Write { slot, .. }
            | Self::Zero { slot, .. }
            | Self::Discard { slot, .. }
            | Self::Extents { slot, .. }
            | Self::Resize { slot, .. }
            | Self::Flush { slot }
            | Self::Advise { slot, .. }
            | Self::Allocated { slot }
            | Self::Receive { slot, .. }
            | Self::Send { slot, .. } => (*slot, None),
            Self::Copy(CopyRange { source, target, .. }) | Self::Sharable { source, target } => {
                (*target, Some(*source))
            }
            Self::Compare(CompareRange {
                slot, other: None, ..
            }) => (*slot, None),
            Self::Compare(CompareRange {
                slot,
                other: Some((other, _)),
                ..
            }) => (*slot, Some(*other)),
        }
    }

    /// Whether every byte of files that it names can exist: none has more than [`limits::FILE_END`].
    #[must_use]
    pub fn is_in_reach(&self) -> bool {
        let ranges = match self {
            Self::Read { offset, into, .. } => [Some((*offset, from_usize(into.len()))), None],
            Self::Write { offset, from, .. } => [Some((*offset, from_usize(from.len()))), None],
            Self::Zero { offset, length, .. }
            | Self::Discard { offset, length, .. }
            | Self::Extents { offset, length, .. }
            | Self::Advise { offset, length, .. } => [Some((*offset, *length)), None],
            Self::Resize { length, .. } => [Some((0, *length)), None],
            Self::Copy(copy) => [
                Some((copy.source_offset, copy.length)),
                Some((copy.target_offset, copy.length)),
            ],
            Self::Compare(compare) => [
                Some((compare.offset, compare.length)),
                compare.other.map(|(_, offset)| (offset, compare.length)),
            ],
            Self::Flush { .. }
            | Self::Allocated { .. }
            | Self::Sharable { .. }
            | Self::Receive { .. }
            | Self::Send { .. } => [None, None],
        };
        ranges.into_iter().flatten().all(|(offset, length)| {
            let end = offset.checked_add(length);
            end.is_some_and(|end| end < limits::FILE_END)
        })
    }
}

/// A piece of a file's allocation map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Its length in bytes.
    pub length: u64,
    /// Data, or a hole that reads as zero.
    pub data: bool,
}

/// Why a request failed: a value of [`instar_abi::request::status`], or the code of a fault that a server showed in its replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoError(pub u32);

impl IoError {
    /// An earlier request of the batch failed.
    pub const CANCELLED: Self = Self(status::CANCELLED);
    /// The request names bytes that no file can have (`EINVAL`, as the system says of them).
    pub const OUT_OF_REACH: Self = Self(22);

    /// The fault that says so.
    #[must_use]
    pub fn fault(self, slot: Slot) -> Fault {
        if let Some(code) = nbd::of_status(self.0) {
            return Fault::new(code).in_file(slot);
        }
        let fault = match self.0 {
            status::REFUSED_OUTPUT => Fault::new(faults::REFUSED_OUTPUT),
            status::REFUSED_LOCK => Fault::new(faults::REFUSED_LOCK),
            errno => Fault::new(faults::IO).with([u64::from(errno)]),
        };
        fault.in_file(slot)
    }
}
