//! The LUKS header of an encrypted image, as far as `info` shows it.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use instar_disk::fault::qcow2 as faults;
use instar_disk::report::{LuksInfo, LuksSlot};
use instar_disk::{Fault, File, ImageText, Result};
use zerocopy::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::pieces::{Pieces, until_nul};

/// The header at `offset` of `file`.
pub(crate) fn describe(file: File<'_>, offset: u64) -> Result<Box<LuksInfo>> {
    let raw: RawLuks = Pieces::new(file).value(offset)?;
    let version = raw.version.get();
    if raw.magic != MAGIC {
        return Err(Fault::new(faults::LUKS_MAGIC).in_file(file.slot()));
    }
    if version != 1 {
        let fault = Fault::new(faults::LUKS_VERSION).with([u64::from(version)]);
        return Err(fault.in_file(file.slot()));
    }
    let (mode, generator) = split(until_nul(&raw.cipher_mode), b'-');
    let (generator, generator_hash) = split(generator, b':');
    Ok(Box::new(LuksInfo {
        version: 1,
        cipher: ImageText::new(&cipher(&raw, mode)),
        cipher_mode: ImageText::new(mode),
        iv_generator: ImageText::new(generator),
        iv_generator_hash: (!generator_hash.is_empty()).then(|| ImageText::new(generator_hash)),
        hash: ImageText::new(until_nul(&raw.hash_spec)),
        uuid: ImageText::new(until_nul(&raw.uuid)),
        detached: false,
        payload_offset: bytes(raw.payload_offset),
        master_key_iterations: raw.mk_digest_iter.get(),
        slots: raw.key_slots.iter().map(slot).collect(),
    }))
}

/// Name and width. The two keys of XTS count as one.
fn cipher(raw: &RawLuks, mode: &[u8]) -> Vec<u8> {
    let keys = if mode == b"xts" { 2 } else { 1 };
    let bits = u64::from(raw.key_bytes.get()).saturating_mul(8);
    let bits = bits.checked_div(keys).unwrap_or(bits);
    let mut text = until_nul(&raw.cipher_name).to_vec();
    text.extend_from_slice(format!("-{bits}").as_bytes());
    text
}

fn slot(raw: &RawKeySlot) -> LuksSlot {
    let active = raw.active.get() == ACTIVE;
    LuksSlot {
        key_offset: bytes(raw.key_material_offset),
        active: active.then(|| (raw.iterations.get(), raw.stripes.get())),
    }
}

/// Sectors to bytes.
fn bytes(sectors: U32) -> u64 {
    u64::from(sectors.get()).saturating_mul(512)
}

/// Before and after the first `separator`.
fn split(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    let mut parts = text.splitn(2, |byte| *byte == separator);
    let first = parts.next().unwrap_or_default();
    (first, parts.next().unwrap_or_default())
}

/// The partition header of the LUKS 1 specification.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawLuks {
    magic: [u8; 6],
    version: U16,
    cipher_name: [u8; 32],
    cipher_mode: [u8; 32],
    hash_spec: [u8; 32],
    payload_offset: U32,
    key_bytes: U32,
    mk_digest: [u8; 20],
    mk_digest_salt: [u8; 32],
    mk_digest_iter: U32,
    uuid: [u8; 40],
    key_slots: [RawKeySlot; 8],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
struct RawKeySlot {
    active: U32,
    iterations: U32,
    salt: [u8; 32],
    key_material_offset: U32,
    stripes: U32,
}

const _: () = {
    assert!(size_of::<RawLuks>() == 592);
    assert!(core::mem::offset_of!(RawLuks, key_slots) == 208);
};

const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";

/// `active` of a key slot in use.
const ACTIVE: u32 = 0x00ac_71f3;
