//! The layout of a tar header.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Bytes of a header, and what the data of a member is rounded up to.
pub const BLOCK: u64 = 512;

/// `magic` of ustar; that of GNU tar has a space in place of the zero.
pub const MAGIC: [u8; 5] = *b"ustar";

/// A header. Numbers are octal digits.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// The name, or its end.
    pub name: [u8; 100],
    /// Permissions.
    pub mode: [u8; 8],
    /// The owner.
    pub uid: [u8; 8],
    /// The group.
    pub gid: [u8; 8],
    /// Bytes of data.
    pub size: [u8; 12],
    /// Seconds since 1970.
    pub mtime: [u8; 12],
    /// The sum of all bytes, as if these were spaces.
    pub checksum: [u8; 8],
    /// What the member is.
    pub kind: u8,
    /// What a link leads to.
    pub link: [u8; 100],
    /// [`MAGIC`], and a zero or a space.
    pub magic: [u8; 6],
    /// `00`; a space and a zero by GNU tar.
    pub version: [u8; 2],
    /// The name of the owner.
    pub owner: [u8; 32],
    /// The name of the group.
    pub group: [u8; 32],
    /// Of a device.
    pub device: [[u8; 8]; 2],
    /// The beginning of the name, but not by GNU tar.
    pub prefix: [u8; 155],
    /// Nothing.
    pub pad: [u8; 12],
}

/// Values of `kind`.
pub mod kind {
    /// A file.
    pub const FILE: u8 = b'0';
    /// A file, in old archives.
    pub const OLD_FILE: u8 = 0;
    /// A file in one piece.
    pub const CONTIGUOUS: u8 = b'7';
    /// A file with holes, by GNU tar.
    pub const SPARSE: u8 = b'S';
    /// The name of the next member, by GNU tar.
    pub const LONG_NAME: u8 = b'L';
    /// What the next member leads to, by GNU tar.
    pub const LONG_LINK: u8 = b'K';
    /// Records about the next member.
    pub const PAX: u8 = b'x';
    /// Records about all that follow.
    pub const PAX_GLOBAL: u8 = b'g';
}

const _: () = assert!(size_of::<RawHeader>() == 512);
const _: () = assert!(core::mem::offset_of!(RawHeader, checksum) == 148);
const _: () = assert!(core::mem::offset_of!(RawHeader, magic) == 257);
const _: () = assert!(core::mem::offset_of!(RawHeader, prefix) == 345);
