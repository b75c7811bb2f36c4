//! The header, valid by construction.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use instar_disk::fault::luks as faults;
use instar_disk::{CipherSpec, Fault, HashName, Result, to_usize};
use zerocopy::FromBytes;

use super::base64::decode;
use super::json::{Json, RawDerivation, RawDigest, RawSegment, RawSlot};
use super::raw::{BINARY_BYTES, CHECKSUM_AT, HEADER_SIZES, MAGIC_SECOND, RawHeader};
use crate::luks1::{MAGIC, ReadAt, hash_named, luks_cipher, until_nul};
use crate::secret::equal;
use crate::{Derivation, STRIPES, digest};

/// What a valid header says.
#[derive(Clone, Debug)]
pub struct Header {
    /// How the sectors are encrypted.
    pub cipher: CipherSpec,
    /// Bytes of a sector.
    pub sector_bytes: usize,
    /// Where the sealed sectors start, bytes from the start of the header; in a detached header, from the start of the other file.
    pub payload_offset: u64,
    /// Bytes of the sealed sectors; none if they go on to the end of the file.
    pub payload_bytes: Option<u64>,
    /// What is added to the number of a sector of 512 bytes before it becomes an initialisation vector.
    pub first_sector: u64,
    /// Text that tells this disk from others.
    pub uuid: Vec<u8>,
    /// Text by which its owner calls it.
    pub label: Vec<u8>,
    /// The slots that may be tried, in the order in which they are.
    pub slots: Vec<Slot>,
}

/// A key slot, with the digest of the key in it.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Its number.
    pub number: u32,
    /// How a passphrase becomes its key.
    pub derivation: Derivation,
    /// How its material is encrypted.
    pub(super) cipher: CipherSpec,
    pub(super) offset: u64,
    pub(super) splitter: HashName,
    pub(super) digest: Digest,
    preferred: bool,
}

/// The digest of a key.
#[derive(Clone, Debug)]
pub(super) struct Digest {
    pub(super) hash: HashName,
    pub(super) iterations: u32,
    pub(super) salt: Vec<u8>,
    pub(super) digest: Vec<u8>,
}

impl Header {
    /// Reads both copies and judges the newer valid one.
    ///
    /// # Errors
    /// None is valid, or it says what is not understood here; the caller's.
    pub fn read(read: &mut ReadAt<'_>) -> Result<Self> {
        let first = copy(0, MAGIC, read)?;
        let second = match &first {
            Some(first) => copy(first.raw.hdr_size.get(), MAGIC_SECOND, read)?,
            // Its size is not known: the format says where it can be.
            None => HEADER_SIZES
                .iter()
                .find_map(|offset| copy(*offset, MAGIC_SECOND, read).transpose())
                .transpose()?,
        };
        let newest = match (first, second) {
            (Some(first), Some(second)) if second.raw.seqid.get() > first.raw.seqid.get() => second,
            (Some(first), _) => first,
            (None, Some(second)) => second,
            (None, None) => return Err(Fault::new(faults::HEADER_CHECKSUM)),
        };
        newest.header()
    }
}

/// A copy whose checksum is right.
struct Copy {
    raw: RawHeader,
    json: Vec<u8>,
}

/// The copy at `offset`, if a valid one is there.
fn copy(offset: u64, magic: [u8; 6], read: &mut ReadAt<'_>) -> Result<Option<Copy>> {
    let mut bytes = alloc::vec![0; BINARY_BYTES];
    read(offset, &mut bytes)?;
    let Ok((raw, _)) = RawHeader::read_from_prefix(&bytes) else {
        return Ok(None);
    };
    let known = raw.magic == magic && raw.version.get() == 2 && raw.hdr_offset.get() == offset;
    if !known || !HEADER_SIZES.contains(&raw.hdr_size.get()) {
        return Ok(None);
    }
    // 4 MiB at most.
    bytes.resize(to_usize(raw.hdr_size.get())?, 0);
    read(offset, &mut bytes)?;
    let Some(hash) = HashName::named(until_nul(&raw.csum_alg)) else {
        return Ok(None);
    };
    if let Some(field) = bytes.get_mut(CHECKSUM_AT..).and_then(|rest| rest.get_mut(..64)) {
        field.fill(0);
    }
    let sum = digest(hash, &[&bytes]);
    if !equal(raw.csum.get(..sum.len()).unwrap_or_default(), &sum) {
        return Ok(None);
    }
    let json = until_nul(bytes.get(BINARY_BYTES..).unwrap_or_default()).to_vec();
    Ok(Some(Copy { raw, json }))
}

impl Copy {
    fn header(&self) -> Result<Header> {
        let json: Json = serde_json::from_slice(&self.json).map_err(|_| broken("JSON"))?;
        let required = json
            .config
            .requirements
            .map(|all| all.mandatory)
            .unwrap_or_default();
        if let Some(name) = required.first() {
            return Err(Fault::new(faults::REQUIREMENT).named(name.as_bytes()));
        }
        let mut segments = json.segments.iter();
        let (Some((id, segment)), None) = (segments.next(), segments.next()) else {
            return Err(broken("list of segments"));
        };
        let key_bytes = json
            .keyslots
            .values()
            .find(|slot| slot.kind == "luks2")
            .map_or(0, |slot| slot.key_size);
        let cipher = segment_cipher(segment, key_bytes)?;
        let payload_offset = decimal(&segment.offset)?;
        // In a detached header the materials end where the file ends.
        let end = if payload_offset == 0 {
            u64::MAX
        } else {
            payload_offset
        };
        let area = self.raw.hdr_size.get().saturating_mul(2)..end;
        Ok(Header {
            cipher,
            sector_bytes: sector_bytes(segment)?,
            payload_offset,
            payload_bytes: match segment.size.as_str() {
                "dynamic" => None,
                size => Some(decimal(size)?),
            },
            first_sector: decimal(&segment.iv_tweak)?,
            uuid: until_nul(&self.raw.uuid).to_vec(),
            label: until_nul(&self.raw.label).to_vec(),
            slots: slots(&json.keyslots, &json.digests, id, &cipher, &area)?,
        })
    }
}

fn segment_cipher(segment: &RawSegment, key_bytes: u32) -> Result<CipherSpec> {
    if segment.kind != "crypt" {
        return Err(Fault::new(faults::SEGMENT).named(segment.kind.as_bytes()));
    }
    if let Some(integrity) = &segment.integrity {
        return Err(Fault::new(faults::INTEGRITY).named(integrity.kind.as_bytes()));
    }
    cipher_named(&segment.encryption, key_bytes)
}

fn sector_bytes(segment: &RawSegment) -> Result<usize> {
    match segment.sector_size {
        bytes @ (512 | 1024 | 2048 | 4096) => to_usize(bytes.into()),
        bytes => Err(Fault::new(faults::SECTOR_SIZE).with([u64::from(bytes)])),
    }
}

/// The slots that lead to the key of the segment `id`. Those that nobody is to try without being told stay away.
fn slots(
    raw: &BTreeMap<String, RawSlot>,
    digests: &BTreeMap<String, RawDigest>,
    id: &str,
    cipher: &CipherSpec,
    area: &core::ops::Range<u64>,
) -> Result<Vec<Slot>> {
    let mut slots = Vec::new();
    for (name, raw) in raw {
        let digest = digests
            .values()
            .find(|digest| digest.keyslots.contains(name) && digest.segments.iter().any(|one| one == id));
        let (Some(digest), false) = (digest, raw.priority == Some(0)) else {
            continue;
        };
        let number = decimal(name)?;
        let slot = slot(number, raw, digest, area)?;
        if to_usize(raw.key_size.into())? != cipher.key_bytes() {
            return Err(broken("key size"));
        }
        slots.push(slot);
    }
    slots.sort_by_key(|slot: &Slot| (!slot.preferred, slot.number));
    Ok(slots)
}

fn slot(number: u64, raw: &RawSlot, digest: &RawDigest, area: &core::ops::Range<u64>) -> Result<Slot> {
    if raw.kind != "luks2" || raw.area.kind != "raw" {
        return Err(broken("kind of key slot"));
    }
    let af = raw.af.as_ref().ok_or_else(|| broken("splitter"))?;
    if af.kind != "luks1" || af.stripes != STRIPES {
        return Err(broken("splitter"));
    }
    let (offset, bytes) = (decimal(&raw.area.offset)?, decimal(&raw.area.size)?);
    let material = u64::from(raw.key_size).saturating_mul(STRIPES.into());
    if offset < area.start || offset.saturating_add(bytes) > area.end || bytes < material {
        return Err(broken("key slot's area"));
    }
    if digest.kind != "pbkdf2" {
        return Err(broken("digest"));
    }
    Ok(Slot {
        number: u32::try_from(number).map_err(|_| broken("key slot's number"))?,
        derivation: derivation(raw.kdf.as_ref())?,
        cipher: cipher_named(&raw.area.encryption, raw.area.key_size)?,
        offset,
        splitter: hash_named(af.hash.as_bytes())?,
        digest: Digest {
            hash: hash_named(digest.hash.as_bytes())?,
            iterations: digest.iterations,
            salt: bytes_of(&digest.salt)?,
            digest: bytes_of(&digest.digest)?,
        },
        preferred: raw.priority == Some(2),
    })
}

fn derivation(raw: Option<&RawDerivation>) -> Result<Derivation> {
    let argon2 = |mixed, time: &u32, memory: &u32, cpus: &u32, salt: &str| {
        Ok(Derivation::Argon2 {
            mixed,
            passes: *time,
            kib: *memory,
            lanes: *cpus,
            salt: bytes_of(salt)?,
        })
    };
    match raw {
        Some(RawDerivation::Pbkdf2 {
            hash,
            iterations,
            salt,
        }) => Ok(Derivation::Pbkdf2 {
            hash: hash_named(hash.as_bytes())?,
            iterations: *iterations,
            salt: bytes_of(salt)?,
        }),
        Some(RawDerivation::Argon2i {
            time,
            memory,
            cpus,
            salt,
        }) => argon2(false, time, memory, cpus, salt),
        Some(RawDerivation::Argon2id {
            time,
            memory,
            cpus,
            salt,
        }) => argon2(true, time, memory, cpus, salt),
        Some(RawDerivation::Unknown) | None => Err(broken("key derivation")),
    }
}

/// `aes-xts-plain64`: name, mode and generator, with a key of so many bytes.
fn cipher_named(text: &str, key_bytes: u32) -> Result<CipherSpec> {
    let (name, mode) = text
        .split_once('-')
        .ok_or_else(|| Fault::new(faults::MODE_FORMAT).named(text.as_bytes()))?;
    luks_cipher(name.as_bytes(), mode.as_bytes(), key_bytes)
}

fn decimal(text: &str) -> Result<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits
        .then(|| text.parse().ok())
        .flatten()
        .ok_or_else(|| broken("number"))
}

fn bytes_of(text: &str) -> Result<Vec<u8>> {
    decode(text).ok_or_else(|| broken("salt or digest"))
}

fn broken(what: &str) -> Fault {
    Fault::new(faults::HEADER_CONTENT).named(what.as_bytes())
}
