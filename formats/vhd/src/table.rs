//! The block allocation table: at which sector a block starts.

use instar_disk::fault::vhd as faults;
use instar_disk::{Fault, File, Result, TableReader, align_up, limits};

use crate::header::{DynamicHeader, Footer};
use crate::raw::{DYNAMIC_BYTES, FOOTER_BYTES, UNALLOCATED};

/// Bytes of the table that open looks at, so that `info` refuses what qemu-img refuses. Ours: 512 GiB of disk in the usual
/// blocks; later entries are judged when they are used.
const SCAN: u64 = 1 << 20;

/// A block allocation table being read.
#[derive(Debug)]
pub(crate) struct Table<'h> {
    file: File<'h>,
    table: TableReader,
    header: DynamicHeader,
    /// Bytes of the file, up to a sector: where blocks must end.
    file_end: u64,
    /// The image's own structures, which no block may touch: start and end.
    reserved: [(u64, u64); 3],
}

/// Blocks that follow one another and are all unallocated, or one block that is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Blocks, at least 1.
    pub(crate) blocks: u64,
    /// Where the block's bitmap starts.
    pub(crate) offset: Option<u64>,
}

impl<'h> Table<'h> {
    /// The table that the headers describe, with its beginning looked through.
    ///
    /// # Errors
    /// `TRUNCATED` or `OVERLAP` for a table or block that is not in the file, or where it must not be; the host's.
    pub(crate) fn open(file: File<'h>, footer: &Footer, header: DynamicHeader) -> Result<Self> {
        if header.table_offset >= limits::FILE_END {
            return Err(Fault::new(faults::TABLE_OFFSET));
        }
        let file_end = align_up(file.size(), 512)?;
        let table_end = header.table_offset.saturating_add(header.table_bytes());
        if table_end.div_ceil(512).saturating_mul(512) > file_end {
            return Err(Fault::new(faults::TRUNCATED));
        }
        let mut table = Self {
            file,
            table: TableReader::new(header.table_offset, header.table_bytes()),
            header,
            file_end,
            reserved: [
                (0, instar_disk::from_usize(FOOTER_BYTES)),
                (
                    footer.data_offset,
                    footer
                        .data_offset
                        .saturating_add(instar_disk::from_usize(DYNAMIC_BYTES)),
                ),
                (header.table_offset, table_end),
            ],
        };
        let blocks = footer.size.div_ceil(header.block_size).min(SCAN / 4);
        let mut block = 0;
        while block < blocks {
            block = block.saturating_add(table.run(block)?.blocks);
        }
        Ok(table)
    }

    /// Bytes of the table that were read so far.
    pub(crate) const fn bytes_read(&self) -> u64 {
        self.table.bytes_read()
    }

    /// The run that starts with `block`, as far as one page of the table tells.
    ///
    /// # Errors
    /// `TRUNCATED`, `OVERLAP`; the host's.
    pub(crate) fn run(&mut self, block: u64) -> Result<Run> {
        let file = self.file;
        let page = self
            .table
            .from(block.saturating_mul(4), |at, into| file.read_padded(at, into))?;
        let mut entries = page.chunks_exact(4).map(entry);
        let first = entries.next().flatten();
        let Some(sector) = first else {
            let more = entries.take_while(Option::is_none).count();
            return Ok(Run {
                blocks: instar_disk::from_usize(more).saturating_add(1),
                offset: None,
            });
        };
        let offset = self.judge(block, u64::from(sector).saturating_mul(512))?;
        Ok(Run {
            blocks: 1,
            offset: Some(offset),
        })
    }

    fn judge(&self, block: u64, offset: u64) -> Result<u64> {
        let end = offset
            .saturating_add(self.header.bitmap_size)
            .saturating_add(self.header.block_size);
        if end > self.file_end {
            return Err(Fault::new(faults::TRUNCATED));
        }
        let touches = |(from, to): &(u64, u64)| offset < *to && *from < end && from < to;
        if self.reserved.iter().any(touches) {
            return Err(Fault::new(faults::OVERLAP).with([block, offset]));
        }
        Ok(offset)
    }
}

fn entry(bytes: &[u8]) -> Option<u32> {
    let bytes = <[u8; 4]>::try_from(bytes).ok()?;
    Some(u32::from_be_bytes(bytes)).filter(|sector| *sector != UNALLOCATED)
}
