//! ECB, CBC and CTR over runs of sectors.

use instar_disk::CipherMode;
use zeroize::Zeroize;

use crate::blocks::Boxed;
use crate::iv::Vectors;

/// Blocks that are kept aside at a time.
const BATCH: usize = 128;
/// Sectors of which CBC encrypts a block each at a time, because the blocks of one sector wait for each other.
const ABREAST: usize = 64;

/// A cipher with blocks of `N` bytes in one of these modes.
pub(crate) struct Modes<const N: usize> {
    pub(crate) mode: CipherMode,
    pub(crate) data: Boxed<N>,
    pub(crate) vectors: Vectors<N>,
}

impl<const N: usize> Modes<N> {
    /// Encrypts or decrypts `data`; sectors have `per` blocks, and their numbers are `step` apart.
    pub(crate) fn run(&self, encrypt: bool, first: u64, step: u64, per: usize, data: &mut [[u8; N]]) {
        match (self.mode, encrypt) {
            (CipherMode::Ecb | CipherMode::Xts, true) => self.data.encrypt(data),
            (CipherMode::Ecb | CipherMode::Xts, false) => self.data.decrypt(data),
            (CipherMode::Cbc, true) => self.chain(first, step, per, data),
            (CipherMode::Cbc, false) => self.sectors(first, step, per, data, Self::unchain),
            (CipherMode::Ctr, _) => self.sectors(first, step, per, data, Self::stream),
        }
    }

    /// Calls `work` for each sector with its vector.
    fn sectors(
        &self,
        first: u64,
        step: u64,
        per: usize,
        data: &mut [[u8; N]],
        work: fn(&Self, [u8; N], &mut [[u8; N]]),
    ) {
        let mut number = first;
        for group in data.chunks_mut(per.saturating_mul(ABREAST)) {
            let mut vectors = [[0; N]; ABREAST];
            self.vectors.fill(number, step, &mut vectors);
            for (sector, vector) in group.chunks_mut(per).zip(vectors) {
                work(self, vector, sector);
                number = number.wrapping_add(step);
            }
        }
    }

    /// Encrypts: the first block of each of several sectors, then the second of each.
    fn chain(&self, first: u64, step: u64, per: usize, data: &mut [[u8; N]]) {
        let mut number = first;
        for group in data.chunks_mut(per.saturating_mul(ABREAST)) {
            let mut links = [[0; N]; ABREAST];
            self.vectors.fill(number, step, &mut links);
            let mut rows = group.chunks_mut(per);
            let mut sectors: [_; ABREAST] =
                core::array::from_fn(|_| rows.next().unwrap_or_default().iter_mut());
            for _ in 0..per {
                let mut blocks = sectors.each_mut().map(Iterator::next);
                for (link, block) in links.iter_mut().zip(&blocks) {
                    if let Some(block) = block {
                        blend(link, block);
                    }
                }
                self.data.encrypt(&mut links);
                for (link, block) in links.iter().zip(&mut blocks) {
                    if let Some(block) = block {
                        **block = *link;
                    }
                }
            }
            for _ in 0..ABREAST {
                number = number.wrapping_add(step);
            }
        }
    }

    /// Decrypts a sector.
    fn unchain(&self, vector: [u8; N], sector: &mut [[u8; N]]) {
        let mut link = vector;
        let mut sealed = [[0; N]; BATCH];
        for batch in sector.chunks_mut(BATCH) {
            for (kept, block) in sealed.iter_mut().zip(batch.iter()) {
                *kept = *block;
            }
            self.data.decrypt(batch);
            for (block, kept) in batch.iter_mut().zip(&sealed) {
                blend(block, &link);
                link = *kept;
            }
        }
    }

    /// Encrypts or decrypts a sector: the vector is the first counter, which grows as a big-endian number.
    pub(crate) fn stream(&self, vector: [u8; N], sector: &mut [[u8; N]]) {
        let mut counter = vector;
        let mut keys = [[0; N]; BATCH];
        for batch in sector.chunks_mut(BATCH) {
            let keys = keys.get_mut(..batch.len()).unwrap_or_default();
            for key in keys.iter_mut() {
                *key = counter;
                increment(&mut counter);
            }
            self.data.encrypt(keys);
            for (block, key) in batch.iter_mut().zip(keys) {
                blend(block, key);
            }
        }
        keys.as_flattened_mut().zeroize();
    }
}

fn blend<const N: usize>(block: &mut [u8; N], with: &[u8; N]) {
    for (to, from) in block.iter_mut().zip(with) {
        *to ^= from;
    }
}

/// A big-endian number, plus one.
fn increment<const N: usize>(counter: &mut [u8; N]) {
    for digit in counter.iter_mut().rev() {
        *digit = digit.wrapping_add(1);
        if *digit != 0 {
            return;
        }
    }
}
