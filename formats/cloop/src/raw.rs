//! The layout on disk.

use zerocopy::big_endian::U32;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// What `script` begins with in version 2.
pub const SCRIPT: &[u8] =
    b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n";

/// The bytes in front of the offsets.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHeader {
    /// [`SCRIPT`], which mounts the image when it is run.
    pub script: [u8; 128],
    /// Bytes that each block decodes to.
    pub block_size: U32,
    /// Blocks.
    pub blocks: U32,
}

/// Bytes of [`RawHeader`].
pub const HEADER_BYTES: u64 = 136;

const _: () = assert!(size_of::<RawHeader>() == 136);
