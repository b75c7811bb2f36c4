//! From a passphrase to the disk's key.

use core::fmt;

use instar_disk::fault::luks as faults;
use instar_disk::{Fault, Result, from_usize};

use super::header::Header;
use super::raw::RawSlot;
use crate::secret::equal;
use crate::{Cipher, Effort, Secret, merge, pbkdf2};

/// Fills a buffer with what is stored at an offset from the start of the header.
pub type ReadAt<'a> = dyn FnMut(u64, &mut [u8]) -> Result<()> + 'a;

/// The disk's key, and the slot that it came from.
pub struct Unlocked {
    /// From 0 to 7.
    pub slot: usize,
    /// The disk's key.
    pub key: Secret,
}

impl fmt::Debug for Unlocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unlocked")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}

impl Header {
    /// Tries the passphrase on the slots, in order.
    ///
    /// # Errors
    /// No slot opens; a slot costs more than allowed; the caller's reasons.
    pub fn unlock(
        &self,
        passphrase: &[u8],
        read: &mut ReadAt<'_>,
        effort: &mut Effort<'_>,
    ) -> Result<Unlocked> {
        for slot in 0..self.slots.len() {
            if let Some(key) = self.unlock_slot(slot, passphrase, read, effort)? {
                return Ok(Unlocked { slot, key });
            }
        }
        Err(Fault::new(faults::PASSWORD))
    }

    /// The disk's key, if this slot is active and the passphrase is its.
    ///
    /// # Errors
    /// The slot costs more than allowed; the caller's reasons.
    pub fn unlock_slot(
        &self,
        slot: usize,
        passphrase: &[u8],
        read: &mut ReadAt<'_>,
        effort: &mut Effort<'_>,
    ) -> Result<Option<Secret>> {
        let number = from_usize(slot);
        let none = Fault::new(faults::SLOT_NUMBER).with([number]);
        let raw: &RawSlot = self.raw.key_slots.get(slot).ok_or_else(|| none.clone())?;
        let place = self.slots.get(slot).ok_or(none)?;
        let Some(iterations) = place.active else {
            return Ok(None);
        };
        let mut slot_key = Secret::zeros(self.key_bytes);
        pbkdf2(
            self.hash,
            passphrase,
            &raw.salt,
            iterations,
            slot_key.bytes_mut(),
            effort,
        )?;
        let mut material = Secret::zeros(self.material_bytes());
        read(place.offset, material.bytes_mut())?;
        let cipher = Cipher::new(&self.cipher, slot_key.bytes())?;
        cipher.decrypt(0, 512, material.bytes_mut())?;
        let key = merge(self.hash, self.key_bytes, material.bytes());
        Ok(self.is_key(&key, effort)?.then_some(key))
    }

    /// Whether this is the disk's key.
    ///
    /// # Errors
    /// The digest costs more than allowed; the caller's reason to stop.
    pub fn is_key(&self, key: &Secret, effort: &mut Effort<'_>) -> Result<bool> {
        let raw = self.raw();
        let mut digest = [0; 20];
        let iterations = self.digest_iterations();
        pbkdf2(
            self.hash,
            key.bytes(),
            &raw.mk_digest_salt,
            iterations,
            &mut digest,
            effort,
        )?;
        Ok(equal(&digest, &raw.mk_digest))
    }

    /// The cipher of the sectors.
    ///
    /// # Errors
    /// The header names a cipher that does not take such a key.
    pub fn cipher_of(&self, key: &Secret) -> Result<Cipher> {
        Cipher::new(&self.cipher, key.bytes())
    }
}
