//! Initialisation vectors: a sector's number as the first block of its chain.

use instar_disk::fault::luks as faults;
use instar_disk::{CipherAlgorithm, CipherSpec, Fault, HashName, IvGenerator, Result, from_usize};
use zeroize::Zeroizing;

use crate::blocks::{self, Boxed};
use crate::hash::digest;

/// Makes the vectors of sectors, for blocks of `N` bytes.
pub(crate) struct Vectors<const N: usize> {
    short: bool,
    essiv: Option<Boxed<N>>,
}

impl<const N: usize> Vectors<N> {
    /// Those of a generator that needs no key.
    pub(crate) const fn plain(generator: IvGenerator) -> Self {
        Self {
            short: matches!(generator, IvGenerator::Plain),
            essiv: None,
        }
    }

    /// Fills `into` with the vectors of the sectors `first`, `first + step` and so on.
    pub(crate) fn fill(&self, first: u64, step: u64, into: &mut [[u8; N]]) {
        let mut sector = first;
        for vector in into.iter_mut() {
            let number = if self.short {
                sector & u64::from(u32::MAX)
            } else {
                sector
            };
            *vector = [0; N];
            for (to, from) in vector.iter_mut().zip(number.to_le_bytes()) {
                *to = from;
            }
            sector = sector.wrapping_add(step);
        }
        if let Some(cipher) = &self.essiv {
            cipher.encrypt(into);
        }
    }
}

impl Vectors<16> {
    /// Those of `spec` for a disk with this key.
    ///
    /// # Errors
    /// What speaks against the generator essiv.
    pub(crate) fn new(spec: &CipherSpec, key: &[u8]) -> Result<Self> {
        if spec.ivgen != IvGenerator::Essiv {
            return Ok(Self::plain(spec.ivgen));
        }
        let hash = spec.ivhash.ok_or(Fault::new(faults::IVGEN_HASH))?;
        let algorithm = essiv_algorithm(spec.algorithm, hash)?;
        let salt = Zeroizing::new(digest(hash, &[key]));
        Ok(Self {
            short: false,
            essiv: Some(blocks::wide(algorithm, &salt)?),
        })
    }
}

/// The cipher of the generator essiv: the one of the disk, with a key as long as the digest.
///
/// # Errors
/// There is none.
pub(crate) fn essiv_algorithm(algorithm: CipherAlgorithm, hash: HashName) -> Result<CipherAlgorithm> {
    let bytes = hash.digest_bytes();
    let code = match algorithm.luks_name() {
        "aes" => faults::ESSIV_AES,
        "serpent" => faults::ESSIV_SERPENT,
        "twofish" => faults::ESSIV_TWOFISH,
        _ => return Err(Fault::new(faults::ESSIV_CIPHER).named(algorithm.name().as_bytes())),
    };
    CipherAlgorithm::from_luks(algorithm.luks_name().as_bytes(), bytes)
        .ok_or_else(|| Fault::new(code).with([from_usize(bytes)]))
}
