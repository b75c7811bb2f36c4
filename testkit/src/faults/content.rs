//! What a file holds, cheap to copy.

use std::collections::BTreeMap;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The bytes of a file in blocks. Copies share a block until one of them writes to it, and blocks of zeros are left out, so that a
/// thousand states of a file take little more memory and time than one.
#[derive(Clone, Debug, Default)]
pub struct Content {
    length: u64,
    /// By their number; the last one is zero behind the end of the file.
    blocks: BTreeMap<u64, Arc<[u8; BLOCK]>>,
}

/// Bytes of a block.
const BLOCK: usize = 16 << 10;

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        let mut content = Self {
            length: bytes.len() as u64,
            blocks: BTreeMap::new(),
        };
        for (number, block) in bytes.chunks(BLOCK).enumerate() {
            if block.iter().any(|byte| *byte != 0) {
                content.block(number as u64)[..block.len()].copy_from_slice(block);
            }
        }
        content
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl Content {
    /// The length of the file.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.length
    }

    /// Whether the file has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// All bytes, one after the other.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length as usize];
        for (number, block) in &self.blocks {
            let at = *number as usize * BLOCK;
            let length = BLOCK.min(bytes.len() - at);
            bytes[at..][..length].copy_from_slice(&block[..length]);
        }
        bytes
    }

    /// Makes the file at `path` one with these bytes, with holes where blocks are left out.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn put(&self, path: &Path) {
        let write = || {
            let file = std::fs::File::create(path)?;
            file.set_len(self.length)?;
            for (number, block) in &self.blocks {
                let at = number * BLOCK as u64;
                let length = (self.length - at).min(BLOCK as u64);
                file.write_all_at(&block[..length as usize], at)?;
            }
            Ok::<_, std::io::Error>(())
        };
        write().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Gives the file another length; what is added is zero.
    pub fn set_length(&mut self, length: u64) {
        self.length = length;
        let (whole, rest) = (length / BLOCK as u64, length as usize % BLOCK);
        let mut cut = self.blocks.split_off(&whole);
        if let Some(mut last) = cut.remove(&whole).filter(|_| rest > 0) {
            Arc::make_mut(&mut last)[rest..].fill(0);
            self.blocks.insert(whole, last);
        }
    }

    /// Writes bytes, past the end too.
    pub fn write(&mut self, at: u64, bytes: &[u8]) {
        self.change(at, bytes.len() as u64, &mut |done, into| {
            into.copy_from_slice(&bytes[done..][..into.len()]);
        });
    }

    /// Reads bytes; what lies past the end is zero.
    pub fn read(&self, at: u64, into: &mut [u8]) {
        let mut done = 0;
        let there = self.length.saturating_sub(at).min(into.len() as u64) as usize;
        let (into, behind) = into.split_at_mut(there);
        behind.fill(0);
        while done < there {
            let at = at + done as u64;
            let within = at as usize % BLOCK;
            let part = (into.len() - done).min(BLOCK - within);
            let into = &mut into[done..][..part];
            match self.blocks.get(&(at / BLOCK as u64)) {
                Some(block) => into.copy_from_slice(&block[within..][..part]),
                None => into.fill(0),
            }
            done += part;
        }
    }

    /// Makes a range zero, in time that does not depend on its length; what lies past the end stays there.
    pub fn zero(&mut self, at: u64, length: u64) {
        let end = self.length.min(at.saturating_add(length));
        if at >= end {
            return;
        }
        let touched = self.blocks.range(at / BLOCK as u64..end.div_ceil(BLOCK as u64));
        let numbers: Vec<u64> = touched.map(|(number, _)| *number).collect();
        for number in numbers {
            let start = number * BLOCK as u64;
            let (from, to) = (at.max(start) - start, end.min(start + BLOCK as u64) - start);
            if from == 0 && to == BLOCK as u64 {
                self.blocks.remove(&number);
            } else {
                self.block(number)[from as usize..to as usize].fill(0);
            }
        }
    }

    /// The next range from `at` on of blocks that are there, within the file.
    #[must_use]
    pub fn data(&self, at: u64) -> Option<Range<u64>> {
        let mut blocks = self.blocks.range(at / BLOCK as u64..).map(|(number, _)| *number);
        let first = blocks.next()?;
        let mut end = first + 1;
        for number in blocks {
            if number != end {
                break;
            }
            end += 1;
        }
        let range = at.max(first * BLOCK as u64)..self.length.min(end * BLOCK as u64);
        (!range.is_empty()).then_some(range)
    }

    /// Bytes of the blocks that are there.
    #[must_use]
    pub fn stored(&self) -> u64 {
        (self.blocks.len() * BLOCK) as u64
    }

    /// Writes one byte over and over, past the end too.
    pub fn fill(&mut self, at: u64, length: u64, byte: u8) {
        self.change(at, length, &mut |_, into| into.fill(byte));
    }

    /// Calls `write` with how many bytes are done, and the next ones.
    fn change(&mut self, at: u64, length: u64, write: &mut dyn FnMut(usize, &mut [u8])) {
        let end = at + length;
        self.length = self.length.max(end);
        let mut next = at;
        while next < end {
            let (number, within) = (next / BLOCK as u64, next as usize % BLOCK);
            let part = ((end - next) as usize).min(BLOCK - within);
            write((next - at) as usize, &mut self.block(number)[within..][..part]);
            next += part as u64;
        }
    }

    /// A block of this file alone.
    fn block(&mut self, number: u64) -> &mut [u8; BLOCK] {
        let block = self.blocks.entry(number).or_insert_with(|| Arc::new([0; BLOCK]));
        Arc::make_mut(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_data_is_where_something_was_written() {
        let mut content = Content::default();
        content.write(40_000, &[1]);
        content.write(70_000, &[1]);
        content.set_length(100_000);
        assert_eq!(content.data(0), Some(32_768..49_152));
        assert_eq!(content.data(49_152), Some(65_536..81_920));
        assert_eq!(content.data(81_920), None);
        assert_eq!(content.stored(), 32_768);
    }

    #[test]
    fn it_is_what_a_vector_would_be() {
        let mut plain: Vec<u8> = (0..40_000_u32).map(|n| (n % 251) as u8).collect();
        let mut content = Content::from(plain.as_slice());
        let copy = content.clone();
        content.write(16_380, &[9; 10]);
        plain[16_380..16_390].fill(9);
        content.fill(39_990, 20_000, 7);
        plain.resize(59_990, 0);
        plain[39_990..].fill(7);
        assert_eq!(content.bytes(), plain);
        for length in [59_000_u64, 20_000, 16_384, 50_000] {
            content.set_length(length);
            plain.resize(length as usize, 0);
            assert_eq!(content.bytes(), plain, "{length}");
        }
        content.zero(16_385, 20_000);
        plain[16_385..36_385].fill(0);
        content.zero(49_999, u64::MAX);
        plain[49_999] = 0;
        assert_eq!(content.bytes(), plain);
        let mut part = [1; 300];
        content.read(49_900, &mut part);
        assert_eq!((&part[..100], &part[100..]), (&plain[49_900..], &[0; 200][..]));
        let directory = crate::scratch();
        let path = directory.path().join("file");
        content.put(&path);
        assert_eq!(std::fs::read(&path).unwrap(), plain);
        assert_eq!(
            copy.bytes(),
            (0..40_000_u32).map(|n| (n % 251) as u8).collect::<Vec<u8>>()
        );
    }
}
