//! The layout on disk.

use zerocopy::big_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `magic`.
pub const MAGIC: [u8; 6] = *b"LUKS\xba\xbe";

/// Bytes of [`RawHeader`].
pub const HEADER_BYTES: usize = 592;

/// The first 592 bytes.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// [`MAGIC`].
    pub magic: [u8; 6],
    /// 1.
    pub version: U16,
    /// Cipher, without the length of its key.
    pub cipher_name: [u8; 32],
    /// Mode, generator of initialisation vectors and perhaps its hash.
    pub cipher_mode: [u8; 32],
    /// Hash of PBKDF2 and of the splitter.
    pub hash_spec: [u8; 32],
    /// Where the sealed sectors start, sectors of 512 bytes; 0 if they are in another file.
    pub payload_offset: U32,
    /// Bytes of the disk's key.
    pub key_bytes: U32,
    /// Digest of the disk's key, by PBKDF2.
    pub mk_digest: [u8; 20],
    /// Salt of the digest.
    pub mk_digest_salt: [u8; 32],
    /// Iterations of the digest.
    pub mk_digest_iter: U32,
    /// Text.
    pub uuid: [u8; 40],
    /// Eight ways to the disk's key.
    pub key_slots: [RawSlot; 8],
}

/// A key slot.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawSlot {
    /// One of [`state`].
    pub active: U32,
    /// Iterations of PBKDF2.
    pub iterations: U32,
    /// Salt of PBKDF2.
    pub salt: [u8; 32],
    /// Where the material starts, sectors of 512 bytes.
    pub key_material_offset: U32,
    /// 4000.
    pub stripes: U32,
}

/// Values of `active`.
pub mod state {
    /// There is a key in the slot.
    pub const ACTIVE: u32 = 0x00ac_71f3;
    /// There is none.
    pub const FREE: u32 = 0x0000_dead;
}

/// Sectors before the first slot's material.
pub(super) const HEADER_SECTORS: u32 = 8;

/// Bytes of a sector, in all fields that count them.
pub const SECTOR: u64 = 512;

const _: () = assert!(size_of::<RawHeader>() == HEADER_BYTES);
const _: () = assert!(core::mem::offset_of!(RawHeader, payload_offset) == 104);
const _: () = assert!(core::mem::offset_of!(RawHeader, key_slots) == 208);
const _: () = assert!(size_of::<RawSlot>() == 48);
