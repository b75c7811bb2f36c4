//! L1 and L2 tables, read in large pieces and kept in small bounds.

use alloc::vec::Vec;

use instar_disk::fault::qcow2 as faults;
use instar_disk::{Action, Fault, File, Io, Result, Walked, Work, fault, from_usize, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use crate::header::{Header, L1_ENTRY, TableRange};
use crate::raw::entry;

/// Where L2 entries are found. Holds at most one piece of the L1 table and two windows of L2 entries: 160 KiB.
pub(crate) struct Tables<'h> {
    file: File<'h>,
    /// log2 of the clusters that an L2 table maps.
    l2_bits: u32,
    /// log2 of the words of 8 bytes in an L2 entry.
    word_bits: u32,
    cluster_bits: u32,
    /// Clusters of the virtual disk.
    clusters: u64,
    l1: TableRange,
    /// L1 entries from `piece_first` on.
    piece: Vec<U64>,
    piece_first: u64,
    windows: [Window; 2],
    newest: usize,
    /// Account of the L2 tables.
    walked: Walked,
}

/// L2 entries of `clusters` guest clusters from `first` on; L2 tables that are absent in between are all zero, which means
/// the same.
#[derive(Default)]
struct Window {
    first: u64,
    clusters: u64,
    words: Vec<U64>,
}

/// What the tables have for a cluster.
pub(crate) enum Entries<'a> {
    /// The entries from that of the cluster on, at least one.
    Present(&'a [U64]),
    /// No L2 table for so many clusters, at least one.
    Absent(u64),
}

impl<'h> Tables<'h> {
    pub(crate) fn new(header: &Header, file: File<'h>) -> Self {
        Self {
            file,
            l2_bits: header.l2_bits(),
            word_bits: u32::from(header.features.extended_l2()),
            cluster_bits: header.cluster_bits,
            clusters: header.virtual_size().div_ceil(header.cluster_size()),
            l1: header.l1,
            piece: Vec::new(),
            piece_first: 0,
            windows: <[Window; 2]>::default(),
            newest: 0,
            walked: Walked::new(),
        }
    }

    /// What the L2 tables have taken so far.
    pub(crate) const fn work(&self) -> Work {
        self.walked.work()
    }

    /// Goes on with another L1 table, that of a snapshot.
    pub(crate) fn switch(&mut self, l1: TableRange) {
        self.l1 = l1;
        self.walked = Walked::new();
        self.piece.clear();
        for window in &mut self.windows {
            window.clusters = 0;
        }
    }

    /// What there is for `cluster`, which is below the size.
    #[inline]
    pub(crate) fn look(&mut self, cluster: u64) -> Result<Entries<'_>> {
        if self
            .windows
            .get(self.newest)
            .is_none_or(|window| !window.has(cluster))
        {
            let absent = self.miss(cluster)?;
            if absent > 0 {
                return Ok(Entries::Absent(absent));
            }
        }
        let found = self
            .windows
            .get(self.newest)
            .and_then(|window| window.from(cluster, self.word_bits));
        found.map(Entries::Present).ok_or_else(|| internal(line!()))
    }

    /// Makes the newest window one that has `cluster`, unless it is among so many clusters without L2 table.
    #[cold]
    fn miss(&mut self, cluster: u64) -> Result<u64> {
        self.newest ^= 1;
        if self
            .windows
            .get(self.newest)
            .is_some_and(|window| window.has(cluster))
        {
            return Ok(0);
        }
        let absent = self.absent_run(cluster)?;
        if absent == 0 {
            self.load(cluster)?;
        }
        Ok(absent)
    }

    /// Clusters from `cluster` on whose L1 entry is empty; a bounded number of pieces is looked at.
    fn absent_run(&mut self, cluster: u64) -> Result<u64> {
        let first = cluster >> self.l2_bits;
        let mut index = first;
        for _ in 0..PIECES_IN_A_CALL {
            let rest = self.l1_from(index)?;
            if rest.is_empty() {
                // Past the L1 table, of which a snapshot may have less than the disk needs.
                return Ok(self.clusters.saturating_sub(cluster));
            }
            let whole = from_usize(rest.len());
            let empty = rest.iter().take_while(|value| target(value.get()).is_none());
            let empty = from_usize(empty.count());
            index = index.saturating_add(empty);
            if empty < whole {
                break;
            }
        }
        if index == first {
            return Ok(0);
        }
        let end = index.saturating_mul(1 << self.l2_bits).min(self.clusters);
        Ok(end.saturating_sub(cluster))
    }

    /// The L1 entries from `index` on that are in one piece; none past the end.
    fn l1_from(&mut self, index: u64) -> Result<&[U64]> {
        let needed = self.clusters.div_ceil(1 << self.l2_bits).min(self.l1.entries);
        if index >= needed {
            return Ok(&[]);
        }
        let start = instar_disk::align_down(index, PIECE_WORDS);
        if self.piece.is_empty() || self.piece_first != start {
            let length = needed.saturating_sub(start).min(PIECE_WORDS);
            self.piece.resize(to_usize(length)?, U64::ZERO);
            self.piece_first = start;
            let offset = start.saturating_mul(L1_ENTRY).saturating_add(self.l1.offset);
            let read = self.file.read_padded(offset, self.piece.as_mut_bytes());
            if let Err(fault) = read {
                self.piece.clear();
                return Err(fault);
            }
        }
        let within = to_usize(index.saturating_sub(start))?;
        self.piece.get(within..).ok_or_else(|| internal(line!()))
    }

    /// Fills the newest window, which has the oldest content, from the L2 table of `cluster` on.
    fn load(&mut self, cluster: u64) -> Result<()> {
        let mut window = self
            .windows
            .get_mut(self.newest)
            .map(core::mem::take)
            .unwrap_or_default();
        window.clusters = 0;
        let loaded = if self.cluster_bits >= WINDOW_BITS {
            self.load_slice(cluster, &mut window)
        } else {
            self.load_tables(cluster, &mut window)
        };
        if let Some(place) = self.windows.get_mut(self.newest) {
            *place = window;
        }
        loaded
    }

    /// One piece of a large table.
    fn load_slice(&mut self, cluster: u64, window: &mut Window) -> Result<()> {
        let index = cluster >> self.l2_bits;
        let table = self.l1_from(index)?.first().map_or(0, |value| value.get());
        let table = self.check_table(table, index)?;
        let slice = WINDOW_WORDS >> self.word_bits;
        let first = instar_disk::align_down(cluster, slice);
        let clusters = self.clusters.saturating_sub(first).min(slice);
        let within = first & low_mask(self.l2_bits);
        let offset = table.saturating_add(within.saturating_mul(8 << self.word_bits));
        let words = to_usize(clusters.saturating_mul(1 << self.word_bits))?;
        window.words.resize(words, U64::ZERO);
        let bytes = from_usize(words).saturating_mul(8);
        self.walked.read(bytes);
        // A table may be larger than what is read of it at once: each such piece is a part.
        self.walked
            .enter(first.checked_div(slice).unwrap_or(0), offset, bytes);
        self.file.read_padded(offset, window.words.as_mut_bytes())?;
        window.first = first;
        window.clusters = clusters;
        Ok(())
    }

    /// Several small tables with one batch of reads. It ends before a table that cannot be read, unless that is the first.
    fn load_tables(&mut self, cluster: u64, window: &mut Window) -> Result<()> {
        let index = cluster >> self.l2_bits;
        let first = index.saturating_mul(1 << self.l2_bits);
        let table_words = 1_u64 << self.cluster_bits.saturating_sub(3);
        let most = to_usize(WINDOW_WORDS >> self.cluster_bits.saturating_sub(3))?;
        let clusters = self.clusters.saturating_sub(first);
        let bad = low_mask(self.cluster_bits) & entry::OFFSET;
        let (file, l2_bits, word_bits) = (self.file, self.l2_bits, self.word_bits);
        self.l1_from(index)?;
        let within = to_usize(index.saturating_sub(self.piece_first))?;
        let l1 = self.piece.get(within..).unwrap_or_default();
        let l1 = l1.get(..most).unwrap_or(l1);
        let aligned = l1.iter().take_while(|value| value.get() & bad == 0).count();
        if aligned == 0 {
            let value = l1.first().map_or(0, |value| value.get());
            return self.check_table(value, index).map(|_| ());
        }
        let l1 = l1.get(..aligned).unwrap_or(l1);
        for (number, value) in (index..).zip(l1) {
            if let Some(offset) = target(value.get()) {
                self.walked.read(table_words.saturating_mul(8));
                self.walked.enter(number, offset, table_words.saturating_mul(8));
            }
        }
        let clusters = clusters.min(from_usize(aligned).saturating_mul(1 << l2_bits));
        let words = to_usize(clusters.saturating_mul(1 << word_bits))?;
        window.words.resize(words, U64::ZERO);
        let tables = read_tables(file, l1, &mut window.words, to_usize(table_words)?)?;
        window.first = first;
        window.clusters = clusters.min(tables.saturating_mul(1 << l2_bits));
        Ok(())
    }

    fn check_table(&self, value: u64, index: u64) -> Result<u64> {
        let offset = value & entry::OFFSET;
        if offset & low_mask(self.cluster_bits) != 0 {
            let fault = Fault::new(faults::L2_UNALIGNED).with([offset, index]);
            return Err(fault.in_file(self.file.slot()));
        }
        Ok(offset)
    }
}

impl Window {
    const fn has(&self, cluster: u64) -> bool {
        cluster.wrapping_sub(self.first) < self.clusters
    }

    fn from(&self, cluster: u64, word_bits: u32) -> Option<&[U64]> {
        let start = usize::try_from(cluster.checked_sub(self.first)?).ok()?;
        let end = usize::try_from(self.clusters).ok()?;
        let words = self
            .words
            .get(start.checked_shl(word_bits)?..end.checked_shl(word_bits)?)?;
        (!words.is_empty()).then_some(words)
    }
}

/// Reads the tables that `l1` points to into `words`, one after the other; gives the number of those that are good.
fn read_tables(file: File<'_>, l1: &[U64], words: &mut [U64], table_words: usize) -> Result<u64> {
    let slot = file.slot();
    let mut batch = Vec::with_capacity(l1.len());
    let mut numbers = Vec::with_capacity(l1.len());
    for (number, (value, into)) in l1.iter().zip(words.chunks_mut(table_words)).enumerate() {
        match target(value.get()) {
            None => into.fill(U64::ZERO),
            Some(offset) => {
                numbers.push(number);
                batch.push(Io::new(Action::Read {
                    slot,
                    offset,
                    into: into.as_mut_bytes(),
                }));
            }
        }
    }
    file.host().submit(&mut batch);
    for (io, number) in batch.into_iter().zip(numbers) {
        match (io.outcome, io.action) {
            (Ok(read), Action::Read { into, .. }) => {
                if let Some(rest) = into.get_mut(to_usize(read)?..) {
                    rest.fill(0);
                }
            }
            (Err(error), _) if number == 0 => return Err(error.fault(slot)),
            _ => return Ok(from_usize(number)),
        }
    }
    Ok(from_usize(l1.len()))
}

/// Where an L1 entry points to, if it points anywhere.
const fn target(value: u64) -> Option<u64> {
    match value & entry::OFFSET {
        0 => None,
        offset => Some(offset),
    }
}

const fn low_mask(bits: u32) -> u64 {
    match 1_u64.checked_shl(bits) {
        Some(above) => above.wrapping_sub(1),
        None => u64::MAX,
    }
}

fn internal(line: u32) -> Fault {
    Fault::new(fault::core::INTERNAL).with([u64::from(line)])
}

/// log2 of the bytes in a window. Ours: the L2 table of a default image, which maps 512 MiB; two of them and a piece of L1 for
/// each of 200 layers stay below 32 MiB.
const WINDOW_BITS: u32 = 16;

/// Words of 8 bytes in a window.
const WINDOW_WORDS: u64 = 1 << (WINDOW_BITS - 3);

/// Entries of the L1 table that are kept. Ours: 32 KiB, which map 2 TiB of a default image.
const PIECE_WORDS: u64 = 4096;

/// Pieces of an L1 table that one call looks at: bounds the reads of a call. Ours.
const PIECES_IN_A_CALL: u32 = 8;
