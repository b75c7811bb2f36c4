//! One open file, and its bytes in and out.
//!
//! A file whose cache mode bypasses the page cache has a second descriptor, opened `O_DIRECT`. Whole pages of it travel
//! on that one, everything else on the first: two writers never meet in one page, so the kernel keeps both views
//! coherent, and no read-modify-write can lose a neighbour's bytes or change a file's length.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use instar_abi::request::{GuestRange, status};
use instar_abi::{FileFacts, FileKind, Slot};
use instar_memory::GuestMemory;
use rustix::fs::{Stat, fstat};
use rustix::io::{Errno, pread, pwrite, retry_on_intr};

use crate::buffer::Buffer;
use crate::gate::Place;
use crate::pending::{Change, Pending};
use crate::stop::{Interrupted, Stop};
use crate::storage::Storage;
use crate::sys::{send_range, wait_for_range};
use crate::wishes::Wishes;

/// A request failed: a value of [`status`], never `OK`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) u32);

impl Failure {
    pub(crate) const REFUSED_OUTPUT: Self = Self(status::REFUSED_OUTPUT);
}

impl From<Errno> for Failure {
    fn from(errno: Errno) -> Self {
        Self(errno.raw_os_error().unsigned_abs())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        // Without a number it is our own refusal of a range; the request was in bounds, so it cannot be.
        error
            .raw_os_error()
            .map_or(Errno::INVAL, Errno::from_raw_os_error)
            .into()
    }
}

pub(crate) type Outcome<T> = Result<T, Failure>;

/// How much a run may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    /// Up to this byte.
    Write {
        limit: u64,
    },
    /// The same, for a file that is gone with the run: it is nobody's target.
    Spool {
        limit: u64,
    },
}

/// An open file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(crate) fd: OwnedFd,
    /// The same file, `O_DIRECT`.
    pub(crate) direct: Option<OwnedFd>,
    pub(crate) kind: FileKind,
    pub(crate) access: Access,
    /// Length when it was opened.
    pub(crate) size: u64,
    pub(crate) identity: Identity,
    /// The name under which it was opened.
    pub(crate) name: PathBuf,
    /// Where it stands with the gate; none: names in it lead nowhere.
    pub(crate) place: Option<Place>,
    /// Flush means something.
    pub(crate) durable: bool,
    /// Another process holds a lock that says that it writes.
    pub(crate) busy: bool,
    /// So many of its first bytes may be read; none: all.
    pub(crate) window: Option<u64>,
    /// What its filesystem is told while it is empty.
    pub(crate) wishes: Wishes,
    /// Why a wish that the user insists on came to nothing.
    pub(crate) unheeded: Option<Errno>,
    /// The file whose name it will take.
    pub(crate) predecessor: Option<Arc<OwnedFd>>,
    /// What of the system's storage a write to it changes.
    pub(crate) storage: Storage,
    pub(crate) state: State,
}

/// What has been learned about a file while it was used.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// It was changed.
    touched: AtomicBool,
    /// Extents cannot be shared with it.
    pub(crate) no_clone: AtomicBool,
    /// The kernel does not copy into it.
    pub(crate) no_copy: AtomicBool,
    /// Whether something is in the page cache cannot be asked.
    pub(crate) no_probe: AtomicBool,
    /// What was not flushed yet.
    pending: Pending,
    /// A flush failed.
    flush_failed: AtomicBool,
    /// It is a target, and a layer of the images whose names lead to it.
    layer: AtomicBool,
    /// The complement of the largest size that it may reach in this run, whatever `access` says: 0 means no limit.
    grown: AtomicU64,
    /// The file that named it first, and its name there, for files that the gate opened.
    pub(crate) named: OnceLock<(Slot, Vec<u8>)>,
}

impl State {
    /// From now on names in images may lead to it, though it is written to.
    pub(crate) fn make_layer(&self) {
        self.layer.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_layer(&self) -> bool {
        self.layer.load(Ordering::Relaxed)
    }
}

/// What makes two open files the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub(crate) const fn new(device: u64, inode: u64) -> Self {
        Self { device, inode }
    }

    pub(crate) const fn of(stat: &Stat) -> Self {
        Self::new(stat.st_dev, stat.st_ino)
    }
}

impl From<&Stat> for Identity {
    fn from(stat: &Stat) -> Self {
        Self::of(stat)
    }
}

impl OpenFile {
    pub(crate) fn facts(&self, slot: Slot) -> FileFacts {
        FileFacts {
            slot,
            size: self.size,
            kind: self.kind,
            writable: self.access != Access::Read,
            busy: self.busy,
            called_dmg: self.is_called_dmg(),
        }
    }

    /// Longer than the ending alone, which is small letters.
    fn is_called_dmg(&self) -> bool {
        let name = self.name.as_os_str().as_bytes();
        name.len() > 4 && name.ends_with(b".dmg")
    }

    /// The same with the length that it has now, if the run may have changed it.
    pub(crate) fn facts_now(&self, slot: Slot) -> Outcome<FileFacts> {
        let facts = self.facts(slot);
        if !self.is_target() {
            return Ok(facts);
        }
        let size = self.length()?;
        Ok(FileFacts { size, ..facts })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Length now.
    pub(crate) fn length(&self) -> Outcome<u64> {
        if self.kind == FileKind::Block {
            return Ok(self.size);
        }
        let stat = fstat(&self.fd)?;
        u64::try_from(stat.st_size).map_err(|_| Errno::OVERFLOW.into())
    }

    /// Bytes of storage that it occupies now.
    pub(crate) fn allocated(&self) -> Outcome<u64> {
        let stat = fstat(&self.fd)?;
        let blocks = u64::try_from(stat.st_blocks).map_err(|_| Errno::OVERFLOW)?;
        Ok(blocks.saturating_mul(512))
    }

    /// The right to read bytes up to `end`.
    pub(crate) fn readable_to(&self, end: u64) -> Outcome<()> {
        match self.window {
            Some(window) if end > window => Err(Errno::ACCESS.into()),
            _ => Ok(()),
        }
    }

    /// The right to change bytes up to `end`, to be held until that is done; notes that the file is touched.
    pub(crate) fn writable_to(&self, end: u64) -> Outcome<Change<'_>> {
        match self.access {
            Access::Read => Err(Errno::BADF.into()),
            Access::Spool { limit } if end > limit => Err(Failure::REFUSED_OUTPUT),
            Access::Spool { .. } => Ok(self.state.pending.change()),
            Access::Write { limit } if end > limit.min(self.farthest()) => Err(Failure::REFUSED_OUTPUT),
            Access::Write { .. } => {
                self.state.touched.store(true, Ordering::Relaxed);
                Ok(self.state.pending.change())
            }
        }
    }

    /// How far it may grow.
    fn farthest(&self) -> u64 {
        !self.state.grown.load(Ordering::Relaxed)
    }

    /// From now on it may grow by so many bytes beyond what it held when it was opened.
    pub(crate) fn may_grow_by(&self, bytes: u64) {
        let farthest = self.size.saturating_add(bytes);
        self.state.grown.store(!farthest, Ordering::Relaxed);
    }

    /// Whether it is a target.
    pub(crate) const fn is_target(&self) -> bool {
        matches!(self.access, Access::Write { .. })
    }

    /// Whether a change was attempted.
    pub(crate) fn is_touched(&self) -> bool {
        self.state.touched.load(Ordering::Relaxed)
    }

    /// File to guest, up to the file's end.
    pub(crate) fn read(
        &self,
        memory: &GuestMemory,
        offset: u64,
        into: GuestRange,
        buffer: &mut Buffer,
    ) -> Outcome<u64> {
        if self.direct.is_none() {
            return Ok(bytes(memory.pread(self.fd(), into, offset)?));
        }
        let mut done = 0;
        while done < into.length {
            let step = (into.length - done).min(Buffer::payload(true));
            let (read, piece) = buffer.fill(self, offset + done, step)?;
            let piece = piece.get(..to_usize(read)).unwrap_or_default();
            memory.write(into.start + done, piece).map_err(|_| Errno::FAULT)?;
            done += read;
            if read < step {
                break;
            }
        }
        Ok(done)
    }

    /// Guest to file, all of it.
    pub(crate) fn write(
        &self,
        memory: &GuestMemory,
        offset: u64,
        from: GuestRange,
        buffer: &mut Buffer,
    ) -> Outcome<()> {
        let _change = self.writable_to(offset + from.length)?;
        if self.direct.is_none() {
            return match memory.pwrite(self.fd(), from, offset) {
                Ok(written) if bytes(written) == from.length => Ok(()),
                // A file that takes no more without saying why.
                Ok(_) => Err(Errno::IO.into()),
                Err(error) => Err(error.into()),
            };
        }
        let mut done = 0;
        while done < from.length {
            let at = offset + done;
            // After the first piece every piece starts on a page of the file.
            let step = (from.length - done).min(Buffer::payload(true) - at % PAGE);
            let piece = buffer.scratch(at % PAGE, step);
            memory.read(from.start + done, piece).map_err(|_| Errno::FAULT)?;
            self.write_from(piece, at)?;
            done += step;
        }
        Ok(())
    }

    /// Host to file, all of it, on the ordinary descriptor but for whole, aligned pages.
    pub(crate) fn write_from(&self, bytes: &[u8], offset: u64) -> Outcome<()> {
        let Some(direct) = &self.direct else {
            return write_all(self.fd(), bytes, offset);
        };
        let head = to_usize(offset.next_multiple_of(PAGE) - offset).min(bytes.len());
        let (head, rest) = bytes.split_at(head);
        let whole = rest.len() - rest.len() % to_usize(PAGE);
        let (whole, tail) = rest.split_at(whole);
        let mut at = offset;
        write_all(self.fd(), head, at)?;
        at += self::bytes(head.len());
        if whole.as_ptr().addr().is_multiple_of(DIRECT_MEMORY) {
            // Stops short where the kernel does; the ordinary descriptor finishes, or says why not.
            let written = match retry_on_intr(|| pwrite(direct, whole, at)) {
                // Blocks larger than our pages.
                Err(Errno::INVAL) => 0,
                other => other?,
            };
            let rest = whole.get(written..).unwrap_or_default();
            write_all(self.fd(), rest, at + self::bytes(written))?;
        } else {
            write_all(self.fd(), whole, at)?;
        }
        at += self::bytes(whole.len());
        write_all(self.fd(), tail, at)
    }

    /// File to host: until `into` is full or the file ends. On a direct file `offset` and `into` are page-aligned.
    pub(crate) fn read_into(&self, into: &mut [u8], offset: u64) -> Outcome<usize> {
        let Some(direct) = &self.direct else {
            return read_all(self.fd(), into, offset);
        };
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let read = match retry_on_intr(|| pread(direct, &mut *rest, offset + bytes(done))) {
                Err(Errno::INVAL) => 0,
                other => other?,
            };
            done += read;
            // What stops inside a page has met the end, or a bad sector, or blocks larger than our pages: the ordinary
            // descriptor knows which.
            if read == 0 || !read.is_multiple_of(to_usize(PAGE)) {
                let rest = into.get_mut(done..).unwrap_or_default();
                return Ok(done + read_all(self.fd(), rest, offset + bytes(done))?);
            }
        }
        Ok(done)
    }

    /// Data on stable storage, if it matters.
    pub(crate) fn flush(&self, stop: &Stop) -> Outcome<()> {
        if !self.durable || !self.is_target() {
            return Ok(());
        }
        self.settle(stop)
    }

    /// Data and length on stable storage. Once it failed it has failed for good: the kernel reports a lost page once and
    /// then takes it for clean.
    pub(crate) fn settle(&self, stop: &Stop) -> Outcome<()> {
        if self.state.flush_failed.load(Ordering::Acquire) {
            return Err(Errno::IO.into());
        }
        self.state.pending.settle(|| {
            self.write_out(stop)?;
            self.sync()
        })
    }

    /// Sends to the disk, in steps, what a flush would otherwise send in one call that nothing can interrupt.
    fn write_out(&self, stop: &Stop) -> Outcome<()> {
        let mut sent = 0..0;
        let sending = stop.in_steps(self.length()?, |at, step| {
            // The disk has the next step to do while the last one is waited for.
            send_range(self.fd(), at, step).map_err(Interrupted::Errno)?;
            let last = std::mem::replace(&mut sent, at..at + step);
            wait_for_range(self.fd(), last.start, last.end - last.start).map_err(Interrupted::Errno)
        });
        let Err(stopped) = sending else {
            return Ok(());
        };
        match stopped.errno() {
            None => Err(stopped.into()),
            // Nothing to send early, or a filesystem that has no such thing: the flush will do it all.
            Some(Errno::INVAL | Errno::SPIPE | Errno::NOSYS | Errno::OPNOTSUPP) => Ok(()),
            // Told once: a later flush would say that all is well.
            Some(_) => {
                self.lost();
                Err(stopped.into())
            }
        }
    }

    fn sync(&self) -> Outcome<()> {
        retry_on_intr(|| rustix::fs::fdatasync(&self.fd)).map_err(|errno| {
            self.lost();
            errno.into()
        })
    }

    /// Notes that bytes which were written did not reach the disk.
    pub(crate) fn lost(&self) {
        self.state.flush_failed.store(true, Ordering::Release);
    }
}

fn read_all(fd: BorrowedFd<'_>, into: &mut [u8], offset: u64) -> Outcome<usize> {
    let mut done = 0;
    while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match retry_on_intr(|| pread(fd, &mut *rest, offset + bytes(done)))? {
            0 => break,
            read => done += read,
        }
    }
    Ok(done)
}

fn write_all(fd: BorrowedFd<'_>, mut from: &[u8], mut offset: u64) -> Outcome<()> {
    while !from.is_empty() {
        let written = retry_on_intr(|| pwrite(fd, from, offset))?;
        if written == 0 {
            return Err(Errno::IO.into());
        }
        from = from.get(written..).unwrap_or_default();
        offset += bytes(written);
    }
    Ok(())
}

/// Widens; on the machines we run on this loses nothing.
pub(crate) fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Narrows what is known to be the size of something in memory.
pub(crate) fn to_usize(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// Unit of direct I/O: a page of the cache, and a multiple of every block size that Linux drives.
pub(crate) const PAGE: u64 = 4096;
/// Alignment of memory for direct I/O; no device asks for more than a sector.
const DIRECT_MEMORY: usize = 512;
