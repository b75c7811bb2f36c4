//! bzip2: blocks that were sorted by what follows each byte, then coded by recency, then by Huffman tables.
//!
//! ```text
//!  stream   "BZh" level │ block │ block │ … │ end mark, checksum of all
//!  block    mark │ checksum │ place of the first byte │ symbols in use │ selectors │ code lengths │ codes
//!
//!  codes ─► recency ranks, runs of rank 0 ─► last column of the sorted rotations ─► bytes ─► runs of four and more ─► unit
//! ```
//!
//! Memory is bounded by the level: four bytes for each of 900,000.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crc::{CRC_32_BZIP2, Crc};

use crate::BadStream;
use crate::cursor::Into;

/// What the format allows.
const TABLES_MAX: usize = 6;
const SYMBOLS_MAX: usize = 258;
const SELECTORS_MAX: usize = 18_002;
const CODE_BITS_MAX: u32 = 20;
/// Codes that use one table before the next selector.
const GROUP: usize = 50;
/// Bytes of a block for each level.
const LEVEL: usize = 100_000;

const BLOCK_MARK: u64 = 0x3141_5926_5359;
const END_MARK: u64 = 0x1772_4538_5090;

static CHECKSUM: Crc<u32> = Crc::<u32>::new(&CRC_32_BZIP2);

/// Room for the block at hand.
#[derive(Default)]
pub(crate) struct Bzip2 {
    /// The last column: a byte in the low eight bits, then the place of the byte that follows it.
    column: Vec<u32>,
    tables: [Table; TABLES_MAX],
    selectors: Vec<u8>,
}

/// Codes of one table, by their length.
struct Table {
    /// One more than the last code of each length, to the left of as many bits as the longest has; the first number of its symbols,
    /// less the first code.
    limits: [u32; 22],
    offsets: [i32; 22],
    /// Symbols, by their codes.
    symbols: [u16; SYMBOLS_MAX],
}

impl Default for Table {
    fn default() -> Self {
        Self {
            limits: [0; 22],
            offsets: [0; 22],
            symbols: [0; SYMBOLS_MAX],
        }
    }
}

impl Bzip2 {
    pub(crate) fn new() -> Box<Self> {
        Box::default()
    }

    /// Fills `unit` with what the whole stream decodes to.
    pub(crate) fn decode(&mut self, stored: &[u8], unit: &mut [u8]) -> Result<(), BadStream> {
        let mut bits = Bits::new(stored);
        let mut into = Into::new(unit);
        if bits.take(24)? != 0x42_5a68 {
            return Err(BadStream);
        }
        let level = usize::try_from(bits.take(8)?).map_err(|_| BadStream)?;
        let level = level.checked_sub(0x30).filter(|level| (1..=9).contains(level));
        let room = level.ok_or(BadStream)?.saturating_mul(LEVEL);
        let mut all = 0_u32;
        // Each turn uses up bits.
        loop {
            let mark = bits.take(24)? << 24 | bits.take(24)?;
            let checksum = u32::try_from(bits.take(32)?).map_err(|_| BadStream)?;
            match mark {
                BLOCK_MARK => {
                    let start = into.filled();
                    self.block(&mut bits, room, &mut into)?;
                    if CHECKSUM.checksum(into.since(start)) != checksum {
                        return Err(BadStream);
                    }
                    all = all.rotate_left(1) ^ checksum;
                }
                END_MARK if all == checksum && into.is_full() => return Ok(()),
                _ => return Err(BadStream),
            }
        }
    }

    fn block(&mut self, bits: &mut Bits<'_>, room: usize, into: &mut Into<'_>) -> Result<(), BadStream> {
        // An old way of making blocks less regular; no writer has it since 1999.
        if bits.take(1)? != 0 {
            return Err(BadStream);
        }
        let first = usize::try_from(bits.take(24)?).map_err(|_| BadStream)?;
        let used = Used::read(bits)?;
        let end = used.count.saturating_add(1);
        self.read_tables(bits, end.saturating_add(1))?;
        self.read_column(bits, room, used, end)?;
        self.unsort(first, into)
    }

    fn read_tables(&mut self, bits: &mut Bits<'_>, symbols: usize) -> Result<(), BadStream> {
        let tables = usize::try_from(bits.take(3)?).map_err(|_| BadStream)?;
        let selectors = usize::try_from(bits.take(15)?).map_err(|_| BadStream)?;
        if !(2..=TABLES_MAX).contains(&tables) || selectors == 0 {
            return Err(BadStream);
        }
        let mut recent: [u8; TABLES_MAX] = [0, 1, 2, 3, 4, 5];
        self.selectors.clear();
        for _ in 0..selectors {
            let mut rank = 0_usize;
            while bits.take(1)? == 1 {
                rank = rank.saturating_add(1);
                if rank >= tables {
                    return Err(BadStream);
                }
            }
            let table = to_front(&mut recent, rank)?;
            // More than a block can use are read, as by others, and dropped.
            if self.selectors.len() < SELECTORS_MAX {
                self.selectors.push(table);
            }
        }
        for table in self.tables.iter_mut().take(tables) {
            let mut lengths = [0_u8; SYMBOLS_MAX];
            let mut length = u32::try_from(bits.take(5)?).map_err(|_| BadStream)?;
            for to in lengths.iter_mut().take(symbols) {
                // Each turn uses up bits, and ends outside of what is allowed.
                loop {
                    if !(1..=CODE_BITS_MAX).contains(&length) {
                        return Err(BadStream);
                    }
                    if bits.take(1)? == 0 {
                        break;
                    }
                    length = if bits.take(1)? == 0 {
                        length.saturating_add(1)
                    } else {
                        length.saturating_sub(1)
                    };
                }
                *to = u8::try_from(length).map_err(|_| BadStream)?;
            }
            table.make(lengths.get(..symbols).ok_or(BadStream)?)?;
        }
        Ok(())
    }

    /// Reads the codes up to the mark of their end.
    fn read_column(
        &mut self,
        bits: &mut Bits<'_>,
        room: usize,
        mut used: Used,
        end: usize,
    ) -> Result<(), BadStream> {
        self.column.clear();
        self.column.try_reserve(room).map_err(|_| BadStream)?;
        // A run of rank 0 that is not complete, and what its next digit counts.
        let (mut run, mut digit) = (0_usize, 1_usize);
        for selector in &self.selectors {
            let table = self.tables.get(usize::from(*selector)).ok_or(BadStream)?;
            for _ in 0..GROUP {
                let symbol = usize::from(table.read(bits)?);
                if symbol < 2 {
                    run = run.saturating_add(digit.saturating_mul(symbol.saturating_add(1)));
                    digit = digit.saturating_mul(2);
                    if run > room {
                        return Err(BadStream);
                    }
                    continue;
                }
                if run > 0 {
                    let byte = *used.recent.first().ok_or(BadStream)?;
                    grow(&mut self.column, byte, run, room)?;
                    (run, digit) = (0, 1);
                }
                if symbol == end {
                    return Ok(());
                }
                let byte = to_front(
                    used.recent.get_mut(..used.count).ok_or(BadStream)?,
                    symbol.saturating_sub(1),
                )?;
                grow(&mut self.column, byte, 1, room)?;
            }
        }
        Err(BadStream)
    }

    /// Follows the rotations from the first byte on.
    fn unsort(&mut self, first: usize, into: &mut Into<'_>) -> Result<(), BadStream> {
        let mut places = [0_u32; 256];
        for entry in &self.column {
            let count = places.get_mut(usize::from(low_byte(*entry))).ok_or(BadStream)?;
            *count = count.saturating_add(1);
        }
        let mut sum = 0_u32;
        for place in &mut places {
            let count = *place;
            *place = sum;
            sum = sum.saturating_add(count);
        }
        for index in 0..self.column.len() {
            let byte = low_byte(*self.column.get(index).ok_or(BadStream)?);
            let place = places.get_mut(usize::from(byte)).ok_or(BadStream)?;
            let to = usize::try_from(*place).map_err(|_| BadStream)?;
            *place = place.saturating_add(1);
            let follows = u32::try_from(index).map_err(|_| BadStream)?;
            *self.column.get_mut(to).ok_or(BadStream)? |= follows << 8;
        }
        let mut next = follower(*self.column.get(first).ok_or(BadStream)?)?;
        // How often the last byte stood there in a row: after four, a byte says how often more.
        let (mut last, mut row) = (0_u8, 0_u8);
        for _ in 0..self.column.len() {
            let entry = *self.column.get(next).ok_or(BadStream)?;
            next = follower(entry)?;
            let byte = low_byte(entry);
            if row == 4 {
                into.fill(last, byte.into())?;
                row = 0;
                continue;
            }
            row = if row > 0 && byte == last {
                row.saturating_add(1)
            } else {
                1
            };
            last = byte;
            into.put(&[byte])?;
        }
        Ok(())
    }
}

impl Table {
    /// Makes the codes of symbols with these lengths, 1 to 20.
    fn make(&mut self, lengths: &[u8]) -> Result<(), BadStream> {
        let mut counts = [0_u32; 22];
        for length in lengths {
            let count = counts.get_mut(usize::from(*length)).ok_or(BadStream)?;
            *count = count.saturating_add(1);
        }
        let (mut code, mut number) = (0_u32, 0_u32);
        let mut to = self.symbols.iter_mut();
        for bits in 1..=CODE_BITS_MAX {
            let index = usize::try_from(bits).map_err(|_| BadStream)?;
            let count = *counts.get(index).ok_or(BadStream)?;
            let offset = i64::from(number).saturating_sub(code.into());
            *self.offsets.get_mut(index).ok_or(BadStream)? = i32::try_from(offset).map_err(|_| BadStream)?;
            code = code.saturating_add(count);
            number = number.saturating_add(count);
            let shift = CODE_BITS_MAX.saturating_sub(bits);
            *self.limits.get_mut(index).ok_or(BadStream)? = code.wrapping_shl(shift);
            code = code.saturating_mul(2);
            for (symbol, length) in (0_u16..).zip(lengths) {
                if u32::from(*length) == bits {
                    *to.next().ok_or(BadStream)? = symbol;
                }
            }
        }
        Ok(())
    }

    /// The symbol of the code that comes next.
    fn read(&self, bits: &mut Bits<'_>) -> Result<u16, BadStream> {
        let ahead = bits.peek(CODE_BITS_MAX);
        let lengths = (1..=CODE_BITS_MAX).zip(self.limits.iter().zip(&self.offsets).skip(1));
        for (length, (limit, offset)) in lengths {
            if ahead < *limit {
                bits.skip(length)?;
                let code = ahead.wrapping_shr(CODE_BITS_MAX.saturating_sub(length));
                let number = i64::from(code).saturating_add((*offset).into());
                let number = usize::try_from(number).map_err(|_| BadStream)?;
                return self.symbols.get(number).copied().ok_or(BadStream);
            }
        }
        Err(BadStream)
    }
}

/// The bytes that a block has, the most recent first.
struct Used {
    recent: [u8; 256],
    count: usize,
}

impl Used {
    fn read(bits: &mut Bits<'_>) -> Result<Self, BadStream> {
        let rows = bits.take(16)?;
        let mut used = Self {
            recent: [0; 256],
            count: 0,
        };
        for row in 0..16_u8 {
            if rows & (0x8000_u64.wrapping_shr(row.into())) == 0 {
                continue;
            }
            let columns = bits.take(16)?;
            for column in 0..16_u8 {
                if columns & (0x8000_u64.wrapping_shr(column.into())) != 0 {
                    *used.recent.get_mut(used.count).ok_or(BadStream)? = row << 4 | column;
                    used.count = used.count.saturating_add(1);
                }
            }
        }
        if used.count == 0 {
            return Err(BadStream);
        }
        Ok(used)
    }
}

/// Bits that are read from the highest of each byte on.
struct Bits<'s> {
    rest: &'s [u8],
    /// The next bits, at the top.
    held: u64,
    count: u32,
}

impl<'s> Bits<'s> {
    const fn new(bytes: &'s [u8]) -> Self {
        Self {
            rest: bytes,
            held: 0,
            count: 0,
        }
    }

    /// The next bits, at most 32; behind the end there are zeros.
    fn peek(&mut self, count: u32) -> u32 {
        if self.count < count {
            self.fill();
        }
        let shift = u64::BITS.saturating_sub(count);
        u32::try_from(self.held.wrapping_shr(shift)).unwrap_or(0)
    }

    fn fill(&mut self) {
        while self.count <= 56
            && let Some((byte, rest)) = self.rest.split_first()
        {
            self.rest = rest;
            self.held |= u64::from(*byte).wrapping_shl(56_u32.saturating_sub(self.count));
            self.count = self.count.saturating_add(8);
        }
    }

    fn skip(&mut self, count: u32) -> Result<(), BadStream> {
        self.count = self.count.checked_sub(count).ok_or(BadStream)?;
        self.held = self.held.wrapping_shl(count);
        Ok(())
    }

    /// The next bits, 1 to 32.
    fn take(&mut self, count: u32) -> Result<u64, BadStream> {
        let bits = self.peek(count);
        self.skip(count)?;
        Ok(bits.into())
    }
}

/// Moves the element of that rank to the front.
fn to_front(recent: &mut [u8], rank: usize) -> Result<u8, BadStream> {
    let moved = recent.get_mut(..=rank).ok_or(BadStream)?;
    moved.rotate_right(1);
    moved.first().copied().ok_or(BadStream)
}

fn grow(column: &mut Vec<u32>, byte: u8, count: usize, room: usize) -> Result<(), BadStream> {
    let length = column.len().checked_add(count).filter(|length| *length <= room);
    column.resize(length.ok_or(BadStream)?, byte.into());
    Ok(())
}

const fn low_byte(entry: u32) -> u8 {
    let [byte, ..] = entry.to_le_bytes();
    byte
}

fn follower(entry: u32) -> Result<usize, BadStream> {
    usize::try_from(entry >> 8).map_err(|_| BadStream)
}

#[cfg(test)]
mod tests {
    use super::Bzip2;
    use instar_testkit::packed as packed_by;

    fn packed(level: &str, bytes: &[u8]) -> Vec<u8> {
        packed_by("bzip2", &["-c", level], bytes)
    }

    fn disks() -> Vec<Vec<u8>> {
        let numbers = (0..60_000_u32).flat_map(|number| number.wrapping_mul(0x9e37_79b9).to_le_bytes());
        let text = (0..30_000_u32).flat_map(|number| format!("{} ", number / 7).into_bytes());
        let runs = (0..2000_u32)
            .flat_map(|number| vec![number.to_le_bytes()[0] % 5; usize::try_from(number % 600).unwrap()]);
        vec![
            vec![7],
            vec![0; 300_000],
            numbers.collect(),
            text.collect(),
            runs.collect(),
            vec![1, 1, 1, 1],
            vec![2; 259],
        ]
    }

    #[test]
    fn decodes_what_the_program_encoded() {
        let mut decoder = Bzip2::new();
        for disk in disks() {
            for level in ["-1", "-9"] {
                let stream = packed(level, &disk);
                let mut unit = vec![0xaa; disk.len()];
                assert_eq!(decoder.decode(&stream, &mut unit), Ok(()), "{} bytes", disk.len());
                assert!(unit == disk, "{} bytes", disk.len());
                // Neither more nor less than it gives.
                assert!(decoder.decode(&stream, &mut vec![0; disk.len() + 1]).is_err());
                assert!(decoder.decode(&stream, &mut vec![0; disk.len() - 1]).is_err());
            }
        }
    }

    #[test]
    fn a_stream_cut_off_or_changed_anywhere_is_damaged() {
        let disk = &disks()[3][..3000];
        let stream = packed("-1", disk);
        let mut decoder = Bzip2::new();
        let mut unit = vec![0; disk.len()];
        for length in 0..stream.len() {
            assert!(decoder.decode(&stream[..length], &mut unit).is_err(), "{length}");
        }
        for at in 0..stream.len() {
            let mut changed = stream.clone();
            changed[at] ^= 0x10;
            let outcome = decoder.decode(&changed, &mut unit);
            assert!(outcome.is_err() || unit == disk, "{at}");
        }
    }
}
