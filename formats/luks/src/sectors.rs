//! The cipher of the disk's sectors, as the engine uses it.

use instar_crypt::Cipher;
use instar_disk::{Result, from_usize};

/// Bytes that the numbers of sectors count.
const NUMBERED: u64 = 512;

/// A cipher for sectors of a size.
pub(crate) struct Sectors {
    pub(crate) cipher: Cipher,
    /// Bytes of a sector.
    pub(crate) bytes: usize,
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
