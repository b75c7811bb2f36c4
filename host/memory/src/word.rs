//! Single words of guest memory: read, written, waited for.

use std::io;
use std::ptr;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use crate::{GuestMemory, OutOfBounds};

impl GuestMemory {
    /// Reads the 32-bit word at `at`, which is 4-aligned. What the guest wrote before it is visible afterwards.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for a place that is not aligned.
    pub fn load_u32(&self, at: u64) -> Result<u32, OutOfBounds> {
        let word = self.word(at)?;
        // SAFETY: aligned and in bounds; volatile, so that concurrent change is seen and nothing is assumed.
        let value = unsafe { ptr::read_volatile(word) };
        fence(Ordering::Acquire);
        Ok(value)
    }

    /// Writes the 32-bit word at `at`, which is 4-aligned. What was written to guest memory before it is visible
    /// to a guest that sees the word, and the word itself before anything this thread reads afterwards.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for a place that is not aligned.
    pub fn store_u32(&self, at: u64, value: u32) -> Result<(), OutOfBounds> {
        let word = self.word(at)?;
        fence(Ordering::Release);
        // SAFETY: aligned and in bounds; no Rust reference to it exists.
        unsafe { ptr::write_volatile(word, value) };
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Sleeps while the word at `at` is `expected`, at most for `timeout`. May return early: after a wake, after a signal, or
    /// for no reason. It never sleeps longer than [`crate::LONGEST`], so a thread that waits on behalf of a guest notices
    /// the end of the run even if the signal for it came just before the sleep.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for a place that is not aligned.
    pub fn futex_wait(&self, at: u64, expected: u32, timeout: Option<Duration>) -> Result<(), OutOfBounds> {
        let word = self.word(at)?;
        let limit = timeout.map_or(LONGEST, |timeout| timeout.min(LONGEST));
        let limit = libc::timespec {
            tv_sec: 0,
            tv_nsec: libc::c_long::from(limit.subsec_nanos()),
        };
        let operation = libc::FUTEX_WAIT | self.futex_scope();
        // SAFETY: the word is aligned and mapped, the kernel alone reads it; `limit` outlives the call.
        unsafe { libc::syscall(libc::SYS_futex, word, operation, expected, &raw const limit) };
        Ok(())
    }

    /// Wakes at most `count` of those that wait for the word at `at`. Gives how many there were.
    ///
    /// # Errors
    /// [`OutOfBounds`], also for a place that is not aligned.
    pub fn futex_wake(&self, at: u64, count: u32) -> Result<u32, OutOfBounds> {
        let word = self.word(at)?;
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        let operation = libc::FUTEX_WAKE | self.futex_scope();
        // SAFETY: the word is aligned and mapped; waking reads nothing and writes nothing.
        let woken = unsafe { libc::syscall(libc::SYS_futex, word, operation, count) };
        Ok(u32::try_from(woken).unwrap_or(0))
    }

    fn word(&self, at: u64) -> Result<*mut u32, OutOfBounds> {
        let pointer = self.pointer(at, size_of::<u32>())?;
        if at.is_multiple_of(4) {
            return Ok(pointer.cast());
        }
        Err(OutOfBounds { at, length: 4 })
    }

    fn futex_scope(&self) -> libc::c_int {
        if self.is_shared() {
            0
        } else {
            libc::FUTEX_PRIVATE_FLAG
        }
    }
}

/// The longest sleep. Ours: half of the 100 ms in which a cancelled run has to end.
pub const LONGEST: Duration = Duration::from_millis(50);

/// Kept from the caller of an I/O call that was interrupted: it is simply repeated.
pub(crate) fn interrupted() -> bool {
    io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn refuses_words_outside_or_unaligned() {
        let memory = GuestMemory::private(4096).unwrap();
        for at in [1, 2, 3, 4093, 4096, u64::MAX] {
            assert!(memory.load_u32(at).is_err());
            assert!(memory.store_u32(at, 0).is_err());
            assert!(memory.futex_wait(at, 0, None).is_err());
            assert!(memory.futex_wake(at, 1).is_err());
        }
        memory.store_u32(4092, 7).unwrap();
        assert_eq!(memory.load_u32(4092), Ok(7));
    }

    #[test]
    fn a_waiter_is_woken_by_the_word_that_changes() {
        for memory in [GuestMemory::private(4096), GuestMemory::shared(4096)] {
            let memory = memory.unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while memory.load_u32(64) == Ok(0) {
                        memory.futex_wait(64, 0, None).unwrap();
                    }
                    memory.store_u32(128, 1).unwrap();
                });
                std::thread::sleep(Duration::from_millis(10));
                memory.store_u32(64, 1).unwrap();
                memory.futex_wake(64, u32::MAX).unwrap();
            });
            assert_eq!(memory.load_u32(128), Ok(1));
        }
    }

    #[test]
    fn a_wait_ends_with_its_time() {
        let memory = GuestMemory::private(4096).unwrap();
        let start = Instant::now();
        memory.futex_wait(0, 0, Some(Duration::from_millis(20))).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(15));
        memory.futex_wait(0, 1, None).unwrap();
    }
}
