//! A disk's cipher with its key.

use core::fmt;

use instar_disk::fault::luks as faults;
use instar_disk::{CipherAlgorithm, CipherMode, CipherSpec, Fault, IvGenerator, Result, from_usize};
use zeroize::Zeroizing;

use crate::blocks;
use crate::iv::Vectors;
use crate::modes::Modes;
use crate::xts::Xts;

/// Bytes that the number of a sector counts, whatever the size of the disk's sectors.
const SECTOR: usize = 512;

/// Encrypts and decrypts sectors. One serves all lanes; the keys in it are wiped when it is dropped.
pub struct Cipher {
    spec: CipherSpec,
    engine: Engine,
}

enum Engine {
    Xts(Xts),
    Wide(Modes<16>),
    Narrow(Modes<8>),
}

impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cipher").field("spec", &self.spec).finish()
    }
}

impl Cipher {
    /// The cipher of a disk with this key.
    ///
    /// # Errors
    /// The key has another length, or the cipher does not exist in that mode.
    pub fn new(spec: &CipherSpec, key: &[u8]) -> Result<Self> {
        let engine = match (spec.algorithm.block_bytes(), spec.mode) {
            (16, CipherMode::Xts) => Engine::Xts(Xts::new(spec, key)?),
            (16, mode) => Engine::Wide(Modes {
                mode,
                data: blocks::wide(spec.algorithm, key)?,
                vectors: Vectors::new(spec, key)?,
            }),
            (_, CipherMode::Xts) => {
                return Err(Fault::new(faults::MODE_CIPHER).named(spec.mode.name().as_bytes()));
            }
            (_, _) if spec.ivgen == IvGenerator::Essiv => {
                return Err(Fault::new(faults::ESSIV_CIPHER).named(spec.algorithm.name().as_bytes()));
            }
            (_, mode) => Engine::Narrow(Modes {
                mode,
                data: blocks::narrow(key)?,
                vectors: Vectors::plain(spec.ivgen),
            }),
        };
        Ok(Self { spec: *spec, engine })
    }

    /// The cipher of qcow and of old encrypted qcow2 images, whose key is the beginning of the passphrase itself.
    ///
    /// # Errors
    /// None that a passphrase could cause.
    pub fn legacy(passphrase: &[u8]) -> Result<Self> {
        let mut key = Zeroizing::new([0; 16]);
        for (to, from) in key.iter_mut().zip(passphrase) {
            *to = *from;
        }
        Self::new(&LEGACY, &*key)
    }

    /// How it encrypts.
    #[must_use]
    pub const fn spec(&self) -> &CipherSpec {
        &self.spec
    }

    /// Encrypts the sectors in `data`. `first` is the number of the first, in units of 512 bytes also where sectors are larger; a run may
    /// be cut between any two sectors.
    ///
    /// # Errors
    /// `data` is not whole blocks, or no sector has so many bytes.
    pub fn encrypt(&self, first: u64, sector_bytes: usize, data: &mut [u8]) -> Result<()> {
        self.run(true, first, sector_bytes, data)
    }

    /// Decrypts the sectors in `data`, as [`Self::encrypt`].
    ///
    /// # Errors
    /// The same.
    pub fn decrypt(&self, first: u64, sector_bytes: usize, data: &mut [u8]) -> Result<()> {
        self.run(false, first, sector_bytes, data)
    }

    fn run(&self, encrypt: bool, first: u64, sector_bytes: usize, data: &mut [u8]) -> Result<()> {
        if !matches!(sector_bytes, 512 | 1024 | 2048 | 4096) {
            return Err(Fault::new(faults::BLOCKS).with([from_usize(sector_bytes), from_usize(SECTOR)]));
        }
        let step = from_usize(sector_bytes.div_euclid(SECTOR));
        match &self.engine {
            Engine::Xts(xts) => xts.run(encrypt, first, step, sector_bytes.div_euclid(16), whole(data)?),
            Engine::Wide(modes) => modes.run(encrypt, first, step, sector_bytes.div_euclid(16), whole(data)?),
            Engine::Narrow(modes) => {
                modes.run(encrypt, first, step, sector_bytes.div_euclid(8), whole(data)?)
            }
        }
        Ok(())
    }
}

/// `data` as blocks.
fn whole<const N: usize>(data: &mut [u8]) -> Result<&mut [[u8; N]]> {
    let bytes = from_usize(data.len());
    match data.as_chunks_mut() {
        (blocks, []) => Ok(blocks),
        _ => Err(Fault::new(faults::BLOCKS).with([bytes, from_usize(N)])),
    }
}

const LEGACY: CipherSpec = CipherSpec {
    algorithm: CipherAlgorithm::Aes128,
    mode: CipherMode::Cbc,
    ivgen: IvGenerator::Plain64,
    ivhash: None,
};

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "tests compute with numbers of their own"
)]
mod tests;
