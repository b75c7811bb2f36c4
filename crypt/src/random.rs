//! Random bytes from a seed that the host gave.

use instar_disk::{CipherAlgorithm, CipherMode, CipherSpec, IvGenerator, Result};
use zeroize::Zeroizing;

use crate::Cipher;

/// Bytes that nobody can tell from random ones without the seed: the key stream of AES-256 in counter mode.
#[derive(Debug)]
pub struct Random {
    cipher: Cipher,
    sector: u64,
}

/// Bytes of a sector of the stream.
const SECTOR: usize = 512;

impl Random {
    /// A stream of its own for each seed: one seed must be used once.
    ///
    /// # Errors
    /// None that a seed could cause.
    pub fn new(seed: &[u8; 32]) -> Result<Self> {
        let spec = CipherSpec {
            algorithm: CipherAlgorithm::Aes256,
            mode: CipherMode::Ctr,
            ivgen: IvGenerator::Plain64,
            ivhash: None,
        };
        Ok(Self {
            cipher: Cipher::new(&spec, seed)?,
            sector: 0,
        })
    }

    /// Fills `into` with bytes that were never given out before.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn fill(&mut self, into: &mut [u8]) -> Result<()> {
        for piece in into.chunks_mut(SECTOR) {
            let mut stream = Zeroizing::new([0; SECTOR]);
            self.cipher.encrypt(self.sector, SECTOR, &mut *stream)?;
            self.sector = self.sector.wrapping_add(1);
            for (to, from) in piece.iter_mut().zip(stream.iter()) {
                *to = *from;
            }
        }
        Ok(())
    }

    /// So many of them.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}
