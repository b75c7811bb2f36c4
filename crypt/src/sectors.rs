//! The cipher of the disk's sectors, as the engine uses it.

use instar_disk::{Key, Result, from_usize};

use crate::Cipher;

/// Bytes that the numbers of sectors count.
const NUMBERED: u64 = 512;

/// The key that the older encryption of qcow and qcow2 makes of a passphrase. Every passphrase makes one.
///
/// # Errors
/// None that a passphrase could cause.
pub fn legacy_key(passphrase: &[u8]) -> Result<Key> {
    Ok(Cipher::legacy(passphrase)?.of_sectors(LEGACY_SECTOR))
}

/// Bytes of a sector of the older encryption.
const LEGACY_SECTOR: usize = 512;

/// A cipher for sectors of a size.
struct Sectors {
    cipher: Cipher,
    /// Bytes of a sector.
    bytes: usize,
}

impl Cipher {
    /// The same for sectors of so many bytes, as the engine uses it.
    #[must_use]
    pub fn of_sectors(self, bytes: usize) -> Key {
        Key::new(Sectors { cipher: self, bytes })
    }
}

impl instar_disk::Cipher for Sectors {
    fn unit(&self) -> u64 {
        from_usize(self.bytes)
    }

    fn decrypt(&self, position: u64, data: &mut [u8]) -> Result<()> {
        self.cipher.decrypt(position / NUMBERED, self.bytes, data)
    }

    fn encrypt(&self, position: u64, data: &mut [u8]) -> Result<()> {
        self.cipher.encrypt(position / NUMBERED, self.bytes, data)
    }
}
