//! What is wrong in L1 and L2 tables, said in the order in which a walk along all pointers meets it.
//!
//! Only after counting has found something. Tables without findings are visited once; the walk ends when nothing more will be
//! said, or when it has read as much as a busy person would wait for.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use instar_disk::{Fault, Findings, Result, from_usize, to_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::cells::{Cells, Claim};
use super::entry::{self, Sink};
use super::frame::Frame;
use super::snapshots::Snapshots;
use crate::header::{L1_ENTRY, TableRange};
use crate::pieces::Pieces;
use crate::raw::entry as bit;

/// Says what a walk meets. With `cells`, references are counted again, to say which of them are too many.
pub(super) fn say(
    frame: &Frame<'_>,
    snapshots: &Snapshots,
    cells: Option<&mut Cells>,
    findings: &mut Findings<'_>,
) -> Result<()> {
    let mut walk = Walk {
        table: L2::default(),
        clean: BTreeSet::new(),
        left: BYTES,
        speaker: Speaker {
            frame,
            cells,
            findings,
            spoke: false,
            zeroed: BTreeSet::new(),
            table: 0,
        },
    };
    walk.speaker.refer(0, frame.cluster_size(), Claim::Silent);
    walk.l1(frame.header.l1)?;
    if frame.external && !snapshots.all.is_empty() {
        let count = from_usize(snapshots.all.len());
        walk.speaker
            .found(Fault::new(instar_disk::fault::check::SNAPSHOTS_EXTERNAL).with([count]));
    }
    let mut pieces = Pieces::new(frame.file);
    for snapshot in &snapshots.all {
        if walk.is_over() {
            break;
        }
        match snapshot.broken(frame) {
            Some(fault) => {
                let title = snapshot.title(&mut pieces)?;
                walk.speaker.found(fault.named(&title));
            }
            None => walk.l1(snapshot.l1)?,
        }
    }
    Ok(())
}

/// Runs `each` on every entry of an L1 table that is not 0, with its number, until it says no.
pub(super) fn l1_entries(
    frame: &Frame<'_>,
    l1: TableRange,
    mut each: impl FnMut(u64, u64) -> Result<bool>,
) -> Result<()> {
    let mut words: Vec<U64> = Vec::new();
    let mut number = 0;
    // What lies past the end reads as zero.
    let present = frame.length.saturating_sub(l1.offset) / L1_ENTRY;
    let entries = l1.entries.min(present);
    while number < entries {
        let now = entries.saturating_sub(number).min(L1_PIECE);
        words.resize(to_usize(now)?, U64::ZERO);
        let at = l1.offset.saturating_add(number.saturating_mul(L1_ENTRY));
        frame.file.read_padded(at, words.as_mut_bytes())?;
        for (word, number) in words.iter().zip(number..) {
            if word.get() != 0 && !each(number, word.get())? {
                return Ok(());
            }
        }
        number = number.saturating_add(now);
    }
    Ok(())
}

/// The L2 table read last: one that stands for many parts of the disk is read once.
#[derive(Default)]
pub(super) struct L2 {
    words: Vec<U64>,
    at: Option<u64>,
}

impl L2 {
    /// The words of the table at `offset`, which is in the file.
    pub(super) fn read(&mut self, frame: &Frame<'_>, offset: u64) -> Result<&[U64]> {
        if self.at.take() != Some(offset) {
            self.words.resize(to_usize(frame.cluster_size() / 8)?, U64::ZERO);
            frame.file.read_padded(offset, self.words.as_mut_bytes())?;
        }
        self.at = Some(offset);
        Ok(&self.words)
    }
}

struct Walk<'a, 'b, 'h, 'f> {
    table: L2,
    /// Tables that have nothing to be said of.
    clean: BTreeSet<u64>,
    /// Bytes that may still be read.
    left: u64,
    speaker: Speaker<'a, 'b, 'h, 'f>,
}

impl Walk<'_, '_, '_, '_> {
    fn is_over(&self) -> bool {
        self.left == 0 || self.speaker.findings.is_full()
    }

    fn l1(&mut self, l1: TableRange) -> Result<()> {
        let bytes = l1.entries.saturating_mul(L1_ENTRY);
        if bytes > 0 {
            self.speaker.refer(l1.offset, bytes, Claim::Silent);
        }
        self.left = self.left.saturating_sub(bytes);
        let frame = self.speaker.frame;
        l1_entries(frame, l1, |_, value| {
            self.l1_entry(value)?;
            Ok(!self.is_over())
        })
    }

    fn l1_entry(&mut self, value: u64) -> Result<()> {
        let frame = self.speaker.frame;
        if Frame::l1_is_odd(value) {
            self.speaker
                .found(Fault::new(instar_disk::fault::check::L1_RESERVED).with([value]));
        }
        let offset = value & bit::OFFSET;
        self.speaker.refer(offset, frame.cluster_size(), Claim::Silent);
        if frame.within(offset) != 0 {
            self.speaker
                .found(Fault::new(instar_disk::fault::check::L2_UNALIGNED).with([offset]));
        }
        // What lies past the end reads as zero.
        if offset >= frame.length || self.clean.contains(&offset) {
            return Ok(());
        }
        self.left = self.left.saturating_sub(frame.cluster_size().max(READ_MIN));
        let words = self.table.read(frame, offset)?;
        self.speaker.spoke = false;
        self.speaker.table = offset;
        let each = if frame.header.features.extended_l2() { 2 } else { 1 };
        for (number, words) in (0..).zip(words.chunks_exact(each)) {
            if self.speaker.findings.is_full() {
                break;
            }
            let value = words.first().map_or(0, |word| word.get());
            let bits = words.get(1).map_or(0, |word| word.get());
            if value != 0 || bits != 0 {
                entry::look(frame, number, value, bits, &mut self.speaker);
            }
        }
        if self.speaker.zeroed.len() < CLEAN {
            self.speaker.zeroed.insert(offset);
        }
        // While references are counted, a table must be visited every time.
        if !self.speaker.spoke && self.speaker.cells.is_none() && self.clean.len() < CLEAN {
            self.clean.insert(offset);
        }
        Ok(())
    }
}

/// Says findings as they come.
struct Speaker<'a, 'b, 'h, 'f> {
    frame: &'a Frame<'h>,
    cells: Option<&'b mut Cells>,
    findings: &'b mut Findings<'f>,
    spoke: bool,
    /// Tables that were visited, whose entries were put right then.
    zeroed: BTreeSet<u64>,
    /// The table being visited.
    table: u64,
}

impl Sink for Speaker<'_, '_, '_, '_> {
    fn zeroed(&mut self, fault: Fault) {
        if !self.zeroed.contains(&self.table) {
            self.findings.say(fault);
        }
    }

    fn found(&mut self, fault: Fault) {
        self.spoke = true;
        self.findings.say(fault);
    }

    fn refer(&mut self, offset: u64, bytes: u64, _: Claim) {
        let Some((first, clusters)) = self.frame.clusters_of(offset, bytes) else {
            return self.found(Frame::past_end(offset, bytes));
        };
        let Some(cells) = &mut self.cells else { return };
        let most = self.frame.most();
        for cluster in first..first.saturating_add(clusters) {
            if cells.get(cluster).count >= most {
                self.spoke = true;
                self.findings.say(self.frame.overflow(cluster));
            } else {
                cells.add(cluster, 1, 1, Claim::Silent);
            }
        }
    }
}

/// Entries of an L1 table read at once. Ours.
const L1_PIECE: u64 = 8192;
/// Tables that are remembered as clean. Ours: some megabytes.
const CLEAN: usize = 128 << 10;
/// Bytes of tables that are read to say what was counted before. Ours: a second or two.
const BYTES: u64 = 2 << 30;
/// What a small read costs as much as. Ours.
const READ_MIN: u64 = 4096;
