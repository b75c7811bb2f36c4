//! LZFSE: blocks of literals and repetitions, coded by tables of finite-state entropy.
//!
//! ```text
//!  stream   block, block, …, "bvx$"
//!  block    "bvx-" bytes as they are │ "bvxn" LZVN │ "bvx2" as follows
//!
//!  bvx2     header: counts, states │ frequencies │ bits of literals ◄── read from the end │ bits of repetitions ◄── likewise
//!  state    entry of a table ─► symbol, bits to read, base of the next state
//! ```
//!
//! Four states give literals in turn. A repetition is three symbols with extra bits: literals before it, its length, its distance,
//! of which 0 stands for the last one.

use alloc::boxed::Box;

use crate::BadStream;
use crate::cursor::{From, Into};
use crate::lzvn;

/// States of the tables, and symbols of each.
const LENGTH_STATES: usize = 64;
const DISTANCE_STATES: usize = 256;
const LITERAL_STATES: usize = 1024;
const LENGTHS: usize = 20;
const DISTANCES: usize = 64;
const LITERALS: usize = 256;

/// Limits of a block; the format's.
const REPETITIONS_MAX: u64 = 10_000;
const LITERALS_MAX: usize = 40_000;

/// Extra bits of the symbols from the 17th on; those before have none.
const LITERAL_RUN_BITS: [u8; 4] = [2, 3, 5, 8];
const LENGTH_BITS: [u8; 4] = [3, 5, 8, 11];

/// Tables and literals of the block at hand.
pub(crate) struct Lzfse {
    literal_table: [Entry; LITERAL_STATES],
    run_table: [Entry; LENGTH_STATES],
    length_table: [Entry; LENGTH_STATES],
    distance_table: [Entry; DISTANCE_STATES],
    literals: [u8; LITERALS_MAX],
}

/// What a state stands for.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// The next state, less the bits read for it.
    next: u16,
    /// Bits to read for it.
    bits: u8,
    symbol: u8,
    /// Bits to read for the value, and what is added to them.
    extra: u8,
    base: u32,
}

/// What the header of a block says of its bits.
struct Head {
    literals: usize,
    literal_bytes: usize,
    literal_padding: u32,
    literal_states: [usize; 4],
    repetitions: u64,
    repetition_bytes: usize,
    repetition_padding: u32,
    /// Of literal runs, lengths and distances.
    states: [usize; 3],
}

impl Lzfse {
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self {
            literal_table: [Entry::default(); LITERAL_STATES],
            run_table: [Entry::default(); LENGTH_STATES],
            length_table: [Entry::default(); LENGTH_STATES],
            distance_table: [Entry::default(); DISTANCE_STATES],
            literals: [0; LITERALS_MAX],
        })
    }

    /// Fills `unit`.
    pub(crate) fn decode(&mut self, stored: &[u8], unit: &mut [u8]) -> Result<(), BadStream> {
        let (mut from, mut into) = (From(stored), Into::new(unit));
        while !into.is_full() {
            let mark = from.array()?;
            if mark == *b"bvx$" {
                break;
            }
            let raw = from.le32()?;
            let start = into.filled();
            match &mark {
                b"bvx-" => into.put(from.bytes(size(raw.into())?)?)?,
                b"bvxn" => {
                    let payload = from.le32()?;
                    lzvn::decode(from.bytes(size(payload.into())?)?, &mut into)?;
                }
                b"bvx2" => self.block(&mut from, &mut into)?,
                _ => return Err(BadStream),
            }
            if into.filled().checked_sub(start) != Some(size(raw.into())?) {
                return Err(BadStream);
            }
        }
        into.is_full().then_some(()).ok_or(BadStream)
    }

    fn block(&mut self, from: &mut From<'_>, into: &mut Into<'_>) -> Result<(), BadStream> {
        let head = self.head(from)?;
        let literals = Bits::new(from.bytes(head.literal_bytes)?, head.literal_padding)?;
        self.read_literals(&head, literals)?;
        let repetitions = Bits::new(from.bytes(head.repetition_bytes)?, head.repetition_padding)?;
        self.repeat(&head, repetitions, into)
    }

    /// Reads the header, behind its first eight bytes, and makes the tables.
    fn head(&mut self, from: &mut From<'_>) -> Result<Head, BadStream> {
        let [one, two, three] = [from.array()?, from.array()?, from.array()?].map(u64::from_le_bytes);
        let field = |word: u64, at: u32, bits: u32| (word >> at) & mask(bits);
        let bytes = size(field(three, 0, 32))?
            .checked_sub(HEAD_BYTES)
            .ok_or(BadStream)?;
        let [mut runs, mut lengths] = [[0; LENGTHS]; 2];
        let mut distances = [0; DISTANCES];
        let mut literals = [0; LITERALS];
        let all = [&mut runs[..], &mut lengths, &mut distances, &mut literals];
        read_frequencies(from.bytes(bytes)?, all.into_iter().flatten())?;
        fill(&mut self.literal_table, &literals, |_| 0)?;
        let extra = |bits: [u8; 4]| {
            move |symbol: usize| {
                symbol
                    .checked_sub(16)
                    .and_then(|at| bits.get(at).copied())
                    .unwrap_or(0)
            }
        };
        fill(&mut self.run_table, &runs, extra(LITERAL_RUN_BITS))?;
        fill(&mut self.length_table, &lengths, extra(LENGTH_BITS))?;
        fill(&mut self.distance_table, &distances, |symbol| {
            u8::try_from(symbol / 4).unwrap_or(0)
        })?;
        Ok(Head {
            literals: size(field(one, 0, 20))?,
            literal_bytes: size(field(one, 20, 20))?,
            repetitions: field(one, 40, 20),
            literal_padding: padding(field(one, 60, 3))?,
            literal_states: [state(two, 0)?, state(two, 10)?, state(two, 20)?, state(two, 30)?],
            repetition_bytes: size(field(two, 40, 20))?,
            repetition_padding: padding(field(two, 60, 3))?,
            states: [state(three, 32)?, state(three, 42)?, state(three, 52)?],
        })
    }

    fn read_literals(&mut self, head: &Head, mut bits: Bits<'_>) -> Result<(), BadStream> {
        let into = self.literals.get_mut(..head.literals).ok_or(BadStream)?;
        let mut states = head.literal_states;
        for four in into.chunks_mut(4) {
            for (literal, state) in four.iter_mut().zip(&mut states) {
                *literal = step(&self.literal_table, state, &mut bits)?.symbol;
            }
        }
        Ok(())
    }

    fn repeat(&self, head: &Head, mut bits: Bits<'_>, into: &mut Into<'_>) -> Result<(), BadStream> {
        if head.repetitions > REPETITIONS_MAX {
            return Err(BadStream);
        }
        let mut literals = From(self.literals.get(..head.literals).ok_or(BadStream)?);
        let [mut run, mut length, mut distance] = head.states;
        let mut last = 0;
        for _ in 0..head.repetitions {
            let count = value(&self.run_table, &mut run, &mut bits)?;
            let copied = value(&self.length_table, &mut length, &mut bits)?;
            let back = value(&self.distance_table, &mut distance, &mut bits)?;
            if back != 0 {
                last = back;
            }
            into.put(literals.bytes(count)?)?;
            if copied > 0 {
                into.repeat(last, copied)?;
            }
        }
        Ok(())
    }
}

/// Bits that are read from the end of a slice to its start.
struct Bits<'s> {
    bytes: &'s [u8],
    /// How many are left.
    left: usize,
}

impl<'s> Bits<'s> {
    /// The last `padding` bits count for nothing.
    fn new(bytes: &'s [u8], padding: u32) -> Result<Self, BadStream> {
        let all = bytes.len().checked_mul(8).ok_or(BadStream)?;
        let left = all.checked_sub(size(padding.into())?).ok_or(BadStream)?;
        Ok(Self { bytes, left })
    }

    /// The next bits, at most 32.
    fn take(&mut self, count: u32) -> Result<u64, BadStream> {
        self.left = self.left.checked_sub(size(count.into())?).ok_or(BadStream)?;
        let rest = self.bytes.get(self.left / 8..).unwrap_or_default();
        let word = match rest.first_chunk() {
            Some(word) => u64::from_le_bytes(*word),
            None => {
                let mut word = [0; 8];
                for (to, from) in word.iter_mut().zip(rest) {
                    *to = *from;
                }
                u64::from_le_bytes(word)
            }
        };
        Ok(word.wrapping_shr(u32::try_from(self.left % 8).unwrap_or(0)) & mask(count))
    }
}

/// The entry of a state, which moves on.
fn step(table: &[Entry], state: &mut usize, bits: &mut Bits<'_>) -> Result<Entry, BadStream> {
    let entry = *table.get(*state).ok_or(BadStream)?;
    *state = usize::from(entry.next).saturating_add(size(bits.take(entry.bits.into())?)?);
    Ok(entry)
}

/// As [`step`], with the value of the symbol, whose extra bits stand below those of the state.
fn value(table: &[Entry], state: &mut usize, bits: &mut Bits<'_>) -> Result<usize, BadStream> {
    let entry = step(table, state, bits)?;
    let extra = bits.take(entry.extra.into())?;
    size(u64::from(entry.base).saturating_add(extra))
}

/// Makes the table of symbols with these frequencies, of which `extra` gives the extra bits.
fn fill(table: &mut [Entry], frequencies: &[u16], extra: impl Fn(usize) -> u8) -> Result<(), BadStream> {
    let states = u32::try_from(table.len()).map_err(|_| BadStream)?;
    table.fill(Entry::default());
    let mut entries = table.iter_mut();
    let mut base = 0_u32;
    for (symbol, frequency) in frequencies.iter().enumerate() {
        let frequency = u32::from(*frequency);
        let extra = extra(symbol);
        if frequency > 0 {
            // So many bits bring the state back above the number of states, for the first of them; one less for the rest.
            let bits = frequency
                .leading_zeros()
                .checked_sub(states.leading_zeros())
                .ok_or(BadStream)?;
            let turn = states
                .saturating_mul(2)
                .wrapping_shr(bits)
                .saturating_sub(frequency);
            for index in 0..frequency {
                let (bits, next) = if index < turn {
                    let sum = frequency.saturating_add(index).wrapping_shl(bits);
                    (bits, sum.saturating_sub(states))
                } else {
                    let bits = bits.checked_sub(1).ok_or(BadStream)?;
                    (bits, index.saturating_sub(turn).wrapping_shl(bits))
                };
                *entries.next().ok_or(BadStream)? = Entry {
                    next: u16::try_from(next).map_err(|_| BadStream)?,
                    bits: u8::try_from(bits).map_err(|_| BadStream)?,
                    symbol: u8::try_from(symbol).map_err(|_| BadStream)?,
                    extra,
                    base,
                };
            }
        }
        base = base.saturating_add(1_u32.wrapping_shl(extra.into()));
    }
    Ok(())
}

/// Reads frequencies, each coded by a few bits, lowest first. Without bytes all are zero.
fn read_frequencies<'f>(bytes: &[u8], into: impl Iterator<Item = &'f mut u16>) -> Result<(), BadStream> {
    if bytes.is_empty() {
        return Ok(());
    }
    let mut from = From(bytes);
    let (mut held, mut count) = (0_u32, 0_u32);
    for frequency in into {
        while count <= 24 && !from.0.is_empty() {
            held |= u32::from(from.byte()?).wrapping_shl(count);
            count = count.saturating_add(8);
        }
        let (value, bits) = frequency_of(held);
        count = count.checked_sub(bits).ok_or(BadStream)?;
        held = held.wrapping_shr(bits);
        *frequency = value;
    }
    if count >= 8 || !from.0.is_empty() {
        return Err(BadStream);
    }
    Ok(())
}

/// A frequency and the bits that it takes.
fn frequency_of(held: u32) -> (u16, u32) {
    let rest = u16::try_from(held >> 4 & 0x3ff).unwrap_or(0);
    match held & 0x1f {
        code if code & 3 == 0 => (0, 2),
        code if code & 3 == 2 => (1, 2),
        code if code & 7 == 1 => (2, 3),
        code if code & 7 == 5 => (3, 3),
        0x03 => (4, 5),
        0x0b => (5, 5),
        0x13 => (6, 5),
        0x1b => (7, 5),
        code if code & 0xf == 7 => ((rest & 0xf).saturating_add(8), 8),
        _ => (rest.saturating_add(24), 14),
    }
}

/// A field that gives the padding of bits: 7 for none, down to 0.
fn padding(field: u64) -> Result<u32, BadStream> {
    let field = u32::try_from(field).map_err(|_| BadStream)?;
    7_u32.checked_sub(field).ok_or(BadStream)
}

/// Ten bits that are a state.
fn state(word: u64, at: u32) -> Result<usize, BadStream> {
    size(word.wrapping_shr(at) & mask(10))
}

fn size(value: u64) -> Result<usize, BadStream> {
    usize::try_from(value).map_err(|_| BadStream)
}

const fn mask(bits: u32) -> u64 {
    1_u64.wrapping_shl(bits).wrapping_sub(1)
}

/// Bytes of the header in front of the frequencies.
const HEAD_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::Lzfse;
    use alloc::vec;
    use alloc::vec::Vec;

    /// 1500 bytes of [`lines`], as Apple's library makes them: one block of LZVN.
    const SHORT: &str = "6276786edc050000b3000000e00974686973206c696e65207374616e64732061742062797465203801f1ee30206f6620746865206469736b \
         0a3832f0096e35f0189e3130f01b3864f0176e32f0196e32f0196e33f0196e33f0196e34f0196e34f0196e35f0196e35f0196e36f0196e36 \
         f0196e37f0196e37f0196e38f0196e38f0196e39f0196e39f0189e3130f01a9e3130f01b6e31f0196e31f0196e32f0196e32f0196e33f019 \
         6e33f0196e34f0196e34f4e3736b0a060000000000000062767824";

    /// 9000 bytes of [`lines`], as Apple's library makes them: one block of LZFSE.
    const LONG: &str = "6276783228230000e000e00600b60030ee73be7af58d0000980000003f04a00ffe082200008220000028c097002f4e010000040400001000 \
         000000000000600100700100000000c037000000009cfe10dfc437f14d7c13dfc437f14d5c00000000000000000000178b8bb3c5c529178b \
         8b05dcdf032c000000000000000000000000000000000000000000000000000000000000000000000000008368ad64a3aa9a999999999949 \
         44e4eededddddddddd0d006666006066060049020000000000b06db64d92244992ff2f49499224494292ffdfb66ddbb624294949929c1c22 \
         6776035513b2d544ba5d91026b4b811172ae3595485822ae1f17b69cbc00326753a751b0bd020000000000000000000004e69c73ce39e72c \
         cb39e79c73cef39c73ce39e72ce739e79c73cef23ce79c73ce59ce79ce39e79ce59ce79c73ce59ce39cf39e79ce59ce539e79cb39c73ce73 \
         ce39cb39e73ce79cb39c73ce79ce39cb39e72ccf396739e79c739e739673ce39e7396739e79c33db369b7300f358ce39e79cf39ce59c73c6 \
         b51cca00e68595e817f50162767824";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        let digit = |letter: u8| u8::try_from(char::from(letter).to_digit(16).unwrap()).unwrap();
        digits
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[high, low]| digit(*high) << 4 | digit(*low))
            .collect()
    }

    fn lines(length: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let line = alloc::format!("this line stands at byte {:>12} of the disk\n", bytes.len());
            bytes.extend_from_slice(line.as_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    fn streams() -> [(Vec<u8>, Vec<u8>); 2] {
        [(bytes(SHORT), lines(1500)), (bytes(LONG), lines(9000))]
    }

    #[test]
    fn decodes_what_the_library_of_apple_encoded() {
        for (stream, disk) in streams() {
            let mut unit = vec![0xaa; disk.len()];
            Lzfse::new().decode(&stream, &mut unit).unwrap();
            assert!(unit == disk, "{} bytes", disk.len());
        }
    }

    #[test]
    fn a_stream_cut_off_anywhere_is_damaged() {
        for (stream, disk) in streams() {
            let mut unit = vec![0; disk.len()];
            // The end mark may be missing: the unit is full by then.
            for length in 0..stream.len() - 4 {
                let outcome = Lzfse::new().decode(&stream[..length], &mut unit);
                assert!(outcome.is_err() || unit == disk, "{length}");
            }
        }
    }

    #[test]
    fn a_stream_with_any_byte_changed_is_decoded_or_damaged() {
        let mut decoder = Lzfse::new();
        let mut damaged = 0;
        for (stream, disk) in streams() {
            let mut unit = vec![0; disk.len()];
            for at in 0..stream.len() {
                for change in [1, 0x80, 0xff] {
                    let mut stream = stream.clone();
                    stream[at] ^= change;
                    damaged += usize::from(decoder.decode(&stream, &mut unit).is_err());
                }
            }
        }
        assert!(damaged > 500, "{damaged}");
    }
}
