//! Counts allocations: the bytes that a thread holds, and the most that it ever held.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, with a count for each thread.
struct Counted;

#[global_allocator]
static ALLOCATOR: Counted = Counted;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

/// Runs `work`; returns its result, and the most bytes that this thread held in addition meanwhile.
pub fn peak<R>(work: impl FnOnce() -> R) -> (R, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let result = work();
    (result, PEAK.get().saturating_sub(before))
}

// What a thread frees but did not allocate makes its count too small for a while, never wrong by more than that.
fn add(bytes: usize) {
    // A thread that ends has no counters any more, and nothing to be measured.
    let held = HELD.try_with(|held| {
        held.set(held.get().saturating_add(bytes));
        held.get()
    });
    let _ = held.and_then(|held| PEAK.try_with(|peak| peak.set(peak.get().max(held))));
}

fn remove(bytes: usize) {
    let _ = HELD.try_with(|held| held.set(held.get().saturating_sub(bytes)));
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counted {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the duties of the caller are those of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the duties of the caller are those of the system's allocator.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        remove(layout.size());
        // SAFETY: `pointer` came from this allocator, that is from the system's, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may both be held while one is copied to the other.
        add(size);
        // SAFETY: `pointer` came from the system's allocator with this layout; the promise about `size` is the caller's.
        let moved = unsafe { System.realloc(pointer, layout, size) };
        remove(layout.size());
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::peak;

    #[test]
    fn sees_memory_that_was_held_and_given_back() {
        let (length, held) = peak(|| vec![1_u8; 1 << 20].len());
        assert_eq!(length, 1 << 20);
        assert!((1 << 20..2 << 20).contains(&held), "{held}");
        let (_, held) = peak(|| ());
        assert_eq!(held, 0);
    }
}
