//! Adding and erasing keys: what is to be written, and in which order.

use alloc::vec::Vec;

use instar_disk::fault::luks as faults;
use instar_disk::{Fault, Result, from_usize};
use zerocopy::{FromBytes, IntoBytes};

use super::header::Header;
use super::raw::{RawHeader, RawSlot, state};
use crate::{Cipher, Effort, Random, STRIPES, Secret, pbkdf2, split};

/// Bytes and their place, from the start of the header. Each must be on the disk before the next is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Where.
    pub offset: u64,
    /// What.
    pub bytes: Vec<u8>,
}

impl Header {
    /// The first slot without a key.
    ///
    /// # Errors
    /// There is none.
    pub fn free_slot(&self) -> Result<usize> {
        self.slots
            .iter()
            .position(|slot| slot.active.is_none())
            .ok_or(Fault::new(faults::SLOTS_FULL))
    }

    /// Puts the disk's key into a slot, under a passphrase of its own. What the slot held is lost. The material is written first, so that
    /// a stop leaves the slot as it was, if it was free.
    ///
    /// # Errors
    /// There is no such slot; the iterations are none or more than allowed; the caller's reason to stop.
    pub fn add_slot(
        &self,
        slot: usize,
        key: &Secret,
        passphrase: &[u8],
        iterations: u32,
        random: &mut Random,
        effort: &mut Effort<'_>,
    ) -> Result<[Write; 2]> {
        let salt = random.take()?;
        let sealed = self.seal(key, passphrase, &salt, iterations, random, effort)?;
        let mut raw = self.raw().clone();
        let place = slot_of(&mut raw, slot)?;
        place.active = state::ACTIVE.into();
        place.iterations = iterations.into();
        place.salt = salt;
        let material = Write {
            offset: self.material_offset(slot)?,
            bytes: sealed,
        };
        Ok([material, whole(&raw)])
    }

    /// Takes the key out of a slot. The header is written first, so that no stop leaves a slot that is active and opens with nothing.
    ///
    /// # Errors
    /// There is no such slot.
    pub fn erase_slot(&self, slot: usize, random: &mut Random) -> Result<[Write; 2]> {
        let mut raw = self.raw().clone();
        let place = slot_of(&mut raw, slot)?;
        place.active = state::FREE.into();
        place.iterations = 0.into();
        place.salt = [0; 32];
        let mut noise = alloc::vec![0; self.material_bytes()];
        random.fill(&mut noise)?;
        let material = Write {
            offset: self.material_offset(slot)?,
            bytes: noise,
        };
        Ok([whole(&raw), material])
    }

    /// The header once `writes` are done.
    ///
    /// # Errors
    /// They are not of a header like this one.
    pub fn after(&self, writes: &[Write], detached: bool) -> Result<Self> {
        let written = writes.iter().rev().find_map(|write| {
            RawHeader::read_from_bytes(&write.bytes)
                .ok()
                .filter(|_| write.offset == 0)
        });
        Self::parse(&written.unwrap_or_else(|| self.raw().clone()), detached)
    }

    /// The stripes of `key`, encrypted under the key that the passphrase gives.
    pub(super) fn seal(
        &self,
        key: &Secret,
        passphrase: &[u8],
        salt: &[u8; 32],
        iterations: u32,
        random: &mut Random,
        effort: &mut Effort<'_>,
    ) -> Result<Vec<u8>> {
        let mut slot_key = Secret::zeros(self.key_bytes);
        pbkdf2(
            self.hash,
            passphrase,
            salt,
            iterations,
            slot_key.bytes_mut(),
            effort,
        )?;
        let mut material = split(self.hash, key.bytes(), STRIPES, random)?;
        let cipher = Cipher::new(&self.cipher, slot_key.bytes())?;
        cipher.encrypt(0, 512, material.bytes_mut())?;
        Ok(material.bytes().to_vec())
    }

    fn material_offset(&self, slot: usize) -> Result<u64> {
        self.slots
            .get(slot)
            .map(|slot| slot.offset)
            .ok_or_else(|| no_slot(slot))
    }
}

fn slot_of(raw: &mut RawHeader, slot: usize) -> Result<&mut RawSlot> {
    raw.key_slots.get_mut(slot).ok_or_else(|| no_slot(slot))
}

fn no_slot(slot: usize) -> Fault {
    Fault::new(faults::SLOT_NUMBER).with([from_usize(slot)])
}

/// The header as one write.
pub(super) fn whole(raw: &RawHeader) -> Write {
    Write {
        offset: 0,
        bytes: raw.as_bytes().to_vec(),
    }
}
