//! Copy: bytes from file to file that never enter the guest.
//!
//! ```text
//!  may_clone ──► share extents (whole blocks) ──┐ refused: never tried again for this target
//!  and no granule ─► copy_file_range ───────────┤ refused: likewise
//!  else ───────► read, find zeros, write ◄──────┘
//! ```

use std::sync::atomic::Ordering;

use instar_abi::FileKind;
use instar_abi::request::ZeroHow;
use rustix::fs::copy_file_range;
use rustix::io::{Errno, retry_on_intr};

use crate::buffer::Buffer;
use crate::file::{OpenFile, Outcome, bytes, to_usize};
use crate::scan::first_run;
use crate::stop::Stop;
use crate::sys::clone_range;
use crate::zero::{write_zeros, zero};

/// What Copy is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copy<'a> {
    pub(crate) source: &'a OpenFile,
    pub(crate) source_offset: u64,
    pub(crate) target: &'a OpenFile,
    pub(crate) target_offset: u64,
    pub(crate) length: u64,
    pub(crate) granule: Option<u64>,
    pub(crate) target_is_zero: bool,
    pub(crate) may_clone: bool,
}

impl<'a> Copy<'a> {
    /// Copies; gives the bytes of the target that were written as data.
    pub(crate) fn carry_out(self, buffer: &mut Buffer, stop: &Stop) -> Outcome<u64> {
        self.target.writable_to(self.target_offset + self.length)?;
        let in_source = self
            .source
            .length()?
            .saturating_sub(self.source_offset)
            .min(self.length);
        let (inside, past) = self.split(in_source);
        let mut written = inside.inside_source(buffer, stop)?;
        if past.length > 0 {
            written += past.past_source(stop)?;
        }
        Ok(written)
    }

    fn inside_source(self, buffer: &mut Buffer, stop: &Stop) -> Outcome<u64> {
        let cloned = if self.may_clone { self.clone(stop)? } else { 0 };
        let (_, rest) = self.split(cloned);
        // The kernel's own copying shares extents, too, where it can.
        let copied = if rest.granule.is_none() && self.may_clone {
            rest.copy_in_kernel(stop)?
        } else {
            0
        };
        let (_, rest) = rest.split(copied);
        Ok(cloned + copied + rest.read_and_write(buffer, stop)?)
    }

    /// Past the source's end it reads zeros.
    fn past_source(self, stop: &Stop) -> Outcome<u64> {
        let Self {
            target,
            target_offset,
            length,
            ..
        } = self;
        match (self.granule, self.target_is_zero) {
            (Some(_), true) => Ok(0),
            (Some(_), false) => zero(target, target_offset, length, ZeroHow::MayUnmap, stop).map(|()| 0),
            (None, _) => write_zeros(target, target_offset, length, stop).map(|()| length),
        }
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
        let mut done = 0;
        while done < whole {
            stop.check()?;
            let step = CLONE_STEP.min(whole - done);
            let result = retry_on_intr(|| {
                clone_range(
                    self.source.fd(),
                    self.source_offset + done,
                    self.target.fd(),
                    self.target_offset + done,
                    step,
                )
            });
            match result {
                Ok(()) => done += step,
                Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::FBIG)) => {
                    return Err(errno.into());
                }
                // Another filesystem, no such feature, a swap file, larger blocks: all of the file or this range.
                Err(_) => {
                    refused.store(true, Ordering::Relaxed);
                    break;
                }
            }
        }
        Ok(done)
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
            match retry_on_intr(|| {
                copy_file_range(
                    &self.source.fd,
                    Some(&mut from),
                    &self.target.fd,
                    Some(&mut to),
                    step,
                )
            }) {
                // The source became shorter, or its filesystem (procfs, FUSE) does not tell the truth.
                Ok(0) => break,
                Ok(copied) => done += bytes(copied),
                Err(errno @ (Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::FBIG)) => {
                    return Err(errno.into());
                }
                Err(_) => {
                    refused.store(true, Ordering::Relaxed);
                    break;
                }
            }
        }
        Ok(done)
    }

    fn read_and_write(self, buffer: &mut Buffer, stop: &Stop) -> Outcome<u64> {
        let Some(granule) = self.granule else {
            return self.pieces(buffer, stop, |piece, data, _| {
                piece.target.write_from(data, piece.target_offset)?;
                Ok(bytes(data.len()))
            });
        };
        if granule > buffer.payload() {
            return self.large_granules(granule, buffer, stop);
        }
        let mut zeros = ZeroRun::default();
        let written = self.pieces(buffer, stop, |piece, data, stop| {
            let mut written = 0;
            let note = |_, length| written += length;
            piece.write_granules(to_usize(granule), data, &mut zeros, stop, note)?;
            Ok(written)
        })?;
        zeros.end(&self, stop)?;
        Ok(written)
    }

    /// Writes the granules of `data` that are not zero, and tells where; gathers those that are.
    fn write_granules(
        &self,
        granule: usize,
        data: &[u8],
        zeros: &mut ZeroRun,
        stop: &Stop,
        mut note: impl FnMut(u64, u64),
    ) -> Outcome<()> {
        let (mut at, mut rest) = (self.target_offset, data);
        while !rest.is_empty() {
            let run = first_run(rest, at, granule);
            let (run_data, next) = rest.split_at(run.length);
            let length = bytes(run.length);
            if run.zero {
                zeros.extend(at, length, self, stop)?;
            } else {
                self.target.write_from(run_data, at)?;
                note(at, length);
            }
            at += length;
            rest = next;
        }
        Ok(())
    }

    /// Writes `data`, which has been read, at the target's offset as this copy would; tells `note` what was written as data.
    pub(crate) fn write_all(&self, data: &[u8], stop: &Stop, mut note: impl FnMut(u64, u64)) -> Outcome<()> {
        let Some(granule) = self.granule else {
            self.target.write_from(data, self.target_offset)?;
            note(self.target_offset, bytes(data.len()));
            return Ok(());
        };
        let mut zeros = ZeroRun::default();
        self.write_granules(to_usize(granule), data, &mut zeros, stop, note)?;
        zeros.end(self, stop)
    }

    /// Granules larger than the buffer: each is read up to its first byte that is not zero, then copied whole.
    fn large_granules(self, granule: u64, buffer: &mut Buffer, stop: &Stop) -> Outcome<u64> {
        let (mut rest, mut written) = (self, 0);
        let mut zeros = ZeroRun::default();
        while rest.length > 0 {
            let step = (granule - rest.target_offset % granule).min(rest.length);
            let (this, next) = rest.split(step);
            if this.is_zero(buffer, stop)? {
                zeros.extend(this.target_offset, step, &self, stop)?;
            } else {
                let plain = Self {
                    granule: None,
                    ..this
                };
                written += plain.read_and_write(buffer, stop)?;
            }
            rest = next;
        }
        zeros.end(&self, stop)?;
        Ok(written)
    }

    fn is_zero(self, buffer: &mut Buffer, stop: &Stop) -> Outcome<bool> {
        let mut rest = self;
        while rest.length > 0 {
            stop.check()?;
            let step = buffer.payload().min(rest.length);
            let (_, data) = buffer.fill(self.source, rest.source_offset, step)?;
            if !crate::scan::is_zero(data) {
                return Ok(false);
            }
            (_, rest) = rest.split(step);
        }
        Ok(true)
    }

    /// Reads the source piece by piece, each ending on a granule or page of the target, and hands each to `write`.
    fn pieces(
        self,
        buffer: &mut Buffer,
        stop: &Stop,
        mut write: impl FnMut(&Self, &[u8], &Stop) -> Outcome<u64>,
    ) -> Outcome<u64> {
        let (mut rest, mut written) = (self, 0);
        while rest.length > 0 {
            stop.check()?;
            // The payload is a power of two no smaller than the granule.
            let step = (buffer.payload() - rest.target_offset % buffer.payload()).min(rest.length);
            let (_, data) = buffer.fill(self.source, rest.source_offset, step)?;
            written += write(&rest, data, stop)?;
            (_, rest) = rest.split(step);
        }
        Ok(written)
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

/// Zero granules side by side, made zero at once when the run ends.
#[derive(Debug, Default)]
struct ZeroRun {
    offset: u64,
    length: u64,
}

impl ZeroRun {
    fn extend(&mut self, offset: u64, length: u64, copy: &Copy<'_>, stop: &Stop) -> Outcome<()> {
        if self.offset + self.length != offset {
            self.end(copy, stop)?;
            self.offset = offset;
        }
        self.length += length;
        Ok(())
    }

    fn end(&mut self, copy: &Copy<'_>, stop: &Stop) -> Outcome<()> {
        let length = std::mem::take(&mut self.length);
        if copy.target_is_zero || length == 0 {
            return Ok(());
        }
        zero(copy.target, self.offset, length, ZeroHow::MayUnmap, stop)
    }
}

/// Extents are shared in whole blocks; this is a multiple of the block size of all common filesystems. A larger one
/// makes the kernel refuse, and the bytes are copied.
const CLONE_UNIT: u64 = 4096;
/// Bytes shared at a time: quick, but not free where extents are many.
const CLONE_STEP: u64 = 1 << 30;
/// Bytes that the kernel copies at a time: some 30 ms, so that the end of a run is noticed.
const KERNEL_STEP: u64 = 32 << 20;
