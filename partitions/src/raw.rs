//! The layout on disk.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The first 8 bytes of a GPT.
pub(crate) const SIGNATURE: [u8; 8] = *b"EFI PART";
/// The last 2 bytes of an MBR.
pub(crate) const MAGIC: [u8; 2] = [0x55, 0xaa];
/// The type of the partition that stands for all of a GPT.
pub(crate) const PROTECTIVE: u8 = 0xee;
/// Types of partitions that hold logical ones: of DOS, of Windows, of Linux.
pub(crate) const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
/// The mark of the partition to boot from.
pub(crate) const ACTIVE: u8 = 0x80;

/// The header of a GPT.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// `EFI PART`.
    pub signature: [u8; 8],
    /// 1.0.
    pub revision: U32,
    /// Bytes that the checksum covers.
    pub header_size: U32,
    /// CRC-32 of the header, with this field zero.
    pub header_crc: U32,
    /// Zero.
    pub reserved: U32,
    /// The sector that it stands in.
    pub my_lba: U64,
    /// The sector of the other one.
    pub alternate_lba: U64,
    /// The first sector that a partition may have.
    pub first_usable: U64,
    /// The last one.
    pub last_usable: U64,
    /// The disk's identifier.
    pub disk_id: [u8; 16],
    /// Where the entries start.
    pub entries_lba: U64,
    /// How many there are.
    pub entries: U32,
    /// Bytes of each.
    pub entry_size: U32,
    /// CRC-32 of all of them.
    pub entries_crc: U32,
}

/// An entry of a GPT.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawEntry {
    /// What it is for; zero: not in use.
    pub type_id: [u8; 16],
    /// Its own identifier.
    pub id: [u8; 16],
    /// Its first sector.
    pub first: U64,
    /// Its last sector.
    pub last: U64,
    /// Attributes.
    pub attributes: U64,
    /// Its name in UTF-16, ended by a zero if it is shorter.
    pub name: [U16; 36],
}

/// An MBR, and each link in the chain of logical partitions.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawMbr {
    /// The program that starts the machine.
    pub boot_code: [u8; 440],
    /// The signature of the disk.
    pub disk_id: U32,
    /// Unused.
    pub reserved: [u8; 2],
    /// Its partitions.
    pub slots: [RawSlot; 4],
    /// `55 aa`.
    pub magic: [u8; 2],
}

/// A partition in an MBR.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawSlot {
    /// 0x80 if the machine starts from it, else 0.
    pub status: u8,
    /// Its first sector by cylinder, head and sector.
    pub first_chs: [u8; 3],
    /// What it is for; zero: not in use.
    pub type_id: u8,
    /// Its last sector by cylinder, head and sector.
    pub last_chs: [u8; 3],
    /// Its first sector.
    pub start: U32,
    /// Its sectors.
    pub sectors: U32,
}

const _: () = assert!(size_of::<RawHeader>() == 92);
const _: () = assert!(size_of::<RawEntry>() == 128);
const _: () = assert!(size_of::<RawMbr>() == 512);
