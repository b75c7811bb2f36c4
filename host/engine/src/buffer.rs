//! A lane's own buffer: as large as stays in the second-level cache, page-aligned, made at first use.

use crate::file::{OpenFile, Outcome, PAGE, bytes, to_usize};

/// Bytes copied at a time through the page cache: a quarter of a usual second-level cache. Measured, anything from 64 KiB to 2 MiB is as fast: new
/// pages of the page cache cost more than all else.
const PAYLOAD: u64 = 256 << 10;
/// Bytes moved at a time past the page cache, where each piece waits for the device: as long a queue as one call can make.
const DIRECT_PAYLOAD: u64 = 1 << 20;

/// A page-aligned piece of memory.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    start: usize,
    /// A second one, for work on two files at once.
    twin: Option<Box<Self>>,
}

impl Buffer {
    /// Bytes that can be moved at once, whatever their alignment: a power of two.
    pub(crate) const fn payload(direct: bool) -> u64 {
        if direct { DIRECT_PAYLOAD } else { PAYLOAD }
    }

    /// `length` bytes, at most the payload, whose address is `skew` past a page's start; `skew` is less than a page.
    pub(crate) fn scratch(&mut self, skew: u64, length: u64) -> &mut [u8] {
        self.allocate(if length > PAYLOAD + PAGE {
            DIRECT_PAYLOAD
        } else {
            PAYLOAD
        });
        let from = self.start + to_usize(skew);
        self.memory
            .get_mut(from..from + to_usize(length))
            .unwrap_or_default()
    }

    /// The bytes of `file` from `offset` on, `length` of them, at most the payload; past the file's end they are zero.
    /// First, how many come from the file.
    pub(crate) fn fill(&mut self, file: &OpenFile, offset: u64, length: u64) -> Outcome<(u64, &mut [u8])> {
        let skew = if file.direct.is_some() { offset % PAGE } else { 0 };
        let span = if file.direct.is_some() {
            (skew + length).next_multiple_of(PAGE)
        } else {
            length
        };
        let whole = self.scratch(0, span);
        let read = file.read_into(whole, offset - skew)?;
        whole.get_mut(read..).unwrap_or_default().fill(0);
        let payload = whole
            .get_mut(to_usize(skew)..to_usize(skew + length))
            .unwrap_or_default();
        Ok((bytes(read).saturating_sub(skew).min(length), payload))
    }

    /// A second buffer, to be given back by [`Buffer::return_twin`].
    pub(crate) fn take_twin(&mut self) -> Box<Self> {
        self.twin.take().unwrap_or_default()
    }

    pub(crate) fn return_twin(&mut self, twin: Box<Self>) {
        self.twin = Some(twin);
    }

    fn allocate(&mut self, payload: u64) {
        // Skewed at the front and rounded up at the end: two pages more; one for the alignment itself.
        let needed = to_usize(payload + 3 * PAGE);
        if self.memory.len() < needed {
            self.memory = vec![0; needed];
            self.start = self.memory.as_ptr().align_offset(to_usize(PAGE));
        }
    }
}
