//! The mapping, and copies in and out of it.

use std::arch::asm;
use std::io;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::OnceLock;

use instar_abi::layout::{BASE, HEAP, MAX_BYTES, PAGE};

/// The memory of one guest, mapped into this process as well.
///
/// Unmapped when dropped: no vCPU and no other user of [`GuestMemory::as_ptr`] may be left by then.
#[derive(Debug)]
pub struct GuestMemory {
    start: NonNull<u8>,
    length: usize,
    shared: bool,
    /// Where bytes may be copied in, once that is said: before it, everywhere.
    writable: OnceLock<Vec<Range<u64>>>,
}

// SAFETY: the pointer is to a mapping that belongs to this value alone, not to the thread that made it.
unsafe impl Send for GuestMemory {}
// SAFETY: every access goes through raw copies and volatile words that tolerate concurrent change.
unsafe impl Sync for GuestMemory {}

/// A range of guest memory that does not lie inside guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfBounds {
    /// First byte asked for, from the start of guest memory.
    pub at: u64,
    /// Bytes asked for.
    pub length: u64,
}

impl std::fmt::Display for OutOfBounds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} bytes at {:#x} of guest memory lie outside of it",
            self.length, self.at
        )
    }
}

impl std::error::Error for OutOfBounds {}

impl From<OutOfBounds> for io::Error {
    fn from(error: OutOfBounds) -> Self {
        Self::new(io::ErrorKind::InvalidInput, error)
    }
}

impl GuestMemory {
    /// Memory that only this process sees: for a virtual machine.
    ///
    /// # Errors
    /// Errors of the system if address space runs out; `InvalidInput` if the size is not a multiple of a page or is too large.
    pub fn private(bytes: u64) -> io::Result<Self> {
        let memory = Self::map(bytes, libc::MAP_PRIVATE)?;
        if let Some(huge) = HUGE_FROM.checked_sub(BASE)
            && huge < bytes
        {
            // Huge pages are a matter of speed; a kernel without them refuses.
            memory.advise(huge, bytes.saturating_sub(huge), libc::MADV_HUGEPAGE);
        }
        Ok(memory)
    }

    /// Memory that children forked from now on share: for a confined process.
    ///
    /// # Errors
    /// As [`GuestMemory::private`].
    pub fn shared(bytes: u64) -> io::Result<Self> {
        Self::map(bytes, libc::MAP_SHARED)
    }

    /// Bytes of guest memory.
    #[must_use]
    pub fn len(&self) -> u64 {
        u64::try_from(self.length).unwrap_or(u64::MAX)
    }

    /// Never: a guest has memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The first byte, in this process's address space. Aligned to 2 MiB.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    /// Copies bytes of the guest's out.
    ///
    /// # Errors
    /// [`OutOfBounds`]; nothing was copied.
    pub fn read(&self, at: u64, into: &mut [u8]) -> Result<(), OutOfBounds> {
        let from = self.pointer(at, into.len())?;
        // SAFETY: 1. `pointer` has judged `from`, and `into` is a slice of that length; 2. and 3. no Rust object lies in the mapping.
        unsafe { copy(from, into.as_mut_ptr(), into.len()) };
        Ok(())
    }

    /// Copies bytes in.
    ///
    /// # Errors
    /// [`OutOfBounds`]; nothing was copied.
    pub fn write(&self, at: u64, from: &[u8]) -> Result<(), OutOfBounds> {
        let into = self.pointer_for_writing(at, from.len())?;
        // SAFETY: 1. `pointer_for_writing` has judged `into`, and `from` is a slice of that length; 2. and 3. no Rust object lies in the
        // mapping.
        unsafe { copy(from.as_ptr(), into, from.len()) };
        Ok(())
    }

    /// From now on, bytes are copied in only at these places, which the guest itself may write to: a write on behalf of the guest
    /// bypasses its page protection.
    pub fn seal(&self, writable: Vec<Range<u64>>) {
        let _ = self.writable.set(writable);
    }

    /// Whether bytes may be copied to this place.
    #[must_use]
    pub fn may_be_written(&self, at: u64, length: u64) -> bool {
        let within = |range: &Range<u64>| {
            let end = at.checked_add(length);
            range.start <= at && end.is_some_and(|end| end <= range.end)
        };
        length == 0 || self.writable.get().is_none_or(|places| places.iter().any(within))
    }

    /// Whether futexes in it are seen by other processes.
    pub(crate) fn is_shared(&self) -> bool {
        self.shared
    }

    /// A pointer that is good for `length` bytes.
    pub(crate) fn pointer(&self, at: u64, length: usize) -> Result<*mut u8, OutOfBounds> {
        let refused = OutOfBounds {
            at,
            length: u64::try_from(length).unwrap_or(u64::MAX),
        };
        let offset = usize::try_from(at).map_err(|_| refused)?;
        let end = offset.checked_add(length).ok_or(refused)?;
        if end > self.length {
            return Err(refused);
        }
        Ok(self.start.as_ptr().wrapping_add(offset))
    }

    /// The same, for bytes that are to be copied in.
    pub(crate) fn pointer_for_writing(&self, at: u64, length: usize) -> Result<*mut u8, OutOfBounds> {
        let bytes = u64::try_from(length).unwrap_or(u64::MAX);
        if !self.may_be_written(at, bytes) {
            return Err(OutOfBounds { at, length: bytes });
        }
        self.pointer(at, length)
    }

    fn map(bytes: u64, sharing: libc::c_int) -> io::Result<Self> {
        if bytes == 0 || !bytes.is_multiple_of(PAGE) || bytes > MAX_BYTES {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let length = usize::try_from(bytes).map_err(|_| io::ErrorKind::InvalidInput)?;
        // One huge page too many, so that an aligned start lies inside; the rest is given back.
        let reserved = length.checked_add(HUGE).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a fresh mapping at an address of the kernel's choice touches nothing that exists.
        let raw = unsafe {
            libc::mmap(
                ptr::null_mut(),
                reserved,
                libc::PROT_READ | libc::PROT_WRITE,
                sharing | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if raw == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let raw = raw.cast::<u8>();
        let before = raw.align_offset(HUGE);
        let after = HUGE.saturating_sub(before);
        // All of this is inside the reservation: `before` is less than HUGE.
        let start = raw.wrapping_add(before);
        let end = start.wrapping_add(length);
        unmap(raw, before);
        unmap(end, after);
        let start = NonNull::new(start).ok_or(io::ErrorKind::OutOfMemory)?;
        let memory = Self {
            start,
            length,
            shared: sharing == libc::MAP_SHARED,
            writable: OnceLock::new(),
        };
        memory.advise(0, bytes, libc::MADV_DONTDUMP);
        Ok(memory)
    }

    /// Gives a hint to the kernel, which may refuse it.
    fn advise(&self, at: u64, length: u64, advice: libc::c_int) {
        let Ok(length) = usize::try_from(length) else {
            return;
        };
        if let Ok(start) = self.pointer(at, length) {
            // SAFETY: the range lies in our own mapping, and neither advice changes its content.
            unsafe { libc::madvise(start.cast(), length, advice) };
        }
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        unmap(self.start.as_ptr(), self.length);
    }
}

/// Gives `length` bytes of our own mapping back.
fn unmap(start: *mut u8, length: usize) {
    if length > 0 {
        // SAFETY: only called on ranges that `map` obtained and nothing else uses.
        unsafe { libc::munmap(start.cast(), length) };
    }
}

/// Copies bytes of which one side may change at any moment.
///
/// A plain copy would be a data race in Rust's eyes; machine code is not.
///
/// # Safety
/// 1. Both pointers are good for `length` bytes.
/// 2. The ranges do not overlap.
/// 3. No Rust reference to the guest's side exists.
unsafe fn copy(from: *const u8, into: *mut u8, length: usize) {
    // SAFETY: 1. and 2. are what the instruction needs, and 3. keeps Rust from assuming what it moves; the direction flag is clear by the
    // ABI.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") length => _,
            inout("rsi") from => _,
            inout("rdi") into => _,
            options(nostack, preserves_flags),
        );
    }
}

/// A huge page.
const HUGE: usize = 2 << 20;

/// Guest address from which huge pages pay. The heap's first piece has ordinary ones: a small verb touches a dozen of
/// them, and clearing 2 MiB would cost it more than those faults.
const HUGE_FROM: u64 = HEAP + (2 << 20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_written_are_read_back_at_both_ends() {
        for memory in [GuestMemory::private(4 << 20), GuestMemory::shared(4 << 20)] {
            let memory = memory.unwrap();
            assert_eq!(memory.as_ptr().align_offset(HUGE), 0);
            memory.write(0, b"first").unwrap();
            memory.write((4 << 20) - 4, b"last").unwrap();
            let mut bytes = [0; 5];
            memory.read(0, &mut bytes).unwrap();
            assert_eq!(&bytes, b"first");
            let mut bytes = [0; 4];
            memory.read((4 << 20) - 4, &mut bytes).unwrap();
            assert_eq!(&bytes, b"last");
        }
    }

    #[test]
    fn refuses_every_range_that_leaves_memory() {
        let memory = GuestMemory::private(1 << 20).unwrap();
        let mut bytes = [0; 16];
        for at in [(1 << 20) - 15, 1 << 20, u64::MAX, u64::MAX - 15, 1 << 63] {
            assert_eq!(memory.read(at, &mut bytes), Err(OutOfBounds { at, length: 16 }));
            assert_eq!(memory.write(at, &bytes), Err(OutOfBounds { at, length: 16 }));
        }
        assert_eq!(memory.read(1 << 20, &mut []), Ok(()));
    }

    #[test]
    fn refuses_invalid_sizes_of_guest_memory() {
        for bytes in [0, 1, 4097, MAX_BYTES + PAGE, u64::MAX] {
            assert_eq!(
                GuestMemory::private(bytes).unwrap_err().kind(),
                io::ErrorKind::InvalidInput
            );
        }
    }

    #[test]
    fn the_reservation_is_trimmed_to_what_was_asked_for() {
        let size = || -> u64 {
            let text = std::fs::read_to_string("/proc/self/maps").unwrap();
            text.lines()
                .filter_map(|line| {
                    let (from, to) = line.split_whitespace().next()?.split_once('-')?;
                    Some(u64::from_str_radix(to, 16).ok()? - u64::from_str_radix(from, 16).ok()?)
                })
                .sum()
        };
        let memory = GuestMemory::shared(512 << 20).unwrap();
        let with = size();
        drop(memory);
        let without = size();
        // Other tests map and unmap meanwhile, but nothing of this size.
        assert!(
            with.abs_diff(without).abs_diff(512 << 20) < 64 << 20,
            "{with} {without}"
        );
    }
}
