//! A new header.

use alloc::vec::Vec;
use core::fmt;

use instar_disk::fault::luks as faults;
use instar_disk::{CipherSpec, Fault, HashName, Result};
use zerocopy::FromZeros;

use super::header::Header;
use super::raw::{HEADER_SECTORS, MAGIC, RawHeader, SECTOR, state};
use super::slots::Write;
use crate::{Cipher, Effort, Random, STRIPES, Secret, pbkdf2};

/// What a new header is made of.
#[derive(Debug)]
pub struct Options<'a> {
    /// How the sectors are encrypted.
    pub cipher: CipherSpec,
    /// Hash of PBKDF2 and of the splitter.
    pub hash: HashName,
    /// Opens the first slot.
    pub passphrase: &'a Secret,
    /// Iterations of the first slot.
    pub slot_iterations: u32,
    /// Iterations of the digest of the disk's key.
    pub digest_iterations: u32,
    /// The sectors are in another file.
    pub detached: bool,
}

/// A new header and its key.
pub struct New {
    /// The disk's key.
    pub key: Secret,
    /// The header as it will be read.
    pub header: Header,
    /// Bytes before the first sector, zeros where nothing is written. In a detached header, the length of its file.
    pub bytes: u64,
    /// The first slot's material, then the header, each to be on the disk before the next.
    pub writes: [Write; 2],
}

impl fmt::Debug for New {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.header.fmt(f)
    }
}

impl New {
    /// Makes a header with a random key in its first slot.
    ///
    /// # Errors
    /// The cipher does not exist in that mode; the iterations are none or more than allowed; the caller's reason to stop.
    pub fn make(options: &Options<'_>, random: &mut Random, effort: &mut Effort<'_>) -> Result<Self> {
        let mut key = Secret::zeros(options.cipher.key_bytes());
        random.fill(key.bytes_mut())?;
        // Whether there is such a cipher, before anything takes time.
        Cipher::new(&options.cipher, key.bytes())?;
        let sectors = area_sectors(options.cipher.key_bytes())?;
        let end = sectors
            .checked_mul(8)
            .and_then(|slots| slots.checked_add(HEADER_SECTORS))
            .ok_or(Fault::new(faults::PAYLOAD))?;
        let mut raw = fields(options, sectors, random)?;
        raw.payload_offset = if options.detached { 0 } else { end }.into();
        let salt = random.take()?;
        raw.mk_digest_salt = salt;
        pbkdf2(
            options.hash,
            key.bytes(),
            &salt,
            options.digest_iterations,
            &mut raw.mk_digest,
            effort,
        )?;
        let (passphrase, iterations) = (options.passphrase.bytes(), options.slot_iterations);
        let empty = Header::parse(&raw, options.detached)?;
        let writes = empty.add_slot(0, &key, passphrase, iterations, random, effort)?;
        Ok(Self {
            header: empty.after(&writes, options.detached)?,
            key,
            bytes: u64::from(end).saturating_mul(SECTOR),
            writes,
        })
    }
}

/// All but the digest and the first slot.
fn fields(options: &Options<'_>, sectors: u32, random: &mut Random) -> Result<RawHeader> {
    let mut raw = RawHeader::new_zeroed();
    raw.magic = MAGIC;
    raw.version = 1.into();
    put(
        &mut raw.cipher_name,
        options.cipher.algorithm.luks_name().as_bytes(),
    );
    put(&mut raw.cipher_mode, options.cipher.luks_mode().as_bytes());
    put(&mut raw.hash_spec, options.hash.name().as_bytes());
    raw.key_bytes = u32::try_from(options.cipher.key_bytes()).unwrap_or(0).into();
    raw.mk_digest_iter = options.digest_iterations.into();
    put(&mut raw.uuid, &uuid(random.take()?));
    let mut offset = HEADER_SECTORS;
    for slot in &mut raw.key_slots {
        slot.active = state::FREE.into();
        slot.key_material_offset = offset.into();
        slot.stripes = STRIPES.into();
        offset = offset.saturating_add(sectors);
    }
    Ok(raw)
}

/// Sectors from the start of one slot's material to the start of the next.
fn area_sectors(key_bytes: usize) -> Result<u32> {
    let bytes = u64::try_from(key_bytes)
        .unwrap_or(u64::MAX)
        .saturating_mul(STRIPES.into());
    let sectors = bytes.div_ceil(SECTOR).next_multiple_of(HEADER_SECTORS.into());
    u32::try_from(sectors).map_err(|_| Fault::new(faults::PAYLOAD))
}

/// The text of a random UUID (RFC 9562, version 4).
fn uuid(mut bytes: [u8; 16]) -> Vec<u8> {
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = (*version & 0x0f) | 0x40;
    *variant = (*variant & 0x3f) | 0x80;
    let mut text = Vec::new();
    for (place, byte) in bytes.iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push(b'-');
        }
        text.extend_from_slice(alloc::format!("{byte:02x}").as_bytes());
    }
    text
}

fn put(field: &mut [u8], text: &[u8]) {
    for (to, from) in field.iter_mut().zip(text) {
        *to = *from;
    }
}
