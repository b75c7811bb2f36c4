//! From a passphrase to the disk's key.

use instar_disk::fault::luks as faults;
use instar_disk::{Fault, Result, to_usize};

use super::header::{Header, Slot};
use crate::luks1::{ReadAt, Unlocked};
use crate::secret::equal;
use crate::{Cipher, Effort, STRIPES, Secret, merge, pbkdf2};

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
        for slot in &self.slots {
            if let Some(key) = self.unlock_slot(slot, passphrase, read, effort)? {
                return Ok(Unlocked {
                    slot: to_usize(slot.number.into())?,
                    key,
                });
            }
        }
        Err(Fault::new(faults::PASSWORD))
    }

    fn unlock_slot(
        &self,
        slot: &Slot,
        passphrase: &[u8],
        read: &mut ReadAt<'_>,
        effort: &mut Effort<'_>,
    ) -> Result<Option<Secret>> {
        let slot_key = slot.derivation.key(passphrase, slot.cipher.key_bytes(), effort)?;
        let key_bytes = self.cipher.key_bytes();
        let mut material = Secret::zeros(key_bytes.saturating_mul(to_usize(STRIPES.into())?));
        read(slot.offset, material.bytes_mut())?;
        let cipher = Cipher::new(&slot.cipher, slot_key.bytes())?;
        cipher.decrypt(0, 512, material.bytes_mut())?;
        let key = merge(slot.splitter, key_bytes, material.bytes());
        let known = &slot.digest;
        let mut found = Secret::zeros(known.hash.digest_bytes().min(known.digest.len()));
        let (salt, iterations) = (&known.salt, known.iterations);
        pbkdf2(
            known.hash,
            key.bytes(),
            salt,
            iterations,
            found.bytes_mut(),
            effort,
        )?;
        let same = !known.digest.is_empty() && equal(found.bytes(), &known.digest);
        Ok(same.then_some(key))
    }

    /// The cipher of the sectors. The number of the first one is [`Self::first_sector`].
    ///
    /// # Errors
    /// The header names a cipher that does not take such a key.
    pub fn cipher_of(&self, key: &Secret) -> Result<Cipher> {
        Cipher::new(&self.cipher, key.bytes())
    }
}
