//! Symbols that precompiled code and C code expect: memory functions, malloc, and the rest of an unwinder.

use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

use crate::bytes;

/// # Safety
/// 1. `from` is valid for reads of `length` bytes.
/// 2. `to` is valid for writes of `length` bytes.
/// 3. The ranges do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: 1. to 3. are those of this function.
    unsafe { bytes::copy(to, from, length) };
    to
}

/// # Safety
/// 1. `from` is valid for reads of `length` bytes.
/// 2. `to` is valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: 1. and 2. are those of this function.
    unsafe { bytes::shift(to, from, length) };
    to
}

/// # Safety
/// `to` is valid for writes of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: c_int, length: usize) -> *mut u8 {
    // SAFETY: the duty of `fill` is that of this function. C uses the low byte of the value.
    unsafe { bytes::fill(to, value.to_le_bytes()[0], length) };
    to
}

/// # Safety
/// 1. `left` is valid for reads of `length` bytes.
/// 2. `right` is valid for reads of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, length: usize) -> c_int {
    // SAFETY: 1. and 2. are those of this function.
    unsafe { bytes::compare(left, right, length) }
}

/// # Safety
/// 1. `left` is valid for reads of `length` bytes.
/// 2. `right` is valid for reads of `length` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, length: usize) -> c_int {
    // SAFETY: 1. and 2. are those of this function.
    unsafe { bytes::compare(left, right, length) }
}

/// # Safety
/// `text` is valid for reads up to and including its first zero byte.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: `text` is readable up to its zero byte. Volatile, or the compiler would turn the loop into a call to itself.
    while unsafe { text.wrapping_add(length).read_volatile() } != 0 {
        length = length.wrapping_add(1);
    }
    length
}

/// # Safety
/// The caller has no duties; C code calls this.
#[unsafe(no_mangle)]
unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    allocate(size, HEADER)
}

/// # Safety
/// The caller has no duties; C code calls this.
#[unsafe(no_mangle)]
unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
    let Some(bytes) = count.checked_mul(size) else {
        return null_mut();
    };
    let place = allocate(bytes, HEADER);
    if !place.is_null() {
        // SAFETY: just allocated with this size.
        unsafe { bytes::fill(place.cast(), 0, bytes) };
    }
    place
}

/// # Safety
/// `into` is valid for a write.
#[unsafe(no_mangle)]
unsafe extern "C" fn posix_memalign(into: *mut *mut c_void, alignment: usize, size: usize) -> c_int {
    if !alignment.is_power_of_two() {
        return EINVAL;
    }
    let place = allocate(size, alignment.max(HEADER));
    if place.is_null() {
        return ENOMEM;
    }
    // SAFETY: the caller passes a place that is valid for a write.
    unsafe { into.write(place) };
    0
}

/// # Safety
/// `place` is null, or came from one of the functions here and was not freed.
#[unsafe(no_mangle)]
unsafe extern "C" fn free(place: *mut c_void) {
    if place.is_null() {
        return;
    }
    let header = place.cast::<Header>().wrapping_sub(1);
    // SAFETY: `place` came from `allocate`, which left a header below it.
    let Header { size, alignment } = unsafe { header.read() };
    // SAFETY: these made a layout in `allocate`.
    let layout = unsafe { Layout::from_size_align_unchecked(size, alignment) };
    let start = place.cast::<u8>().wrapping_sub(alignment);
    // SAFETY: this is what `alloc` gave for this layout.
    unsafe { dealloc(start, layout) };
}

/// The header below each allocation, for `free`.
struct Header {
    size: usize,
    alignment: usize,
}

const HEADER: usize = size_of::<Header>();
const EINVAL: c_int = 22;
const ENOMEM: c_int = 12;

/// `size` bytes at a multiple of `alignment`, which is a power of two and at least [`HEADER`].
fn allocate(size: usize, alignment: usize) -> *mut c_void {
    let Some(layout) = size
        .checked_add(alignment)
        .and_then(|whole| Layout::from_size_align(whole, alignment).ok())
    else {
        return null_mut();
    };
    // SAFETY: not empty, since the alignment is part of it.
    let start = unsafe { alloc(layout) };
    if start.is_null() {
        return null_mut();
    }
    let place = start.wrapping_add(alignment);
    let header = Header {
        size: layout.size(),
        alignment,
    };
    // SAFETY: at least one header lies between `start` and `place`, and `place` is aligned for it.
    unsafe { place.cast::<Header>().wrapping_sub(1).write(header) };
    place.cast()
}

/// Never called: nothing here unwinds. The precompiled libraries name it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() -> ! {
    super::last::fault()
}

/// Never called: nothing here unwinds. The precompiled libraries name it.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    super::last::fault()
}

/// C's way to panic.
#[unsafe(no_mangle)]
extern "C" fn abort() -> ! {
    super::last::fault()
}
