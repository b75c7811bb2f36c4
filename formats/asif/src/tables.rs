//! The directory, the tables, and the bitmaps, as they are read.

use alloc::vec::Vec;

use instar_disk::fault::asif as faults;
use instar_disk::{Fault, File, Result, TableReader, Walked, Work, align_down, fault, from_usize, to_usize};

use crate::header::Header;
use crate::raw::entry;

/// The active directory, one table, and the bits of one chunk.
#[derive(Debug)]
pub(crate) struct Tables<'h> {
    file: File<'h>,
    header: Header,
    directory: TableReader,
    /// The table that was read last, and its chunk.
    table: Option<(u64, TableReader)>,
    /// The bits that were read last, and where they are.
    bits: Option<(u64, Vec<u8>)>,
    walked: Walked,
}

/// Bytes of the disk that follow one another, there and in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Bytes, at least 1.
    pub(crate) length: u64,
    /// Where the first is, if it is somewhere; none: zeros.
    pub(crate) place: Option<u64>,
}

impl<'h> Tables<'h> {
    /// Those of the directory with the higher number.
    ///
    /// # Errors
    /// `OUTSIDE` for a directory that is not in the file; the host's.
    pub(crate) fn new(file: File<'h>, header: Header) -> Result<Self> {
        let mut active = (0, 0);
        for start in header.directories {
            let bytes = header.directory_bytes().saturating_add(entry::BYTES);
            present(&file, start, bytes)?;
            let mut sequence = [0; 8];
            file.read_exact(start, &mut sequence)?;
            let sequence = u64::from_be_bytes(sequence);
            if active.0 == 0 || sequence > active.1 {
                active = (start, sequence);
            }
        }
        let start = active.0.saturating_add(entry::BYTES);
        Ok(Self {
            directory: TableReader::new(start, header.directory_bytes()),
            file,
            header,
            table: None,
            bits: None,
            walked: Walked::new(),
        })
    }

    pub(crate) fn work(&self) -> Work {
        let directory = Work {
            read: self.directory.bytes_read(),
            shared: 0,
        };
        self.walked.work().and(directory)
    }

    /// The run that begins with byte `offset` of the disk, as far as one page of a table tells.
    ///
    /// # Errors
    /// `OUTSIDE`, `ENTRY`, `BITS`; the host's.
    pub(crate) fn run(&mut self, offset: u64) -> Result<Run> {
        let (file, header) = (self.file, self.header);
        let chunk = offset.checked_div(header.chunk).unwrap_or(0);
        let within = offset.saturating_sub(chunk.saturating_mul(header.chunk));
        let number = chunk.checked_div(header.chunks()).unwrap_or(0);
        let first = chunk.saturating_sub(number.saturating_mul(header.chunks()));
        let page = self
            .directory
            .from(number.saturating_mul(entry::BYTES), |at, into| {
                file.read_exact(at, into)
            })?;
        let page = page.as_chunks::<8>().0;
        let table = page.first().map_or(0, |entry| u64::from_be_bytes(*entry));
        if table == 0 {
            let absent = page.iter().take_while(|entry| **entry == [0; 8]).count();
            let chunks = from_usize(absent).max(1).saturating_mul(header.chunks());
            let length = chunks.saturating_sub(first).saturating_mul(header.chunk);
            return Ok(Run {
                length: length.saturating_sub(within),
                place: None,
            });
        }
        if table & !entry::CHUNK != 0 {
            return Err(self.wrong(chunk, table));
        }
        self.look(number, table, first, chunk, within)
    }

    /// The same for entry `first` of table `number`, which is at chunk `table` of the file, and for byte `within` of chunk `chunk`.
    fn look(&mut self, number: u64, table: u64, first: u64, chunk: u64, within: u64) -> Result<Run> {
        let header = self.header;
        let group = first.checked_div(header.group()).unwrap_or(0);
        let in_group = first.saturating_sub(group.saturating_mul(header.group()));
        // Behind each group is the entry of its bitmap.
        let left = header.group().saturating_sub(in_group);
        let (value, chunks) = self.entries(number, table, first.saturating_add(group), left)?;
        let place = (value & entry::CHUNK).saturating_mul(header.chunk);
        // Of the last chunk only what the disk has.
        let rest = header.size.saturating_sub(chunk.saturating_mul(header.chunk));
        let wanted = chunks.saturating_mul(header.chunk).min(rest);
        match (value & entry::STATE, value & !entry::STATE) {
            (0, 0) => Ok(Run {
                length: wanted.saturating_sub(within),
                place: None,
            }),
            (entry::WHOLE, 1..=entry::CHUNK) => {
                present(&self.file, place, wanted.min(header.chunk))?;
                // Of those behind it, what is in the file.
                let there = self.file.size().saturating_sub(place);
                let length = if there < wanted {
                    align_down(there, header.chunk)
                } else {
                    wanted
                };
                Ok(Run {
                    length: length.saturating_sub(within),
                    place: Some(place.saturating_add(within)),
                })
            }
            (entry::PARTS, 1..=entry::CHUNK) => {
                present(&self.file, place, rest.min(header.chunk))?;
                let at = group
                    .saturating_mul(header.group().saturating_add(1))
                    .saturating_add(header.group());
                let (bitmap, _) = self.entries(number, table, at, 1)?;
                self.parts(bitmap & entry::CHUNK, in_group, chunk, place, within)
            }
            _ => Err(self.wrong(chunk, value)),
        }
    }

    /// Entry `index` of table `number`, which is at chunk `table` of the file, and how many chunks follow one another from it on as far
    /// as one page and `left` entries tell: at least 1.
    fn entries(&mut self, number: u64, table: u64, index: u64, left: u64) -> Result<(u64, u64)> {
        let (file, header) = (self.file, self.header);
        if self.table.as_ref().is_none_or(|(known, _)| *known != table) {
            let start = table.saturating_mul(header.chunk);
            present(&file, start, header.chunk)?;
            self.table = Some((table, TableReader::new(start, header.chunk)));
            self.walked.enter(number, start, header.chunk);
        }
        let Some((_, reader)) = &mut self.table else {
            return Err(Fault::new(fault::core::INTERNAL).with([line!().into()]));
        };
        let read_before = reader.bytes_read();
        let page = reader.from(index.saturating_mul(entry::BYTES), |at, into| {
            file.read_exact(at, into)
        })?;
        let entries = page.as_chunks::<8>().0;
        let mut entries = entries
            .iter()
            .take(to_usize(left)?)
            .map(|entry| u64::from_be_bytes(*entry));
        let value = entries.next().unwrap_or(0);
        let (mut expected, mut chunks) = (value, 1_u64);
        for next in entries {
            expected = expected.saturating_add(u64::from(value != 0));
            if next != expected {
                break;
            }
            chunks = chunks.saturating_add(1);
        }
        let grown = reader.bytes_read().saturating_sub(read_before);
        if grown > 0 {
            self.walked.read_alone(grown);
        }
        Ok((value, chunks))
    }

    /// The run in a chunk at `place` of which only parts are there; their bits are in chunk `bitmap`, as number `in_group`.
    fn parts(&mut self, bitmap: u64, in_group: u64, chunk: u64, place: u64, within: u64) -> Result<Run> {
        let header = self.header;
        if bitmap == 0 {
            return Err(self.wrong(chunk, 0));
        }
        let bytes = header.bits();
        let at = bitmap
            .saturating_mul(header.chunk)
            .saturating_add(in_group.saturating_mul(bytes));
        present(&self.file, at, bytes)?;
        if self.bits.as_ref().is_none_or(|(known, _)| *known != at) {
            let mut bits = alloc::vec![0; to_usize(bytes)?];
            self.file.read_exact(at, &mut bits)?;
            self.walked.enter(chunk, at, bytes);
            self.walked.read_alone(bytes);
            self.bits = Some((at, bits));
        }
        let bits = self.bits.as_ref().map_or(&[][..], |(_, bits)| bits);
        let state = |sector: u64| {
            let byte = usize::try_from(sector / 4).ok().and_then(|byte| bits.get(byte));
            let turn = u32::try_from((sector & 3).wrapping_mul(2)).unwrap_or(0);
            byte.map_or(0, |byte| byte.wrapping_shr(turn) & 3)
        };
        let sectors = header.chunk.checked_div(header.sector).unwrap_or(0);
        let first = within.checked_div(header.sector).unwrap_or(0);
        let known = state(first);
        if known > 1 {
            return Err(Fault::new(faults::BITS)
                .with([chunk, known.into()])
                .in_file(self.file.slot()));
        }
        let end = (first..sectors).find(|sector| state(*sector) != known);
        let end = end.unwrap_or(sectors).saturating_mul(header.sector);
        Ok(Run {
            length: end.saturating_sub(within),
            place: (known == 1).then(|| place.saturating_add(within)),
        })
    }

    fn wrong(&self, chunk: u64, value: u64) -> Fault {
        Fault::new(faults::ENTRY)
            .with([chunk, value])
            .in_file(self.file.slot())
    }
}

/// Makes sure that the file has all of a range, which is not the header.
///
/// # Errors
/// `OUTSIDE`.
fn present(file: &File<'_>, offset: u64, bytes: u64) -> Result<()> {
    if offset >= crate::raw::HEADER_BYTES.into() && offset.saturating_add(bytes) <= file.size() {
        return Ok(());
    }
    Err(Fault::new(faults::OUTSIDE)
        .with([offset, bytes, file.size()])
        .in_file(file.slot()))
}
