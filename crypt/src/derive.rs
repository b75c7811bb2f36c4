//! From a passphrase to the key of a slot.

use alloc::vec::Vec;

use argon2::{Algorithm, Argon2, Block, Params, Version};
use instar_disk::fault::{core as core_faults, luks as faults};
use instar_disk::{Fault, HashName, Result};
use zeroize::Zeroize;

use crate::{Effort, Secret, pbkdf2};

/// How a slot makes its key of a passphrase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Derivation {
    /// By time.
    Pbkdf2 {
        /// The hash under HMAC.
        hash: HashName,
        /// How often.
        iterations: u32,
        /// What makes equal passphrases differ.
        salt: Vec<u8>,
    },
    /// By time and memory.
    Argon2 {
        /// The mixed variant, Argon2id, and not Argon2i.
        mixed: bool,
        /// Passes over the memory.
        passes: u32,
        /// Memory.
        kib: u32,
        /// Lanes, which are computed one after the other here.
        lanes: u32,
        /// What makes equal passphrases differ.
        salt: Vec<u8>,
    },
}

impl Derivation {
    /// The key of a slot, so many bytes.
    ///
    /// # Errors
    /// It costs more than allowed, its parameters are none, or the caller's reason to stop.
    pub fn key(&self, passphrase: &[u8], bytes: usize, effort: &mut Effort<'_>) -> Result<Secret> {
        let mut key = Secret::zeros(bytes);
        match self {
            Self::Pbkdf2 {
                hash,
                iterations,
                salt,
            } => pbkdf2(*hash, passphrase, salt, *iterations, key.bytes_mut(), effort)?,
            Self::Argon2 {
                mixed,
                passes,
                kib,
                lanes,
                salt,
            } => {
                effort.allow_memory(u64::from(*kib), u64::from(*passes))?;
                effort.go_on()?;
                let algorithm = if *mixed {
                    Algorithm::Argon2id
                } else {
                    Algorithm::Argon2i
                };
                let params = Params::new(*kib, *passes, *lanes, Some(bytes)).map_err(|_| unusable())?;
                let argon2 = Argon2::new(algorithm, Version::V0x13, params);
                let mut memory = blocks(argon2.params().block_count())?;
                let outcome = argon2.hash_password_into_with_memory(
                    passphrase,
                    salt,
                    key.bytes_mut(),
                    memory.as_mut_slice(),
                );
                for block in &mut memory {
                    block.zeroize();
                }
                outcome.map_err(|_| unusable())?;
            }
        }
        Ok(key)
    }
}

/// Memory for Argon2, of which a header has declared how much: that was compared with the limit, and may yet be more than there is.
fn blocks(count: usize) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    blocks.try_reserve_exact(count).map_err(|_| {
        let bytes = count.saturating_mul(Block::SIZE);
        Fault::new(core_faults::OUT_OF_MEMORY).with([instar_disk::from_usize(bytes)])
    })?;
    blocks.resize(count, Block::default());
    Ok(blocks)
}

fn unusable() -> Fault {
    Fault::new(faults::DERIVATION).named(b"derivation")
}

#[cfg(test)]
#[allow(
    clippy::arithmetic_side_effects,
    reason = "tests compute with numbers of their own"
)]
mod tests;
