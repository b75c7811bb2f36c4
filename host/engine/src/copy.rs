//! Copy: bytes from file to file that never enter the guest.
//!
//! ```text
//!  may_clone ──► share extents (whole blocks) ──┐ refused: never tried again for this target
//!  nothing to look for ─► copy_file_range ───────────┤ refused: the same
//!  else ───────► read, find zeros, write ◄──────┘
//! ```

use std::sync::atomic::Ordering;

use instar_abi::{CopyRange, FileKind, Sieve, Sparse};
use rustix::fs::{copy_file_range, ftruncate};
use rustix::io::Errno;

use crate::buffer::Buffer;
use crate::file::{OpenFile, Outcome, bytes, to_usize};
use crate::sift::{Sifter, Window};
use crate::stop::{Interrupted, Stop};
use crate::sys::clone_range;
use crate::zero::write_zeros;

/// What Copy is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy<'a> {
    pub(crate) source: &'a OpenFile,
    pub(crate) source_offset: u64,
    pub(crate) target: &'a OpenFile,
    pub(crate) target_offset: u64,
    pub(crate) length: u64,
    pub(crate) sparse: Option<Sparse>,
    pub(crate) target_is_zero: bool,
    pub(crate) may_clone: bool,
}

impl<'a> Copy<'a> {
    /// The copy that was asked for, of these files.
    pub(crate) const fn new(source: &'a OpenFile, target: &'a OpenFile, asked: CopyRange) -> Self {
        Self {
            source,
            source_offset: asked.source_offset,
            target,
            target_offset: asked.target_offset,
            length: asked.length,
            sparse: asked.sparse,
            target_is_zero: asked.target_is_zero,
            may_clone: asked.may_clone,
        }
    }

    /// Copies; gives the bytes of the target that were written as data, shared ones included, and those that are shared.
    pub(crate) fn carry_out(self, buffer: &mut Buffer, stop: &Stop) -> Outcome<(u64, u64)> {
        let _change = self.target.writable_to(self.target_offset + self.length)?;
        let in_source = self
            .source
            .length()?
            .saturating_sub(self.source_offset)
            .min(self.length);
        let cloned = match self.may_clone {
            true => self.split(in_source).0.clone(stop)?,
            false => 0,
        };
        let (_, rest) = self.split(cloned);
        let in_source = in_source - cloned;
        let written = match self.sparse {
            Some(sparse) => rest.sift(sparse, in_source, buffer, stop)?,
            None => rest.whole(in_source, buffer, stop)?,
        };
        Ok((cloned + written, cloned))
    }

    /// Writes everything: past the first `in_source` bytes, zeros.
    fn whole(self, in_source: u64, buffer: &mut Buffer, stop: &Stop) -> Outcome<u64> {
        let (inside, past) = self.split(in_source);
        // The kernel's own copying shares extents, too, where it can.
        let copied = match self.may_clone {
            true => inside.copy_in_kernel(stop)?,
            false => 0,
        };
        inside.split(copied).1.read_and_write(buffer, stop)?;
        write_zeros(self.target, past.target_offset, past.length, stop)?;
        Ok(self.length)
    }

    /// Shares extents; gives the bytes shared, from the start: none if the files cannot.
    fn clone(self, stop: &Stop) -> Outcome<u64> {
        let aligned = [self.source_offset, self.target_offset]
            .iter()
            .all(|at| at.is_multiple_of(CLONE_UNIT));
        let whole = self.length - self.length % CLONE_UNIT;
        let refused = &self.target.state.no_clone;
        if !aligned || whole == 0 || refused.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let step = |done, step| {
            stop.persist(|| {
                clone_range(
                    self.source.fd(),
                    self.source_offset + done,
                    self.target.fd(),
                    self.target_offset + done,
                    step,
                )
            })
        };
        let Err(stopped) = stop.in_steps(whole, step) else {
            return Ok(whole);
        };
        match stopped.errno() {
            // Another filesystem, no such feature, a swap file, larger blocks: all of the file or this range.
            Some(errno) if !DISK_SAYS_NO.contains(&errno) => {
                refused.store(true, Ordering::Relaxed);
                Ok(stopped.done)
            }
            _ => Err(stopped.into()),
        }
    }

    /// Lets the kernel copy; gives the bytes copied, from the start: none if it cannot.
    fn copy_in_kernel(self, stop: &Stop) -> Outcome<u64> {
        let refused = &self.target.state.no_copy;
        let direct = self.source.direct.is_some() || self.target.direct.is_some();
        let files = [self.source.kind, self.target.kind]
            .iter()
            .all(|kind| *kind != FileKind::Block);
        if direct || !files || refused.load(Ordering::Relaxed) {
            return Ok(0);
        }
        let mut done = 0;
        while done < self.length {
            stop.check()?;
            let (mut from, mut to) = (self.source_offset + done, self.target_offset + done);
            let step = to_usize(KERNEL_STEP.min(self.length - done));
            let copied = stop.persist(|| {
                copy_file_range(
                    &self.source.fd,
                    Some(&mut from),
                    &self.target.fd,
                    Some(&mut to),
                    step,
                )
            });
            match copied {
                // The source became shorter, or its filesystem (procfs, FUSE) does not tell the truth.
                Ok(0) => break,
                Ok(copied) => done += bytes(copied),
                Err(Interrupted::Errno(errno)) if !DISK_SAYS_NO.contains(&errno) => {
                    refused.store(true, Ordering::Relaxed);
                    break;
                }
                Err(why) => return Err(why.into()),
            }
        }
        Ok(done)
    }

    fn read_and_write(self, buffer: &mut Buffer, stop: &Stop) -> Outcome<u64> {
        self.pieces(buffer, stop, |piece, data| {
            piece.target.write_from(data, piece.target_offset)
        })?;
        Ok(self.length)
    }

    /// Leaves out the zeros that the rule leaves out. What lies past the first `in_source` bytes is zero, too.
    fn sift(self, sparse: Sparse, in_source: u64, buffer: &mut Buffer, stop: &Stop) -> Outcome<u64> {
        let (inside, past) = self.split(in_source);
        let mut written = 0;
        let mut sifter = Sifter::new(self.target, self.target_is_zero, stop, |_, length| {
            written += length
        });
        let mut sieve = Sieve::new(sparse, self.target_offset);
        let cell = self.payload();
        inside.pieces(buffer, stop, |piece, data| {
            let window = Window {
                at: piece.target_offset,
                bytes: data,
            };
            sifter.take(&mut sieve, sparse, cell, bytes(data.len()), window)?;
            sifter.write(window)
        })?;
        let window = Window {
            at: self.target_offset + self.length,
            bytes: &[],
        };
        sifter.feed(&mut sieve, past.length, true, window)?;
        sifter.end(sieve, window)?;
        sifter.finish(window)?;
        Ok(written)
    }

    /// Reads the source piece by piece, each ending on a granule or page of the target, and hands each to `write`.
    fn pieces(
        self,
        buffer: &mut Buffer,
        stop: &Stop,
        mut write: impl FnMut(&Self, &[u8]) -> Outcome<()>,
    ) -> Outcome<()> {
        let (mut rest, payload) = (self, self.payload());
        while rest.length > 0 {
            stop.check()?;
            // The payload is a power of two.
            let step = (payload - rest.target_offset % payload).min(rest.length);
            let (_, data) = buffer.fill(self.source, rest.source_offset, step)?;
            write(&rest, data)?;
            (_, rest) = rest.split(step);
        }
        Ok(())
    }

    const fn payload(&self) -> u64 {
        Buffer::payload(self.source.direct.is_some() || self.target.direct.is_some())
    }

    /// The first `length` bytes of the work, and the rest.
    const fn split(self, length: u64) -> (Self, Self) {
        let first = Self { length, ..self };
        let rest = Self {
            source_offset: self.source_offset + length,
            target_offset: self.target_offset + length,
            length: self.length - length,
            ..self
        };
        (first, rest)
    }
}

/// Whether blocks of `source` can be shared with `target`: found by sharing one behind the target's end, which is taken away again.
pub(crate) fn sharable(source: &OpenFile, target: &OpenFile, stop: &Stop) -> Outcome<bool> {
    let regular = [source.kind, target.kind]
        .iter()
        .all(|kind| *kind != FileKind::Block);
    if !regular || source.length()? < CLONE_UNIT || target.state.no_clone.load(Ordering::Relaxed) {
        return Ok(false);
    }
    let length = target.length()?;
    let Some(behind) = length.checked_next_multiple_of(CLONE_UNIT) else {
        return Ok(false);
    };
    let _change = target.writable_to(behind.saturating_add(CLONE_UNIT))?;
    match stop.persist(|| clone_range(source.fd(), 0, target.fd(), behind, CLONE_UNIT)) {
        Ok(()) => {
            stop.persist(|| ftruncate(&target.fd, length))?;
            Ok(true)
        }
        Err(Interrupted::Errno(_)) => Ok(false),
        Err(why) => Err(why.into()),
    }
}

/// What copying by other means would meet again.
const DISK_SAYS_NO: [Errno; 4] = [Errno::NOSPC, Errno::DQUOT, Errno::IO, Errno::FBIG];
/// Extents are shared in whole blocks; this is a multiple of the block size of all common filesystems. A larger one
/// makes the kernel refuse, and the bytes are copied.
const CLONE_UNIT: u64 = 4096;
/// Bytes that the kernel copies at a time: some 30 ms, so that the end of a run is noticed.
const KERNEL_STEP: u64 = 32 << 20;
