//! Compressed data on its way to other places: as many pieces to a cluster as fit, wherever they began before.
//!
//! ```text
//!  before  │····aaaaaab│bbbbc····│   after  │aaaaaabbbb│bc········│
//! ```
//!
//! Pieces that followed one another do so afterwards: they may share a sector. Each stands as far into a sector as before, so that its
//! entry says the same of its length.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::fault::compact as faults;
use instar_disk::{Budget, Fault, Result, align_down, align_up};

use super::copying::{Copying, Piece};
use super::holes::Holes;
use super::moves::Stream;
use super::survey::Survey;
use crate::edit::ledger::Ledger;
use crate::entry::compressed_range;
use crate::layout::SECTOR;
use crate::num::{add, shl, shr, sub};
use crate::packed;
use crate::raw::entry;

/// All that end in clusters of the window, in order. It becomes smaller if they are too many to be held.
///
/// # Errors
/// `STREAMS`; the host's.
pub(super) fn of_window(survey: &Survey<'_>, window: &mut Range<u64>) -> Result<Vec<Stream>> {
    if survey.streams.is_empty() {
        return Ok(Vec::new());
    }
    let mut budget = Budget::new(survey.file);
    loop {
        if let Some(found) = gather(survey, window, &mut budget)? {
            return Ok(found);
        }
        let clusters = sub(window.end, window.start)?;
        if clusters <= 1 {
            let offset = shl(window.start, survey.layout.cluster_bits())?;
            let most = instar_disk::from_usize(HELD);
            return Err(Fault::new(faults::STREAMS)
                .with([offset, most])
                .in_file(survey.file.slot()));
        }
        window.end = add(window.start, clusters / 2)?;
        budget.one_pass_more();
    }
}

/// As [`of_window`]; none if they are too many.
fn gather(survey: &Survey<'_>, window: &Range<u64>, budget: &mut Budget<'_>) -> Result<Option<Vec<Stream>>> {
    let bits = survey.layout.cluster_bits();
    let step = if survey.layout.extended_l2() { 2 } else { 1 };
    let mut found: Vec<Stream> = Vec::new();
    let mut full = false;
    survey.each(budget, &mut |table| {
        for word in table.words.iter().step_by(step) {
            let word = word.get();
            if full || word & entry::COMPRESSED == 0 {
                continue;
            }
            let (offset, end) = compressed_range(bits, word);
            if window.contains(&shr(end.saturating_sub(1), bits)) {
                found.push(Stream {
                    offset,
                    end,
                    times: 1,
                    to: 0,
                });
            }
            if found.len() >= HELD {
                merge(&mut found);
                full = found.len() >= HELD / 2;
            }
        }
        Ok(())
    })?;
    if full {
        return Ok(None);
    }
    merge(&mut found);
    Ok(Some(found))
}

/// Puts them in order, and those that many entries lead to into one.
fn merge(found: &mut Vec<Stream>) {
    found.sort_unstable_by_key(|stream| (stream.offset, stream.end));
    found.dedup_by(|next, kept| {
        let same = (next.offset, next.end) == (kept.offset, kept.end);
        if same {
            kept.times = kept.times.saturating_add(next.times);
        }
        same
    });
}

/// Places for streams.
pub(super) struct Packer<'a, 'l, 'h> {
    holes: &'a mut Holes,
    ledger: &'l mut Ledger<'h>,
    /// Bytes that are free, and of one piece.
    room: Range<u64>,
    /// The stream that was placed last.
    last: Option<Stream>,
    /// The cluster that it ends in, and how often that is to be counted.
    counted: (u64, u64),
}

impl<'a, 'l, 'h> Packer<'a, 'l, 'h> {
    pub(super) fn new(holes: &'a mut Holes, ledger: &'l mut Ledger<'h>) -> Self {
        Self {
            holes,
            ledger,
            room: 0..0,
            last: None,
            counted: (0, 0),
        }
    }

    /// Gives each stream a place, and leaves those out for which there is none.
    pub(super) fn pack(mut self, streams: Vec<Stream>) -> Result<Vec<Stream>> {
        let mut packed = Vec::new();
        for stream in streams {
            if let Some(placed) = self.place(stream)? {
                packed.push(placed);
            }
        }
        Ok(packed)
    }

    fn place(&mut self, stream: Stream) -> Result<Option<Stream>> {
        let bits = self.ledger.layout.cluster_bits();
        let most = packed::limit(self.ledger.layout.refcount_order());
        let length = stream.end.saturating_sub(stream.offset);
        let mut to = self.next_to_last(&stream)?;
        loop {
            let (cluster, times) = self.counted;
            let crowded = shr(to, bits) == cluster && times.saturating_add(stream.times) > most;
            if crowded {
                to = add(shl(add(cluster, 1)?, bits)?, stream.offset % SECTOR)?;
            }
            if self.room.start <= to && add(to, length)? <= self.room.end {
                break;
            }
            let Some(run) = self.holes.some(self.ledger, 1)? else {
                return Ok(None);
            };
            let run = shl(run.start, bits)?..shl(run.end, bits)?;
            if run.start == self.room.end {
                self.room.end = run.end;
            } else {
                self.room = run;
                to = add(self.room.start, stream.offset % SECTOR)?;
            }
        }
        let placed = Stream { to, ..stream };
        let clusters = placed.clusters(bits)?;
        let ends_in = clusters.end.saturating_sub(1);
        let before = if ends_in == self.counted.0 {
            self.counted.1
        } else {
            0
        };
        self.counted = (ends_in, before.saturating_add(stream.times));
        self.last = Some(placed);
        Ok(Some(placed))
    }

    /// Where it goes if there is room.
    fn next_to_last(&self, stream: &Stream) -> Result<u64> {
        let within = stream.offset % SECTOR;
        let Some(last) = self.last else {
            return add(self.room.start, within);
        };
        let apart = stream.offset.saturating_sub(last.offset);
        if stream.offset < add(last.end, SECTOR)? {
            return add(last.to, apart);
        }
        let end = align_up(add(last.to, last.end.saturating_sub(last.offset))?, SECTOR)?;
        add(end, within)
    }
}

impl Stream {
    /// The clusters that it is in, afterwards.
    pub(super) fn clusters(&self, bits: u32) -> Result<Range<u64>> {
        let end = add(self.to, self.end.saturating_sub(self.offset))?;
        Ok(shr(self.to, bits)..add(shr(end.saturating_sub(1), bits), 1)?)
    }

    /// The clusters that it was in.
    pub(super) fn old_clusters(&self, bits: u32) -> Result<Range<u64>> {
        Ok(shr(self.offset, bits)..add(shr(self.end.saturating_sub(1), bits), 1)?)
    }
}

/// Copies the bytes of streams, from the first sector of each to the last.
pub(super) fn copy(streams: &[Stream], copying: &mut Copying<'_, '_>) -> Result<()> {
    let mut piece: Option<Piece> = None;
    for stream in streams {
        let (from, to) = (align_down(stream.offset, SECTOR), align_down(stream.to, SECTOR));
        let length = stream.end.saturating_sub(from);
        match &mut piece {
            Some(piece)
                if from.checked_sub(piece.from) == to.checked_sub(piece.to)
                    && from >= piece.from
                    && from <= piece.from.saturating_add(piece.length) =>
            {
                piece.length = piece.length.max(sub(stream.end, piece.from)?);
            }
            _ => {
                if let Some(done) = piece.take() {
                    copying.add(done)?;
                }
                piece = Some(Piece {
                    from,
                    to,
                    length,
                    sealed: false,
                });
            }
        }
    }
    piece.map_or(Ok(()), |piece| copying.add(piece))
}

/// Streams that are held. Ours: 16 MiB.
const HELD: usize = 1 << 19;
