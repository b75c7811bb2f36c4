//! Refcounts as the file has them: the refcount table and its blocks.

use alloc::vec::Vec;

use instar_disk::{Action, Budget, Fault, Findings, Io, Result, TableReader, fault, from_usize, to_usize};

use super::cells::Cells;
use super::frame::Frame;
use crate::edit::freed::Freed;
use crate::packed;
use crate::raw::entry;

/// Bits of a refcount table entry without meaning.
pub(super) const RESERVED: u64 = 0x1ff;

/// The refcount table being read.
#[derive(Debug)]
pub(super) struct Blocks {
    table: TableReader,
    entries: u64,
    /// It was said that a block is not where a block can be.
    said: bool,
    /// Blocks, or pieces of them, that were read last: where they stand, and their bytes.
    pages: Vec<(u64, Vec<u8>)>,
    next: usize,
}

/// What is known of the refcounts of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Block {
    /// All 0.
    Absent,
    /// At this offset.
    At(u64),
    /// Nowhere that can be read.
    Unreadable,
}

impl Blocks {
    pub(super) fn new(frame: &Frame<'_>) -> Self {
        let table = frame.header.refcount_table;
        Self {
            table: TableReader::new(table.offset, table.entries.saturating_mul(8)),
            entries: table.entries,
            said: false,
            pages: Vec::new(),
            next: 0,
        }
    }

    /// Entries of the table.
    pub(super) const fn entries(&self) -> u64 {
        self.entries
    }

    /// An entry of the table; 0 past its end.
    pub(super) fn raw(&mut self, frame: &Frame<'_>, number: u64) -> Result<u64> {
        if number >= self.entries {
            return Ok(0);
        }
        let file = frame.file;
        let read = |at, into: &mut [u8]| file.read_padded(at, into);
        let bytes = self.table.from(number.saturating_mul(8), read)?;
        let word = bytes.first_chunk::<8>().copied().unwrap_or_default();
        Ok(u64::from_be_bytes(word))
    }

    /// Where block `number` is. Says once in a run that one is misplaced.
    pub(super) fn block(
        &mut self,
        frame: &Frame<'_>,
        number: u64,
        findings: &mut Findings<'_>,
    ) -> Result<Block> {
        let offset = self.raw(frame, number)? & entry::REFCOUNT_BLOCK;
        if offset == 0 {
            return Ok(Block::Absent);
        }
        if frame.within(offset) != 0 {
            if !self.said {
                self.said = true;
                findings.say(Fault::new(fault::check::REFCOUNT_BLOCK_CORRUPT).with([offset, number]));
            }
            return Ok(Block::Unreadable);
        }
        if offset.saturating_add(frame.cluster_size()) > READABLE {
            return Ok(Block::Unreadable);
        }
        Ok(Block::At(offset))
    }

    /// The refcount of one cluster, none if it cannot be read.
    pub(super) fn refcount(
        &mut self,
        frame: &Frame<'_>,
        cluster: u64,
        budget: &mut Budget<'_>,
        findings: &mut Findings<'_>,
    ) -> Result<Option<u64>> {
        let order = frame.header.refcount_order;
        let each = counts(frame.cluster_size(), order);
        let number = cluster.checked_div(each).unwrap_or(0);
        let within = cluster.checked_rem(each).unwrap_or(0);
        let offset = match self.block(frame, number, findings)? {
            Block::Absent => return Ok(Some(0)),
            Block::Unreadable => return Ok(None),
            Block::At(offset) => offset,
        };
        let page_counts = counts(PAGE.min(frame.cluster_size()), order);
        let page = within.checked_div(page_counts).unwrap_or(0);
        let at = offset.saturating_add(page.saturating_mul(PAGE));
        let within = within.checked_rem(page_counts).unwrap_or(0);
        let bytes = self.page(frame, at, budget)?;
        Ok(Some(packed::get(bytes, order, within)))
    }

    fn page(&mut self, frame: &Frame<'_>, at: u64, budget: &mut Budget<'_>) -> Result<&[u8]> {
        let known = self.pages.iter().position(|(start, _)| *start == at);
        let place = match known {
            Some(place) => place,
            None => {
                let length = PAGE.min(frame.cluster_size());
                let mut bytes = alloc::vec![0; to_usize(length)?];
                if at < frame.length {
                    budget.spend(length)?;
                    frame.file.read_padded(at, &mut bytes)?;
                }
                let place = self.next;
                self.next = place.saturating_add(1) % PAGES;
                match self.pages.get_mut(place) {
                    Some(page) => *page = (at, bytes),
                    None => self.pages.push((at, bytes)),
                }
                place
            }
        };
        Ok(self.pages.get(place).map_or(&[], |(_, bytes)| bytes))
    }
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Compared {
    pub(super) corruptions: u64,
    pub(super) leaks: u64,
    pub(super) check_errors: u64,
    /// The last cluster in use.
    pub(super) highest: u64,
    /// A copied flag contradicts a refcount.
    pub(super) suspicious: bool,
    /// A cluster that is in use is not counted at all: there may be no block to count it in.
    pub(super) uncounted: bool,
    pub(super) corruptions_fixed: u64,
    pub(super) leaks_fixed: u64,
}

/// Which refcounts are made what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fix {
    None,
    TooHigh,
    All,
}

/// Compares the counts in `cells`, of the clusters before `end`, with the refcounts in the file.
pub(super) struct Comparison<'a, 'b, 'h, 'f> {
    pub(super) frame: &'a Frame<'h>,
    pub(super) cells: &'a Cells,
    pub(super) findings: &'b mut Findings<'f>,
    pub(super) found: &'b mut Compared,
    /// Only where each block is used by nothing else.
    pub(super) fix: Fix,
    pub(super) freed: &'b mut Freed,
}

/// A piece of the refcounts: clusters, and where their counts are.
#[derive(Clone, Copy, Debug)]
struct Piece {
    from: u64,
    to: u64,
    at: u64,
    bytes: u64,
}

impl Comparison<'_, '_, '_, '_> {
    /// Goes through the clusters from `from` to `to`.
    pub(super) fn run(
        &mut self,
        blocks: &mut Blocks,
        budget: &mut Budget<'_>,
        from: u64,
        to: u64,
    ) -> Result<()> {
        let order = self.frame.header.refcount_order;
        let each = counts(self.frame.cluster_size(), order);
        let each_piece = counts(PIECE.min(self.frame.cluster_size()), order);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut buffer = Vec::new();
        let mut at = from;
        while at < to {
            let number = at.checked_div(each).unwrap_or(0);
            let start = number.saturating_mul(each);
            let end = start.saturating_add(each).min(to);
            match blocks.block(self.frame, number, self.findings)? {
                Block::At(offset) => {
                    while at < end {
                        // Pieces start at whole bytes, since windows and blocks do.
                        let stop = at.saturating_add(each_piece).min(end);
                        let byte = packed::bytes(at.saturating_sub(start), order);
                        pieces.push(Piece {
                            from: at,
                            to: stop,
                            at: offset.saturating_add(byte),
                            bytes: packed::bytes(stop.saturating_sub(at), order),
                        });
                        at = stop;
                        let bytes: u64 = pieces
                            .iter()
                            .map(|piece| piece.bytes)
                            .fold(0, u64::saturating_add);
                        if pieces.len() >= TOGETHER || bytes >= BUFFER {
                            self.pieces(&mut pieces, &mut buffer, budget)?;
                        }
                    }
                }
                other => {
                    self.pieces(&mut pieces, &mut buffer, budget)?;
                    if other == Block::Absent {
                        self.absent(at, end);
                    } else {
                        self.unreadable(at, end);
                    }
                    at = end;
                }
            }
        }
        self.pieces(&mut pieces, &mut buffer, budget)
    }

    fn pieces(
        &mut self,
        pieces: &mut Vec<Piece>,
        buffer: &mut Vec<u8>,
        budget: &mut Budget<'_>,
    ) -> Result<()> {
        let bytes = pieces
            .iter()
            .map(|piece| piece.bytes)
            .fold(0, u64::saturating_add);
        budget.spend(bytes.max(from_usize(pieces.len()).saturating_mul(4096)))?;
        if from_usize(buffer.len()) < bytes {
            buffer.resize(to_usize(bytes)?, 0);
        }
        let slot = self.frame.file.slot();
        let mut batch = Vec::with_capacity(pieces.len());
        let mut rest = buffer.as_mut_slice();
        for piece in pieces.iter() {
            let (into, tail) = rest
                .split_at_mut_checked(to_usize(piece.bytes)?)
                .unwrap_or_default();
            rest = tail;
            batch.push(Io::new(Action::Read {
                slot,
                offset: piece.at,
                into,
            }));
        }
        self.frame.file.host().submit(&mut batch);
        let mut changed: Vec<Io<'_>> = Vec::new();
        for (io, piece) in batch.into_iter().zip(pieces.iter()) {
            let read = to_usize(io.outcome.map_err(|error| error.fault(slot))?)?;
            if let Action::Read { into, .. } = io.action {
                if let Some(rest) = into.get_mut(read..) {
                    rest.fill(0);
                }
                if self.piece(*piece, into) {
                    changed.push(Io::new(Action::Write {
                        slot,
                        offset: piece.at,
                        from: into,
                    }));
                }
            }
        }
        pieces.clear();
        self.write(changed)
    }

    fn write(&mut self, mut changed: Vec<Io<'_>>) -> Result<()> {
        if changed.is_empty() {
            return Ok(());
        }
        let file = self.frame.file;
        file.host().all(&mut changed)?;
        if self.freed.is_full() {
            file.flush()?;
            self.freed.drop_all(file, self.frame.header.cluster_bits);
        }
        Ok(())
    }

    /// Looks at the refcounts in `disk`; gives whether one of them was changed.
    fn piece(&mut self, piece: Piece, disk: &mut [u8]) -> bool {
        let mut changed = false;
        let order = self.frame.header.refcount_order;
        let mut at = piece.from;
        while at < piece.to {
            let done = at.saturating_sub(piece.from);
            if order == 4 {
                let rest = disk
                    .get(crate::num::index(packed::bytes(done, order))..)
                    .unwrap_or_default();
                let same = self.cells.ordinary(at, rest).min(piece.to.saturating_sub(at));
                if same > 0 {
                    at = at.saturating_add(same);
                    self.found.highest = at.saturating_sub(1);
                    continue;
                }
            }
            // A few one by one, then perhaps they are ordinary again.
            let stop = at.saturating_add(STRIDE).min(piece.to);
            for cluster in at..stop {
                let place = cluster.saturating_sub(piece.from);
                let refcount = packed::get(disk, order, place);
                if let Some(new) = self.one(cluster, refcount) {
                    packed::set(disk, order, place, new);
                    changed = true;
                }
            }
            at = stop;
        }
        changed
    }

    fn absent(&mut self, from: u64, to: u64) {
        let mut at = from;
        while at < to {
            let stop = at.saturating_add(CLEAR).min(to);
            if !self.cells.is_clear(at, stop) {
                for cluster in at..stop {
                    // Without a block no refcount can be made another.
                    let _ = self.one(cluster, 0);
                }
            }
            at = stop;
        }
    }

    fn unreadable(&mut self, from: u64, to: u64) {
        let clusters = to.saturating_sub(from);
        self.found.check_errors = self.found.check_errors.saturating_add(clusters);
        for cluster in from..to {
            if self.findings.is_full() {
                self.findings.leave_out(to.saturating_sub(cluster));
                break;
            }
            self.findings
                .say(Fault::new(fault::check::REFCOUNT_UNREADABLE).with([cluster]));
        }
    }

    /// Gives the refcount that the cluster is to have, if it is to have another.
    fn one(&mut self, cluster: u64, refcount: u64) -> Option<u64> {
        let cell = self.cells.get(cluster);
        let count = cell.count.min(self.frame.most());
        let (too_low, too_high) = (refcount < count, refcount > count);
        let fixed = refcount > 0
            && match self.fix {
                Fix::None => false,
                Fix::TooHigh => too_high,
                Fix::All => too_low || too_high,
            };
        let now = if fixed { count } else { refcount };
        if now > 0 || count > 0 {
            self.found.highest = cluster;
        }
        self.found.suspicious |= (cell.copied && now != 1) || (cell.shared && now == 1);
        self.found.uncounted |= too_low && refcount == 0;
        let (code, counter) = match (too_low, too_high, fixed) {
            (true, _, false) => (fault::check::REFCOUNT_LOW, &mut self.found.corruptions),
            (_, true, false) => (fault::check::LEAKED, &mut self.found.leaks),
            (true, _, true) => (fault::check::REPAIRING_CLUSTER, &mut self.found.corruptions_fixed),
            (_, true, true) => (fault::check::REPAIRING_CLUSTER, &mut self.found.leaks_fixed),
            _ => return None,
        };
        *counter = counter.saturating_add(1);
        self.findings
            .say(Fault::new(code).with([cluster, refcount, count]));
        if fixed && count == 0 {
            self.freed.push(cluster);
        }
        fixed.then_some(count)
    }
}

/// Refcounts in so many bytes.
fn counts(bytes: u64, order: u32) -> u64 {
    bytes.saturating_mul(8).wrapping_shr(order)
}

/// Bytes of a block that are kept. Ours.
const PAGE: u64 = 16 << 10;
/// Pieces of blocks that are kept. Ours: a quarter of a megabyte, in which the clusters of half a million counts are known.
const PAGES: usize = 16;
/// Bytes of a block that are compared at once. Ours.
const PIECE: u64 = 64 << 10;
/// Bytes that are read at once. Ours.
const BUFFER: u64 = 1 << 20;
/// Reads in one batch. Ours.
const TOGETHER: usize = 250;
/// Clusters that are looked at one by one. Ours.
const STRIDE: u64 = 32;
/// Clusters without refcounts that are looked at together. Ours.
const CLEAR: u64 = 1 << 16;
/// Where qemu-img's files end: the largest offset, rounded down to a gigabyte.
const READABLE: u64 = crate::raw::limit::FILE_END - (1 << 30);
