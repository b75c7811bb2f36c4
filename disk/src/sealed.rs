//! Data that is encrypted on disk: what a driver says of it, and what the engine does with it.
//!
//! A driver describes it as it describes plain data, in long runs; the engine reads it like plain data and decrypts it in the lane's
//! buffer, and encrypts there what it is about to write. No layer of its own lies between disk and file, which would cost plain images
//! their extents, their holes and the kernel's copies.

use alloc::sync::Arc;
use core::fmt;

use instar_abi::Slot;

use crate::{File, Result, from_usize, to_usize};

/// Sealed bytes of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The file, by which the engine finds the cipher.
    pub slot: Slot,
    /// Where in it.
    pub offset: u64,
    /// Where the cipher counts these bytes.
    pub position: u64,
}

impl Sealed {
    /// What is left of it after its first bytes.
    #[must_use]
    pub const fn skip(self, bytes: u64) -> Self {
        Self {
            slot: self.slot,
            offset: self.offset.saturating_add(bytes),
            position: self.position.saturating_add(bytes),
        }
    }

    /// Whether `next` goes on where `length` bytes of this end.
    #[must_use]
    pub fn continues(&self, length: u64, next: &Self) -> bool {
        self.skip(length) == *next
    }
}

/// A cipher with its key. All lanes use it at once.
pub trait Cipher: Send + Sync {
    /// Bytes that are encrypted together, a power of two: runs begin and end on multiples of it.
    fn unit(&self) -> u64;

    /// Decrypts whole units, of which the first stands at `position`, in place.
    ///
    /// # Errors
    /// They are not whole.
    fn decrypt(&self, position: u64, data: &mut [u8]) -> Result<()>;

    /// Encrypts them in place.
    ///
    /// # Errors
    /// They are not whole.
    fn encrypt(&self, position: u64, data: &mut [u8]) -> Result<()>;
}

/// A cipher that an image shares with the engine.
#[derive(Clone)]
pub struct Key(Arc<dyn Cipher>);

impl Key {
    /// Shares it.
    #[must_use]
    pub fn new(cipher: impl Cipher + 'static) -> Self {
        Self(Arc::new(cipher))
    }
}

impl core::ops::Deref for Key {
    type Target = dyn Cipher;

    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// How a target seals its data.
#[derive(Clone, Debug)]
pub struct Sealing {
    /// By what.
    pub key: Key,
    /// What counts as the position of data.
    pub tweak: Tweak,
}

/// What counts as the position of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tweak {
    /// Where it is on the disk.
    Disk,
    /// Where it is in its file.
    File,
}

impl Sealing {
    /// Where the cipher counts what stands at `disk` on the disk and at `file` in its file.
    #[must_use]
    pub const fn position(&self, disk: u64, file: u64) -> u64 {
        match self.tweak {
            Tweak::Disk => disk,
            Tweak::File => file,
        }
    }

    /// Writes zeros of the disk: `length` bytes, whole units of the cipher, from `disk` on the disk and from `at` in the file.
    ///
    /// # Errors
    /// They are not whole; the host's.
    pub fn write_zeros(&self, file: &File<'_>, disk: u64, at: u64, length: u64) -> Result<()> {
        let mut piece = alloc::vec![0; to_usize(length.min(PIECE))?];
        let mut done = 0_u64;
        while done < length {
            let bytes = length.saturating_sub(done).min(PIECE);
            let piece = piece.get_mut(..to_usize(bytes)?).unwrap_or_default();
            piece.fill(0);
            let (disk, at) = (disk.saturating_add(done), at.saturating_add(done));
            self.key.encrypt(self.position(disk, at), piece)?;
            file.write(at, piece)?;
            done = done.saturating_add(from_usize(piece.len()).max(1));
        }
        Ok(())
    }
}

/// Bytes of zeros that are written at a time.
const PIECE: u64 = 1 << 20;
