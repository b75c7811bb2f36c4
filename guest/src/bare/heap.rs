//! The allocator: talc over the heap of the layout, behind a lock whose waiters sleep.
//!
//! The heap grows by doubling, so that a small verb touches the first pages only and never the far end. What talc cannot
//! give when memory is used up comes from a small reserve, but only while a lane says its last words.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use instar_abi::layout::HEAP;
use talc::DefaultBinning;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;

use super::doorbell;

#[global_allocator]
static ALLOCATOR: Heap = Heap {
    gate: AtomicU32::new(FREE),
    talc: UnsafeCell::new(Talc::new(Grow { end: None, limit: 0 })),
};

/// Bytes of the last request that could not be met; 0 while all were.
static REFUSED: AtomicUsize = AtomicUsize::new(0);
/// Set when the reserve may be used.
static DYING: AtomicBool = AtomicBool::new(false);

/// First piece of the heap, on ordinary pages.
const FIRST: usize = 2 << 20;

const FREE: u32 = 0;
const HELD: u32 = 1;
const HELD_WITH_WAITERS: u32 = 2;

/// Gives the allocator everything from the layout's heap to `limit`. Nothing can be allocated before.
pub(super) fn open(limit: u64) {
    ALLOCATOR.with(|talc| talc.source.limit = limit as usize);
}

/// Bytes of the request that could not be met, if there was one.
pub(super) fn refused() -> usize {
    REFUSED.load(Ordering::Relaxed)
}

/// From now on small requests are met from the reserve when nothing else is left.
pub(super) fn open_reserve() {
    DYING.store(true, Ordering::Relaxed);
}

/// Extends the one heap at its end.
#[derive(Debug)]
struct Grow {
    end: Option<NonNull<u8>>,
    limit: usize,
}

// SAFETY: `acquire` uses nothing but the `talc` it is given, and says Ok only when the heap has grown.
unsafe impl Source for Grow {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        let start = HEAP as usize;
        let limit = talc.source.limit;
        let Some(end) = talc.source.end else {
            let first = FIRST.min(limit.saturating_sub(start));
            let place = core::ptr::with_exposed_provenance_mut(start);
            // SAFETY: the first piece of the heap is mapped, and nothing else uses it.
            talc.source.end = unsafe { talc.claim(place, first) };
            return talc.source.end.map(|_| ()).ok_or(());
        };
        let here = end.as_ptr().addr();
        let wanted = layout.size().saturating_add(layout.align()).saturating_add(FIRST);
        let grown = here
            .saturating_add(wanted.max(here.saturating_sub(start)))
            .min(limit);
        if grown <= here {
            return Err(());
        }
        // SAFETY: `end` is the current end of the heap; memory up to `limit` is mapped, and nothing else uses it.
        let new = unsafe { talc.extend(end, end.as_ptr().with_addr(grown)) };
        talc.source.end = Some(new);
        if new == end { Err(()) } else { Ok(()) }
    }
}

struct Heap {
    gate: AtomicU32,
    talc: UnsafeCell<Talc<Grow, DefaultBinning>>,
}

// SAFETY: `talc` is reached through `with` only, by one lane at a time.
unsafe impl Sync for Heap {}

impl Heap {
    fn with<R>(&self, work: impl FnOnce(&mut Talc<Grow, DefaultBinning>) -> R) -> R {
        if self
            .gate
            .compare_exchange(FREE, HELD, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            // Sleeping uses this lane's mailbox, so nothing allocates between filling a mailbox and ringing.
            while self.gate.swap(HELD_WITH_WAITERS, Ordering::Acquire) != FREE {
                doorbell::wait(&self.gate, HELD_WITH_WAITERS);
            }
        }
        // SAFETY: the gate is held, so this is the only reference.
        let result = work(unsafe { &mut *self.talc.get() });
        if self.gate.swap(FREE, Ordering::Release) == HELD_WITH_WAITERS {
            doorbell::wake(&self.gate);
        }
        result
    }
}

// SAFETY: talc is an allocator; the reserve hands out each byte once.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout is not empty.
        let place = self.with(|talc| unsafe { talc.allocate(layout) });
        if let Some(place) = place {
            return place.as_ptr();
        }
        REFUSED.store(layout.size(), Ordering::Relaxed);
        if DYING.load(Ordering::Relaxed) {
            return RESERVE.take(layout);
        }
        null_mut()
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if RESERVE.owns(place) {
            return;
        }
        // SAFETY: the caller's pointer came from `alloc` with this layout.
        self.with(|talc| unsafe { talc.deallocate(place, layout) });
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let ours = !RESERVE.owns(place);
        // SAFETY: the caller's pointer came from `alloc` with this layout, and `size` is not zero.
        if ours && self.with(|talc| unsafe { talc.try_realloc_in_place(place, layout, size) }) {
            return place;
        }
        // SAFETY: the caller vouches that `size`, rounded up to the alignment, does not overflow.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: not empty.
        let new = unsafe { self.alloc(wanted) };
        if !new.is_null() {
            // SAFETY: both are good for the smaller of the two sizes, and they are distinct allocations.
            unsafe { core::ptr::copy_nonoverlapping(place, new, layout.size().min(size)) };
            // SAFETY: the caller's pointer came from `alloc` with this layout.
            unsafe { self.dealloc(place, layout) };
        }
        new
    }
}

static RESERVE: Reserve = Reserve {
    used: AtomicUsize::new(0),
    bytes: UnsafeCell::new([0; RESERVE_BYTES]),
};

/// Enough to serialise a failure report several times over.
const RESERVE_BYTES: usize = 16 << 10;

/// Bytes that are handed out once and never come back.
struct Reserve {
    used: AtomicUsize,
    bytes: UnsafeCell<[u8; RESERVE_BYTES]>,
}

// SAFETY: `used` hands each byte to one caller.
unsafe impl Sync for Reserve {}

impl Reserve {
    fn take(&self, layout: Layout) -> *mut u8 {
        let start = self.bytes.get().cast::<u8>();
        let needed = layout.size().saturating_add(layout.align());
        let used = self.used.fetch_add(needed, Ordering::Relaxed);
        if used.saturating_add(needed) > RESERVE_BYTES {
            return null_mut();
        }
        let place = start.wrapping_add(used);
        place.wrapping_add(place.align_offset(layout.align()))
    }

    fn owns(&self, place: *mut u8) -> bool {
        place.addr().wrapping_sub(self.bytes.get().addr()) < RESERVE_BYTES
    }
}
