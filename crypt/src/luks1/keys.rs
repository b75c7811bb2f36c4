//! Key slots: who may open the disk.
//!
//! ```text
//!  add     material of the new slot ─► flush ─► header ─► flush
//!  erase   header ─► flush ─► noise over the material ─► flush
//! ```
//!
//! All of it is planned, derivations included, before anything is written. A stop at any moment leaves each slot as it was or as it is to
//! be, and at worst material that no slot leads to.

use alloc::vec::Vec;

use instar_disk::job::{AmendKeys, KeyState};
use instar_disk::{Fault, ImageText, Result, fault, from_usize, to_usize};

use super::{Header, ReadAt, Write, time};
use crate::{Effort, Limits, Random, Secret};

/// What is to be written, each on the disk before the next.
#[derive(Debug)]
pub struct Plan(Vec<Write>);

impl Plan {
    /// The writes, in order.
    #[must_use]
    pub fn writes(&self) -> &[Write] {
        &self.0
    }
}

/// Finds the passphrase of a secret.
pub type Passphrase<'a> = dyn Fn(&ImageText) -> Result<&'a [u8]> + 'a;

impl Header {
    /// Plans what becomes of the key slots of a disk whose key is `key`.
    ///
    /// # Errors
    /// What speaks against it, in the reference tool's order.
    pub fn plan(
        &self,
        key: &Secret,
        read: &mut ReadAt<'_>,
        keys: &AmendKeys,
        passphrase: &Passphrase<'_>,
        random: &[u8; 32],
    ) -> Result<Plan> {
        let mut random = Random::new(random)?;
        let mut slots = Slots {
            header: self,
            key,
            read,
        };
        let planned = match &keys.state {
            KeyState::Active => slots.add(keys, passphrase, &mut random),
            KeyState::Inactive => slots.erase(keys, passphrase, &mut random),
            KeyState::Unsaid => Err(Fault::new(fault::luks::STATE_MISSING)),
            KeyState::Unknown(word) => Err(Fault::new(fault::luks::STATE).named(word.as_bytes())),
        };
        planned.map(Plan)
    }
}

/// The key slots of a disk that was unlocked.
struct Slots<'s, 'r> {
    header: &'s Header,
    key: &'s Secret,
    read: &'s mut ReadAt<'r>,
}

impl Slots<'_, '_> {
    fn add(&self, keys: &AmendKeys, passphrase: &Passphrase<'_>, random: &mut Random) -> Result<Vec<Write>> {
        let new = keys.new.as_ref();
        let new = new.ok_or_else(|| Fault::new(fault::luks::NEW_SECRET_MISSING))?;
        if keys.old.is_some() {
            return Err(Fault::new(fault::luks::OLD_SECRET_UNEXPECTED));
        }
        let slot = match keys.slot {
            None => self.header.free_slot()?,
            Some(slot) => number(slot)?,
        };
        let in_use = self.is_active(slot);
        if in_use && !keys.force {
            return Err(Fault::new(fault::luks::SLOT_IN_USE).with([from_usize(slot)]));
        }
        let iterations = time::for_slot_of(self.header, &keys.speeds)?;
        let mut go_on = || Ok(());
        // What the user asks for may take long.
        let limits = Limits {
            iterations: u64::from(u32::MAX),
            ..Limits::DEFAULT
        };
        let mut effort = Effort::new(limits, &mut go_on);
        let mut writes = Vec::new();
        let mut header = self.header.clone();
        if in_use {
            // What it held is not to open with half of what it will hold.
            let erased = header.erase_slot(slot, random)?;
            header = header.after(&erased, false)?;
            writes.extend(erased.into_iter().take(1));
        }
        let added = header.add_slot(slot, self.key, passphrase(new)?, iterations, random, &mut effort)?;
        writes.extend(added);
        Ok(writes)
    }

    fn erase(
        &mut self,
        keys: &AmendKeys,
        passphrase: &Passphrase<'_>,
        random: &mut Random,
    ) -> Result<Vec<Write>> {
        if keys.new.is_some() {
            return Err(Fault::new(fault::luks::NEW_SECRET_UNEXPECTED));
        }
        if keys.timed {
            return Err(Fault::new(fault::luks::ITER_TIME_UNEXPECTED));
        }
        let old = keys.old.as_ref().map(passphrase).transpose()?;
        let active = (0..self.header.slots.len())
            .filter(|slot| self.is_active(*slot))
            .count();
        let slots = match (keys.slot, old) {
            (Some(slot), old) => {
                let slot = number(slot)?;
                let at = [from_usize(slot)];
                if let Some(old) = old
                    && !self.opens(slot, old)?
                {
                    return Err(Fault::new(fault::luks::OLD_SECRET_WRONG).with(at));
                }
                if !keys.force && !self.is_active(slot) {
                    return Err(Fault::new(fault::luks::SLOT_FREE).with(at));
                }
                if !keys.force && active == 1 {
                    return Err(Fault::new(fault::luks::SLOT_LAST).with(at));
                }
                alloc::vec![slot]
            }
            (None, Some(old)) => self.opened_by(old, active, keys.force)?,
            (None, None) => return Err(Fault::new(fault::luks::ERASE_WHICH)),
        };
        let mut header: Header = self.header.clone();
        let mut writes = Vec::new();
        for slot in slots {
            let erased = header.erase_slot(slot, random)?;
            header = header.after(&erased, false)?;
            writes.extend(erased);
        }
        Ok(writes)
    }

    /// The slots that the passphrase opens.
    fn opened_by(&mut self, passphrase: &[u8], active: usize, force: bool) -> Result<Vec<usize>> {
        let mut slots = Vec::new();
        for slot in 0..self.header.slots.len() {
            if self.opens(slot, passphrase)? {
                slots.push(slot);
            }
        }
        if slots.is_empty() {
            return Err(Fault::new(fault::luks::ERASE_NONE));
        }
        if slots.len() == active && !force {
            return Err(Fault::new(fault::luks::ERASE_ALL));
        }
        Ok(slots)
    }

    fn is_active(&self, slot: usize) -> bool {
        self.header
            .slots
            .get(slot)
            .is_some_and(|slot| slot.active.is_some())
    }

    fn opens(&mut self, slot: usize, passphrase: &[u8]) -> Result<bool> {
        let mut go_on = || Ok(());
        let mut effort = Effort::new(Limits::DEFAULT, &mut go_on);
        let opened = self
            .header
            .unlock_slot(slot, passphrase, self.read, &mut effort)?;
        Ok(opened.is_some())
    }
}

fn number(slot: u32) -> Result<usize> {
    if slot > LAST {
        return Err(Fault::new(fault::luks::SLOT_NUMBER).with([u64::from(slot)]));
    }
    to_usize(u64::from(slot))
}

/// The last key slot: spec.
const LAST: u32 = 7;
