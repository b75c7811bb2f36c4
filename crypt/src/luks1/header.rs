//! The header, valid by construction.

use alloc::boxed::Box;

use instar_disk::fault::luks as faults;
use instar_disk::{CipherAlgorithm, CipherMode, CipherSpec, Fault, FaultCode, HashName, IvGenerator, Result};
use instar_disk::{from_usize, to_usize};

use super::raw::{HEADER_SECTORS, MAGIC, RawHeader, RawSlot, SECTOR, state};
use crate::STRIPES;
use crate::iv::essiv_algorithm;

/// What a valid header says.
#[derive(Clone, Debug)]
pub struct Header {
    /// How the sectors are encrypted.
    pub cipher: CipherSpec,
    /// Hash of PBKDF2 and of the splitter.
    pub hash: HashName,
    /// Bytes of the disk's key.
    pub key_bytes: usize,
    /// Where the sealed sectors start, bytes from the start of the header; 0 if the header is detached.
    pub payload_offset: u64,
    /// The slots, in order.
    pub slots: [Slot; 8],
    /// The fields, for digest, salts and text.
    pub(super) raw: Box<RawHeader>,
}

/// A key slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Iterations of PBKDF2, if there is a key in the slot.
    pub active: Option<u32>,
    /// Where the material is, bytes from the start of the header.
    pub offset: u64,
}

impl Header {
    /// Judges `raw` in qemu-img's order, so that the first complaint is the same. In a detached header nothing lies behind the slots.
    ///
    /// # Errors
    /// What is wrong, in qemu-img's words.
    pub fn parse(raw: &RawHeader, detached: bool) -> Result<Self> {
        if raw.magic != MAGIC {
            return Err(Fault::new(faults::MAGIC));
        }
        if raw.version.get() != 1 {
            return Err(Fault::new(faults::VERSION).with([u64::from(raw.version.get())]));
        }
        let name = terminated(&raw.cipher_name, faults::CIPHER_NAME_END)?;
        let mode = terminated(&raw.cipher_mode, faults::CIPHER_MODE_END)?;
        let hash = terminated(&raw.hash_spec, faults::HASH_END)?;
        if !detached && raw.payload_offset.get() < HEADER_SECTORS {
            return Err(Fault::new(faults::PAYLOAD));
        }
        if raw.mk_digest_iter.get() == 0 {
            return Err(Fault::new(faults::DIGEST_ITERATIONS));
        }
        check_slots(raw, detached)?;
        let (cipher, hash) = names(name, mode, hash, raw.key_bytes.get())?;
        Ok(Self {
            cipher,
            hash,
            key_bytes: to_usize(raw.key_bytes.get().into())?,
            payload_offset: u64::from(raw.payload_offset.get()).saturating_mul(SECTOR),
            slots: raw.key_slots.map(|slot| Slot {
                active: (slot.active.get() == state::ACTIVE).then(|| slot.iterations.get()),
                offset: u64::from(slot.key_material_offset.get()).saturating_mul(SECTOR),
            }),
            raw: Box::new(raw.clone()),
        })
    }

    /// The fields that this header was made of.
    #[must_use]
    pub const fn raw(&self) -> &RawHeader {
        &self.raw
    }

    /// The text that tells this disk from others.
    #[must_use]
    pub fn uuid(&self) -> &[u8] {
        until_nul(&self.raw.uuid)
    }

    /// Iterations of the digest of the disk's key.
    #[must_use]
    pub fn digest_iterations(&self) -> u32 {
        self.raw.mk_digest_iter.get()
    }

    /// Bytes of a slot's material.
    #[must_use]
    pub fn material_bytes(&self) -> usize {
        self.key_bytes
            .saturating_mul(usize::try_from(STRIPES).unwrap_or(0))
    }
}

/// The text of a field that must end in it.
fn terminated(field: &[u8; 32], fault: FaultCode) -> Result<&[u8]> {
    if field.contains(&0) {
        return Ok(until_nul(field));
    }
    Err(Fault::new(fault))
}

/// The text of a field.
pub(crate) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Sectors of a slot's material, in the reference tool's arithmetic of 32 bits: what it gives for absurd keys matters to no key that is
/// accepted further down, but to the order of the complaints.
fn material_sectors(key_bytes: u32) -> u64 {
    let bytes = u64::from(key_bytes.wrapping_mul(STRIPES));
    bytes.div_ceil(SECTOR).next_multiple_of(u64::from(HEADER_SECTORS))
}

fn check_slots(raw: &RawHeader, detached: bool) -> Result<()> {
    let payload = u64::from(raw.payload_offset.get());
    // Also for slots that say something else about their stripes: they are complained of when it is their turn.
    let sectors = material_sectors(raw.key_bytes.get());
    let extent = |slot: &RawSlot| {
        let start = u64::from(slot.key_material_offset.get());
        start..start.saturating_add(sectors)
    };
    for (number, slot) in raw.key_slots.iter().enumerate() {
        let at = from_usize(number);
        let fault = |code| Fault::new(code).with([at]);
        if slot.stripes.get() != STRIPES {
            // The reference tool prints it with a sign.
            let found = alloc::format!("{}", slot.stripes.get().cast_signed());
            return Err(fault(faults::SLOT_STRIPES).named(found.as_bytes()));
        }
        if ![state::ACTIVE, state::FREE].contains(&slot.active.get()) {
            return Err(fault(faults::SLOT_STATE));
        }
        if slot.active.get() == state::ACTIVE && slot.iterations.get() == 0 {
            return Err(fault(faults::SLOT_ITERATIONS));
        }
        if slot.key_material_offset.get() < HEADER_SECTORS {
            return Err(fault(faults::SLOT_IN_HEADER));
        }
        let mine = extent(slot);
        if !detached && payload < mine.end {
            return Err(fault(faults::SLOT_IN_PAYLOAD));
        }
        for (number, other) in raw.key_slots.iter().enumerate().skip(number.saturating_add(1)) {
            let theirs = extent(other);
            if mine.end > theirs.start && theirs.end > mine.start {
                return Err(Fault::new(faults::SLOTS_OVERLAP).with([at, from_usize(number)]));
            }
        }
    }
    Ok(())
}

/// The meaning of the names, judged in qemu-img's order.
fn names(cipher: &[u8], mode: &[u8], hash: &[u8], key_bytes: u32) -> Result<(CipherSpec, HashName)> {
    let parts = Parts::of(mode)?;
    let (mode, algorithm) = parts.algorithm(cipher, key_bytes)?;
    let hash = hash_named(hash)?;
    Ok((parts.cipher(mode, algorithm)?, hash))
}

/// The cipher of that name, with `xts-plain64` or the like as its mode.
pub(crate) fn luks_cipher(name: &[u8], mode: &[u8], key_bytes: u32) -> Result<CipherSpec> {
    let parts = Parts::of(mode)?;
    let (mode, algorithm) = parts.algorithm(name, key_bytes)?;
    parts.cipher(mode, algorithm)
}

/// The parts of a mode's name.
struct Parts<'a> {
    mode: &'a [u8],
    generator: &'a [u8],
    ivhash: Option<HashName>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a [u8]) -> Result<Self> {
        let (mode, generator) =
            split(text, b'-').ok_or_else(|| Fault::new(faults::MODE_FORMAT).named(text))?;
        let (generator, ivhash) = match split(generator, b':') {
            Some((generator, name)) => (generator, Some(hash_named(name)?)),
            None => (generator, None),
        };
        Ok(Self {
            mode,
            generator,
            ivhash,
        })
    }

    fn algorithm(&self, name: &[u8], key_bytes: u32) -> Result<(CipherMode, CipherAlgorithm)> {
        let mode = CipherMode::named(self.mode).ok_or_else(|| Fault::new(faults::MODE).named(self.mode))?;
        let keys = if mode == CipherMode::Xts { 2 } else { 1 };
        let one_key = key_bytes.div_euclid(keys);
        let algorithm = CipherAlgorithm::from_luks(name, to_usize(one_key.into())?).ok_or_else(|| {
            Fault::new(faults::ALGORITHM_KEY)
                .with([u64::from(one_key)])
                .named(name)
        })?;
        Ok((mode, algorithm))
    }

    fn cipher(&self, mode: CipherMode, algorithm: CipherAlgorithm) -> Result<CipherSpec> {
        let ivgen = IvGenerator::named(self.generator)
            .ok_or_else(|| Fault::new(faults::IVGEN).named(self.generator))?;
        if ivgen == IvGenerator::Essiv {
            let ivhash = self.ivhash.ok_or(Fault::new(faults::IVGEN_HASH))?;
            essiv_algorithm(algorithm, ivhash)?;
        }
        Ok(CipherSpec {
            algorithm,
            mode,
            ivgen,
            ivhash: self.ivhash,
        })
    }
}

/// The hash of that name.
pub(crate) fn hash_named(name: &[u8]) -> Result<HashName> {
    HashName::named(name).ok_or_else(|| Fault::new(faults::HASH).named(name))
}

/// Before and after the first `separator`.
fn split(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    let (before, after) = text.split_at_checked(at)?;
    Some((before, after.get(1..)?))
}
