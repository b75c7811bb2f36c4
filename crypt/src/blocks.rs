//! Block ciphers by the length of a block, whatever the algorithm.

use alloc::boxed::Box;

use aes::{Aes128, Aes192, Aes256};
use cast5::Cast5;
use cipher::array::Array;
use cipher::consts::{U8, U16};
use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser, KeyInit};
use instar_disk::fault::luks as faults;
use instar_disk::{CipherAlgorithm, Fault, Result, from_usize};
use serpent::Serpent;

use crate::twofish::Twofish;

/// A cipher with its key, for blocks of `N` bytes. Many blocks in one call go through the processor side by side.
pub(crate) trait Blocks<const N: usize>: Send + Sync {
    fn encrypt(&self, blocks: &mut [[u8; N]]);
    fn decrypt(&self, blocks: &mut [[u8; N]]);
}

/// A cipher that is wiped when it is dropped.
pub(crate) type Boxed<const N: usize> = Box<dyn Blocks<N>>;

macro_rules! blocks_of {
    ($bytes:literal, $size:ty) => {
        impl<C> Blocks<$bytes> for C
        where
            C: BlockCipherEncrypt + BlockCipherDecrypt + BlockSizeUser<BlockSize = $size> + Send + Sync,
        {
            fn encrypt(&self, blocks: &mut [[u8; $bytes]]) {
                self.encrypt_blocks(Array::cast_slice_from_core_mut(blocks));
            }

            fn decrypt(&self, blocks: &mut [[u8; $bytes]]) {
                self.decrypt_blocks(Array::cast_slice_from_core_mut(blocks));
            }
        }
    };
}
blocks_of!(8, U8);
blocks_of!(16, U16);

/// The cipher with blocks of 16 bytes.
///
/// # Errors
/// The key has another length than the cipher's.
pub(crate) fn wide(algorithm: CipherAlgorithm, key: &[u8]) -> Result<Boxed<16>> {
    check_length(algorithm, key)?;
    match algorithm {
        CipherAlgorithm::Aes128 => keyed::<Aes128, 16>(key),
        CipherAlgorithm::Aes192 => keyed::<Aes192, 16>(key),
        CipherAlgorithm::Aes256 => keyed::<Aes256, 16>(key),
        CipherAlgorithm::Serpent128 | CipherAlgorithm::Serpent192 | CipherAlgorithm::Serpent256 => {
            keyed::<Serpent, 16>(key)
        }
        CipherAlgorithm::Twofish128 | CipherAlgorithm::Twofish192 | CipherAlgorithm::Twofish256 => {
            Ok(Box::new(Twofish::new(key)))
        }
        CipherAlgorithm::Cast5 => Err(Fault::new(faults::BLOCKS).with([16, 8])),
    }
}

/// The cipher with blocks of 8 bytes.
///
/// # Errors
/// The key has another length than the cipher's.
pub(crate) fn narrow(key: &[u8]) -> Result<Boxed<8>> {
    check_length(CipherAlgorithm::Cast5, key)?;
    keyed::<Cast5, 8>(key)
}

fn keyed<C: KeyInit + Blocks<N> + 'static, const N: usize>(key: &[u8]) -> Result<Boxed<N>> {
    let cipher = C::new_from_slice(key).map_err(|_| length_fault(key.len(), 0))?;
    Ok(Box::new(cipher))
}

fn check_length(algorithm: CipherAlgorithm, key: &[u8]) -> Result<()> {
    if key.len() == algorithm.key_bytes() {
        return Ok(());
    }
    Err(length_fault(key.len(), algorithm.key_bytes()))
}

fn length_fault(found: usize, wanted: usize) -> Fault {
    Fault::new(faults::KEY_BYTES).with([from_usize(found), from_usize(wanted)])
}
