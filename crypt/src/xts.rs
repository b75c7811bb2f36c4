//! XTS (IEEE 1619) over runs of sectors.
//!
//! Several sectors are one batch: their vectors are encrypted side by side, and so are their blocks.

use instar_disk::{CipherSpec, Fault, Result, fault::luks as faults};
use zeroize::Zeroize;

use crate::blocks::{self, Boxed};
use crate::iv::Vectors;

/// Blocks of a batch: the largest sector.
const BATCH: usize = 256;
/// Sectors of a batch.
const SECTORS: usize = 8;
/// Bytes of a block.
const BLOCK: usize = 16;
/// The polynomial of the field, of which x^128 is left out.
const POLYNOMIAL: u128 = 0x87;

/// A cipher in this mode.
pub(crate) struct Xts {
    data: Boxed<BLOCK>,
    tweak: Boxed<BLOCK>,
    vectors: Vectors<BLOCK>,
}

impl Xts {
    pub(crate) fn new(spec: &CipherSpec, key: &[u8]) -> Result<Self> {
        if !key.len().is_multiple_of(2) {
            return Err(Fault::new(faults::KEY_ODD));
        }
        let half = key.len().div_euclid(2);
        let (data, tweak) = key.split_at_checked(half).unwrap_or_default();
        Ok(Self {
            data: blocks::wide(spec.algorithm, data)?,
            tweak: blocks::wide(spec.algorithm, tweak)?,
            vectors: Vectors::new(spec, key)?,
        })
    }

    /// Encrypts or decrypts `data`; sectors have `per` blocks, and their numbers are `step` apart.
    pub(crate) fn run(&self, encrypt: bool, first: u64, step: u64, per: usize, data: &mut [[u8; BLOCK]]) {
        let sectors = BATCH.checked_div(per).unwrap_or(1).clamp(1, SECTORS);
        let mut sector = first;
        let mut tweaks = [0_u128; BATCH];
        for batch in data.chunks_mut(sectors.saturating_mul(per)) {
            self.tweaks(sector, step, per, &mut tweaks);
            blend(batch, &tweaks);
            if encrypt {
                self.data.encrypt(batch);
            } else {
                self.data.decrypt(batch);
            }
            blend(batch, &tweaks);
            for _ in 0..sectors {
                sector = sector.wrapping_add(step);
            }
        }
        // They are encrypted numbers of sectors: with the data they tell what the second key does.
        tweaks.zeroize();
    }

    /// The tweak of each block of a batch that starts at `sector`.
    fn tweaks(&self, sector: u64, step: u64, per: usize, into: &mut [u128; BATCH]) {
        let mut vectors = [[0; BLOCK]; SECTORS];
        self.vectors.fill(sector, step, &mut vectors);
        self.tweak.encrypt(&mut vectors);
        for (vector, tweaks) in vectors.iter().zip(into.chunks_mut(per)) {
            let mut tweak = u128::from_le_bytes(*vector);
            for one in tweaks {
                *one = tweak;
                tweak = double(tweak);
            }
        }
    }
}

/// Times x, without a branch on the bit that leaves.
const fn double(tweak: u128) -> u128 {
    (tweak << 1) ^ ((tweak >> 127).wrapping_neg() & POLYNOMIAL)
}

fn blend(blocks: &mut [[u8; BLOCK]], tweaks: &[u128]) {
    for (block, tweak) in blocks.iter_mut().zip(tweaks) {
        *block = (u128::from_le_bytes(*block) ^ tweak).to_le_bytes();
    }
}
