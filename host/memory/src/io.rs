//! File bytes straight into guest memory and out of it.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use instar_abi::request::GuestRange;

use crate::word::interrupted;
use crate::{GuestMemory, OutOfBounds};

impl GuestMemory {
    /// Reads from `file` at byte `offset` until `into` is full or the file ends; gives the bytes read.
    ///
    /// # Errors
    /// Errors of the system; `InvalidInput` if `into` is out of bounds or the offset is not a file offset.
    pub fn pread(&self, file: BorrowedFd<'_>, into: GuestRange, offset: u64) -> io::Result<usize> {
        self.transfer(into, offset, Self::pointer_for_writing, |pointer, length, at| {
            // SAFETY: `pointer` is good for `length` bytes; the kernel writes them past Rust, which holds no reference.
            unsafe { libc::pread(file.as_raw_fd(), pointer.cast(), length, at) }
        })
    }

    /// Writes `from` to `file` at byte `offset` until all is written or the file takes no more; gives the bytes written.
    ///
    /// # Errors
    /// Errors of the system; `InvalidInput` if `from` is out of bounds or the offset is not a file offset.
    pub fn pwrite(&self, file: BorrowedFd<'_>, from: GuestRange, offset: u64) -> io::Result<usize> {
        self.transfer(from, offset, Self::pointer, |pointer, length, at| {
            // SAFETY: `pointer` is good for `length` bytes; the kernel reads them past Rust, which holds no reference.
            unsafe { libc::pwrite(file.as_raw_fd(), pointer.cast(), length, at) }
        })
    }

    /// Reads once from a stream; gives the bytes read, 0 at its end.
    ///
    /// # Errors
    /// Errors of the system; `InvalidInput` if `into` is out of bounds.
    pub fn receive(&self, stream: BorrowedFd<'_>, into: GuestRange) -> io::Result<usize> {
        self.once(into, Self::pointer_for_writing, |pointer, length| {
            // SAFETY: `pointer` is good for `length` bytes; the kernel writes them past Rust, which holds no reference.
            unsafe { libc::read(stream.as_raw_fd(), pointer.cast(), length) }
        })
    }

    /// Writes once to a stream; gives the bytes written.
    ///
    /// # Errors
    /// Errors of the system; `InvalidInput` if `from` is out of bounds.
    pub fn send(&self, stream: BorrowedFd<'_>, from: GuestRange) -> io::Result<usize> {
        self.once(from, Self::pointer, |pointer, length| {
            // SAFETY: `pointer` is good for `length` bytes; the kernel reads them past Rust, which holds no reference.
            unsafe { libc::write(stream.as_raw_fd(), pointer.cast(), length) }
        })
    }

    /// One call that moves bytes, made again for as long as it is interrupted before the first. (It never waits, so it is not for long.)
    fn once(
        &self,
        range: GuestRange,
        place: impl Fn(&Self, u64, usize) -> Result<*mut u8, OutOfBounds>,
        call: impl Fn(*mut u8, usize) -> isize,
    ) -> io::Result<usize> {
        let length = usize::try_from(range.length).map_err(|_| OutOfBounds {
            at: range.start,
            length: range.length,
        })?;
        let pointer = place(self, range.start, length)?;
        loop {
            match usize::try_from(call(pointer, length)) {
                Ok(moved) => return Ok(moved.min(length)),
                Err(_) if interrupted() => {}
                Err(_) => return Err(io::Error::last_os_error()),
            }
        }
    }

    fn transfer(
        &self,
        range: GuestRange,
        offset: u64,
        place: impl Fn(&Self, u64, usize) -> Result<*mut u8, OutOfBounds>,
        call: impl Fn(*mut u8, usize, libc::off_t) -> isize,
    ) -> io::Result<usize> {
        let outside = OutOfBounds {
            at: range.start,
            length: range.length,
        };
        let whole = usize::try_from(range.length).map_err(|_| outside)?;
        let start = place(self, range.start, whole)?;
        let mut done = 0_usize;
        while let Some(left) = whole.checked_sub(done).filter(|left| *left > 0) {
            let at = u64::try_from(done)
                .ok()
                .and_then(|done| offset.checked_add(done))
                .and_then(|at| libc::off_t::try_from(at).ok())
                .ok_or(io::ErrorKind::InvalidInput)?;
            // Good for `left` bytes: `start` is good for `whole`.
            let pointer = start.wrapping_add(done);
            match usize::try_from(call(pointer, left, at)) {
                Ok(0) => break,
                // The kernel moves no more than it was asked to.
                Ok(moved) => done = done.saturating_add(moved.min(left)),
                Err(_) if interrupted() => {}
                Err(_) => return Err(io::Error::last_os_error()),
            }
        }
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsFd;

    fn temporary() -> File {
        rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC)
            .unwrap()
            .into()
    }

    #[test]
    fn a_read_is_short_at_the_files_end() {
        let memory = GuestMemory::private(8192).unwrap();
        let mut file = temporary();
        file.write_all(b"0123456789").unwrap();
        let into = GuestRange {
            start: 4000,
            length: 100,
        };
        assert_eq!(memory.pread(file.as_fd(), into, 4).unwrap(), 6);
        let mut bytes = [0; 7];
        memory.read(4000, &mut bytes).unwrap();
        assert_eq!(&bytes, b"456789\0");
        assert_eq!(memory.pread(file.as_fd(), into, 10).unwrap(), 0);
    }

    #[test]
    fn a_write_lands_at_its_offset() {
        let memory = GuestMemory::shared(8192).unwrap();
        memory.write(1, b"guest bytes").unwrap();
        let mut file = temporary();
        let from = GuestRange { start: 1, length: 11 };
        assert_eq!(memory.pwrite(file.as_fd(), from, 3).unwrap(), 11);
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"\0\0\0guest bytes");
    }

    #[test]
    fn refuses_ranges_and_offsets_that_do_not_exist() {
        let memory = GuestMemory::private(4096).unwrap();
        let file = temporary();
        for (start, length) in [(4095, 2), (0, 4097), (u64::MAX, 1), (1, u64::MAX)] {
            let range = GuestRange { start, length };
            assert!(memory.pread(file.as_fd(), range, 0).is_err());
            assert!(memory.pwrite(file.as_fd(), range, 0).is_err());
        }
        let range = GuestRange { start: 0, length: 1 };
        assert!(memory.pread(file.as_fd(), range, u64::MAX).is_err());
    }
}
