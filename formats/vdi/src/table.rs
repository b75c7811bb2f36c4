//! The block map: which place a block has.

use instar_disk::{Fault, File, Result, TableReader, Work, fault};

use crate::header::{BLOCK, Header};
use crate::raw::DISCARDED;

/// A block map being read.
#[derive(Debug)]
pub(crate) struct BlockMap<'h> {
    file: File<'h>,
    table: TableReader,
    /// The run found last, and with which block it starts: an answer that the file's holes cut short does not look again.
    last: Option<(u64, Run)>,
}

/// Blocks that follow one another, in the guest and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Blocks, at least 1.
    pub(crate) blocks: u64,
    /// The place of the first, if it has one: all have or none has.
    pub(crate) place: Option<u32>,
}

impl<'h> BlockMap<'h> {
    /// The map that `header` describes.
    ///
    /// # Errors
    /// `SHORT_READ` when the file ends before the map does.
    pub(crate) fn new(file: File<'h>, header: &Header) -> Result<Self> {
        let bytes = header.map_bytes();
        if header.map_offset.saturating_add(bytes) > file.size() {
            return Err(Fault::new(fault::core::SHORT_READ)
                .with([header.map_offset, bytes, file.size()])
                .in_file(file.slot()));
        }
        Ok(Self {
            file,
            table: TableReader::new(header.map_offset, bytes),
            last: None,
        })
    }

    /// What the map has taken so far.
    pub(crate) const fn work(&self) -> Work {
        Work {
            read: self.table.bytes_read(),
            shared: 0,
        }
    }

    /// The run that starts with `block`, as far as one page of the map tells.
    pub(crate) fn run(&mut self, block: u64) -> Result<Run> {
        if let Some((start, known)) = self.last
            && let Some(skipped) = block.checked_sub(start)
            && skipped < known.blocks
        {
            let further = u32::try_from(skipped).unwrap_or(u32::MAX);
            return Ok(Run {
                blocks: known.blocks.saturating_sub(skipped),
                place: known.place.map(|place| place.saturating_add(further)),
            });
        }
        let run = self.look(block)?;
        self.last = Some((block, run));
        Ok(run)
    }

    fn look(&mut self, block: u64) -> Result<Run> {
        let file = self.file;
        let page = self
            .table
            .from(block.saturating_mul(4), |at, into| file.read_exact(at, into))?;
        let mut places = page.chunks_exact(4).map(place);
        let Some(first) = places.next() else {
            return Ok(Run {
                blocks: 1,
                place: None,
            });
        };
        let mut expected = first;
        let mut blocks = 1_u64;
        for next in places {
            expected = expected.and_then(|place| place.checked_add(1));
            if next != expected {
                break;
            }
            blocks = blocks.saturating_add(1);
        }
        Ok(Run { blocks, place: first })
    }
}

/// Where the block with this map entry starts in the file.
pub(crate) fn place_offset(data_offset: u64, place: u32) -> u64 {
    data_offset.saturating_add(u64::from(place).saturating_mul(BLOCK))
}

fn place(entry: &[u8]) -> Option<u32> {
    let bytes = <[u8; 4]>::try_from(entry).ok()?;
    Some(u32::from_le_bytes(bytes)).filter(|place| *place < DISCARDED)
}
