//! Leaving zeros out of a copy: what the sieve settles is written, or made zero, in as few and large pieces as can be.

use std::ops::Range;

use instar_abi::request::ZeroHow;
use instar_abi::{Sieve, Sparse};

use crate::file::{OpenFile, Outcome, PAGE, bytes, to_usize};
use crate::scan::first_run;
use crate::stop::Stop;
use crate::zero::{write_zeros, zero};

/// Bytes that were read, and where in the target they go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    pub(crate) at: u64,
    pub(crate) bytes: &'a [u8],
}

/// Writes what is data and makes zero what is left out. `note` is told what was written as data.
pub(crate) struct Sifter<'a, N> {
    target: &'a OpenFile,
    /// What is left out reads as zero anyway.
    target_is_zero: bool,
    stop: &'a Stop,
    note: N,
    /// To be written; `zero` follows on it.
    data: Range<u64>,
    zero: Range<u64>,
}

impl<'a, N: FnMut(u64, u64)> Sifter<'a, N> {
    pub(crate) const fn new(target: &'a OpenFile, target_is_zero: bool, stop: &'a Stop, note: N) -> Self {
        Self {
            target,
            target_is_zero,
            stop,
            note,
            data: 0..0,
            zero: 0..0,
        }
    }

    /// The next `length` bytes of the sieve's stretch, which lie in `window`, in cells of at most `cell` bytes.
    pub(crate) fn take(
        &mut self,
        sieve: &mut Sieve,
        sparse: Sparse,
        cell: u64,
        length: u64,
        window: Window<'_>,
    ) -> Outcome<()> {
        let cell = to_usize(sparse.granule().min(cell));
        let from = to_usize(sieve.at() - window.at);
        let mut rest = window
            .bytes
            .get(from..from + to_usize(length))
            .unwrap_or_default();
        while !rest.is_empty() {
            let run = first_run(rest, sieve.at(), cell);
            (_, rest) = rest.split_at(run.length);
            self.feed(sieve, bytes(run.length), run.zero, window)?;
        }
        Ok(())
    }

    /// The next `length` bytes, which need not lie in `window` if they are zero.
    pub(crate) fn feed(
        &mut self,
        sieve: &mut Sieve,
        length: u64,
        is_zero: bool,
        window: Window<'_>,
    ) -> Outcome<()> {
        let mut outcome = Ok(());
        sieve.take(length, is_zero, |range, left_out| {
            if outcome.is_ok() {
                outcome = self.found(range, left_out, window);
            }
        });
        outcome
    }

    /// The stretch ends.
    pub(crate) fn end(&mut self, sieve: Sieve, window: Window<'_>) -> Outcome<()> {
        let mut outcome = Ok(());
        sieve.end(|range, left_out| outcome = self.found(range, left_out, window));
        outcome
    }

    fn found(&mut self, range: Range<u64>, left_out: bool, window: Window<'_>) -> Outcome<()> {
        if left_out {
            if self.zero.end != range.start {
                self.settle()?;
                self.zero.start = range.start;
            }
            self.zero.end = range.end;
            return Ok(());
        }
        let end = self.data.end.max(self.zero.end);
        let goes_on = end == range.start && !self.data.is_empty();
        if !(goes_on && self.zero_fills_no_page()) {
            self.write(window)?;
            self.settle()?;
            self.data.start = range.start;
        }
        self.zero = 0..0;
        self.data.end = range.end;
        Ok(())
    }

    /// Between two pieces of data in one page there is no space to be saved, and one write is cheaper than two.
    fn zero_fills_no_page(&self) -> bool {
        self.zero.is_empty() || self.zero.start.next_multiple_of(PAGE) + PAGE > self.zero.end
    }

    /// Writes the data at hand, before what it stands in is read over. What of it is not in the window is zero: it waited
    /// for data behind it, while other bytes were read.
    pub(crate) fn write(&mut self, window: Window<'_>) -> Outcome<()> {
        let data = std::mem::take(&mut self.data);
        if data.is_empty() {
            return Ok(());
        }
        let inside = window.at.clamp(data.start, data.end);
        write_zeros(self.target, data.start, inside - data.start, self.stop)?;
        if inside < data.end {
            let from = to_usize(inside - window.at);
            let end = from + to_usize(data.end - inside);
            self.target
                .write_from(window.bytes.get(from..end).unwrap_or_default(), inside)?;
        }
        (self.note)(data.start, data.end - data.start);
        Ok(())
    }

    /// Makes zero what is left out.
    fn settle(&mut self) -> Outcome<()> {
        let range = std::mem::take(&mut self.zero);
        if self.target_is_zero || range.is_empty() {
            return Ok(());
        }
        zero(
            self.target,
            range.start,
            range.end - range.start,
            ZeroHow::MayUnmap,
            self.stop,
        )
    }

    /// All is said.
    pub(crate) fn finish(mut self, window: Window<'_>) -> Outcome<()> {
        self.write(window)?;
        self.settle()
    }
}
