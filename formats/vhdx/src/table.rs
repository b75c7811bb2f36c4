//! The block allocation table: where blocks are, and in which state.

use instar_disk::fault::vhdx as faults;
use instar_disk::{Fault, Result, TableReader};

use crate::layout::{Chunks, MIB, state};
use crate::metadata::Metadata;
use crate::region::Regions;
use crate::replayed::Replayed;

/// Bytes of the table that open looks at, so that `info` refuses what qemu-img refuses. Ours: a terabyte in blocks of 8 MiB;
/// later entries are judged when they are used.
const SCAN: u64 = 1 << 20;

/// A block allocation table being read.
#[derive(Debug)]
pub(crate) struct Table {
    table: TableReader,
    regions: Regions,
    chunks: Chunks,
    size: u64,
    differencing: bool,
    /// The run found last, and with which block it starts: an answer that the file's holes cut short does not look again.
    last: Option<(u64, Run)>,
}

/// Blocks that follow one another, in the guest and in the file, with one answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Blocks, at least 1.
    pub(crate) blocks: u64,
    pub(crate) place: Place,
}

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the parent, or zeros.
    Absent,
    /// Zeros, whatever the parent says.
    Zero,
    /// At this byte of the file.
    Here(u64),
    /// At this byte of the file, as far as the sector bitmap says.
    Partly(u64),
    /// In a state that means nothing here: nobody can tell what the block holds. As in qemu-img that matters when it is
    /// read, and not before.
    Unknown {
        /// Its entry of the table.
        entry: u64,
        state: u64,
    },
}

impl Table {
    /// The table that `metadata` need, with its beginning looked through.
    ///
    /// # Errors
    /// `TABLE_TOO_SMALL`, and what is wrong with blocks; the host's.
    pub(crate) fn open(file: &Replayed<'_>, regions: Regions, metadata: &Metadata) -> Result<Self> {
        let chunks = Chunks::new(metadata.block_size, metadata.sector_size);
        let needed = chunks.entries(metadata.size, metadata.differencing);
        let there = regions.bat.length / 8;
        if needed > there {
            return Err(Fault::new(faults::TABLE_TOO_SMALL).with([needed, there]));
        }
        let mut table = Self {
            table: TableReader::new(regions.bat.offset, needed.saturating_mul(8)),
            regions,
            chunks,
            size: metadata.size,
            differencing: metadata.differencing,
            last: None,
        };
        let blocks = chunks.blocks(metadata.size).min(SCAN / 8);
        let mut block = 0;
        while block < blocks {
            block = block.saturating_add(table.run(file, block)?.blocks);
        }
        Ok(table)
    }

    /// Bytes of the table that were read so far.
    pub(crate) const fn bytes_read(&self) -> u64 {
        self.table.bytes_read()
    }

    /// Payload blocks and their counting.
    pub(crate) const fn chunks(&self) -> Chunks {
        self.chunks
    }

    /// The run that starts with payload block `block`, as far as one page of the table tells.
    ///
    /// # Errors
    /// `BLOCK_*`; the host's.
    pub(crate) fn run(&mut self, file: &Replayed<'_>, block: u64) -> Result<Run> {
        if let Some((start, known)) = self.last
            && let Some(skipped) = block.checked_sub(start)
            && skipped < known.blocks
        {
            let place = match known.place {
                Place::Here(start) => {
                    Place::Here(start.saturating_add(skipped.saturating_mul(self.chunks.block_size)))
                }
                Place::Unknown { state, .. } => Place::Unknown {
                    entry: self.chunks.entry(block),
                    state,
                },
                // Such a run is one block.
                same @ (Place::Absent | Place::Zero | Place::Partly(_)) => same,
            };
            let blocks = known.blocks.saturating_sub(skipped);
            return Ok(Run { blocks, place });
        }
        let run = self.look(file, block)?;
        self.last = Some((block, run));
        Ok(run)
    }

    fn look(&mut self, file: &Replayed<'_>, block: u64) -> Result<Run> {
        let (chunks, entry) = (self.chunks, self.chunks.entry(block));
        let page = self
            .table
            .from(entry.saturating_mul(8), |at, into| file.read(at, into))?;
        let payload = |(entry, _): &(u64, u64)| !chunks.is_bitmap(*entry);
        let mut entries = (entry..).zip(page.chunks_exact(8).map(number)).filter(payload);
        let first = entries.next().map_or(0, |(_, value)| value);
        let (place, here) = match first & 7 {
            state::FULLY_PRESENT => (Place::Here(offset(first)), true),
            state::PARTIALLY_PRESENT if self.differencing => (Place::Partly(offset(first)), false),
            state::NOT_PRESENT => (Place::Absent, false),
            1..=3 | 5 => (Place::Zero, false),
            state => (Place::Unknown { entry, state }, false),
        };
        let mut blocks = 1_u64;
        let mut expected = first;
        if !matches!(place, Place::Partly(_)) {
            for (_, value) in entries {
                expected = if here {
                    expected.saturating_add(chunks.block_size)
                } else {
                    value
                };
                // A block that is here follows in the file; all others need only say the same.
                let same = if here {
                    bits(value) == bits(expected)
                } else {
                    value & 7 == first & 7
                };
                if !same {
                    break;
                }
                blocks = blocks.saturating_add(1);
            }
        }
        let blocks = blocks.min(chunks.blocks(self.size).saturating_sub(block)).max(1);
        if let Place::Here(start) | Place::Partly(start) = place {
            self.judge(file, block, blocks, start)?;
        }
        Ok(Run { blocks, place })
    }

    /// Where in the file the sector bitmap that speaks for `block` is.
    ///
    /// # Errors
    /// `NO_BITMAP`, `BLOCK_*`; the host's.
    pub(crate) fn bitmap(&mut self, file: &Replayed<'_>, block: u64) -> Result<u64> {
        let entry = self.chunks.bitmap_entry(block);
        let page = self
            .table
            .from(entry.saturating_mul(8), |at, into| file.read(at, into))?;
        let value = page.chunks_exact(8).next().map_or(0, number);
        if value & 7 != state::FULLY_PRESENT {
            return Err(Fault::new(faults::NO_BITMAP).with([self.chunks.entry(block)]));
        }
        let start = offset(value);
        let end = start.saturating_add(MIB);
        if end > file.size() {
            return Err(Fault::new(faults::BLOCK_END).with([entry, end.saturating_sub(1), file.size()]));
        }
        if self.regions.touches(start, end) {
            return Err(Fault::new(faults::BLOCK_OVERLAP).with([entry, start]));
        }
        Ok(start)
    }

    /// Refuses blocks that are not in the file, or where they must not be. The last block of the disk may be cut short.
    fn judge(&self, file: &Replayed<'_>, block: u64, blocks: u64, start: u64) -> Result<()> {
        let size = self.chunks.block_size;
        let left = self.size.saturating_sub(block.saturating_mul(size));
        let end = start.saturating_add(blocks.saturating_mul(size).min(left));
        if end > file.size() {
            // Which of them it is: the first that is not whole.
            let whole = file.size().saturating_sub(start).checked_div(size).unwrap_or(0);
            let entry = self.chunks.entry(block.saturating_add(whole));
            let start = start.saturating_add(whole.saturating_mul(size));
            let end = start.saturating_add(size).min(end);
            return Err(if start >= file.size() {
                Fault::new(faults::BLOCK_START).with([entry, start, file.size()])
            } else {
                // The last byte, as qemu-img counts.
                Fault::new(faults::BLOCK_END).with([entry, end.saturating_sub(1), file.size()])
            });
        }
        if self.regions.touches(start, end) {
            return Err(Fault::new(faults::BLOCK_OVERLAP).with([self.chunks.entry(block), start]));
        }
        Ok(())
    }
}

fn number(bytes: &[u8]) -> u64 {
    <[u8; 8]>::try_from(bytes).map_or(0, u64::from_le_bytes)
}

/// Offset of a block, in whole MiB.
const fn offset(entry: u64) -> u64 {
    entry & !(MIB.saturating_sub(1))
}

/// Offset and state, without the bits that mean nothing.
const fn bits(entry: u64) -> u64 {
    offset(entry) | (entry & 7)
}
