//! What goes over the wire.

use zerocopy::big_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `NBDMAGIC`.
pub const HELLO: u64 = 0x4e42_444d_4147_4943;
/// `IHAVEOPT`: options are negotiated, and each begins with it, too.
pub const OPTIONS: u64 = 0x4948_4156_454f_5054;
/// In its place, of servers without options.
pub const OLDSTYLE: u64 = 0x0000_4202_8186_1253;
/// What the answer to an option begins with.
pub const OPTION_REPLY: u64 = 0x0003_e889_0455_65a9;
/// What a request begins with.
pub const REQUEST: u32 = 0x2560_9513;
/// What a simple reply begins with.
pub const SIMPLE_REPLY: u32 = 0x6744_6698;
/// What a chunk of a structured reply begins with.
pub const CHUNK: u32 = 0x668e_33ef;

/// Bits of [`RawHello::flags`], and of the client's answer.
pub mod hello {
    /// Options that are not known are answered, and not the end.
    pub const FIXED_NEWSTYLE: u16 = 1;
    /// 124 zeros at the end of a handshake by `EXPORT_NAME` are left out.
    pub const NO_ZEROES: u16 = 2;
}

/// Options of the handshake.
pub mod option {
    pub const EXPORT_NAME: u32 = 1;
    pub const GO: u32 = 7;
    pub const STRUCTURED_REPLY: u32 = 8;
    pub const SET_META_CONTEXT: u32 = 10;
}

/// Answers to options.
pub mod answer {
    pub const ACK: u32 = 1;
    pub const INFO: u32 = 3;
    pub const META_CONTEXT: u32 = 4;
    /// The bit that makes an answer an error.
    pub const ERROR: u32 = 1 << 31;
    pub const UNSUPPORTED: u32 = ERROR | 1;
    pub const POLICY: u32 = ERROR | 2;
    pub const TLS_REQUIRED: u32 = ERROR | 5;
    pub const UNKNOWN: u32 = ERROR | 6;
    pub const SHUTDOWN: u32 = ERROR | 7;
}

/// What an `INFO` is about.
pub mod info {
    pub const EXPORT: u16 = 0;
    pub const BLOCK_SIZE: u16 = 3;
}

/// What an export can do.
pub mod transmission {
    pub const READ_ONLY: u16 = 1 << 1;
    pub const FLUSH: u16 = 1 << 2;
    pub const TRIM: u16 = 1 << 5;
    pub const WRITE_ZEROES: u16 = 1 << 6;
    pub const MULTI_CONN: u16 = 1 << 8;
}

/// Commands.
pub mod command {
    pub const READ: u16 = 0;
    pub const WRITE: u16 = 1;
    pub const DISCONNECT: u16 = 2;
    pub const FLUSH: u16 = 3;
    pub const TRIM: u16 = 4;
    pub const WRITE_ZEROES: u16 = 6;
    pub const BLOCK_STATUS: u16 = 7;
    /// Flag of `WRITE_ZEROES`: the space stays allocated.
    pub const NO_HOLE: u16 = 1 << 1;
}

/// Kinds of chunks.
pub mod chunk {
    pub const NONE: u16 = 0;
    pub const OFFSET_DATA: u16 = 1;
    pub const OFFSET_HOLE: u16 = 2;
    pub const BLOCK_STATUS: u16 = 5;
    /// The bit that makes a chunk an error; all have the same beginning.
    pub const ERROR: u16 = 1 << 15;
    /// Flag: the last chunk of the reply.
    pub const DONE: u16 = 1;
}

/// Bit of a descriptor of `base:allocation`: it reads as zeros.
pub const STATE_ZERO: u32 = 2;

/// The server's first words.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHello {
    /// [`HELLO`].
    pub magic: U64,
    /// [`OPTIONS`].
    pub style: U64,
    /// [`hello`].
    pub flags: U16,
}

/// An option; its data follows.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawOption {
    /// [`OPTIONS`].
    pub magic: U64,
    /// [`option`].
    pub option: U32,
    /// Bytes of its data.
    pub length: U32,
}

/// An answer to an option; its data follows.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawAnswer {
    /// [`OPTION_REPLY`].
    pub magic: U64,
    /// The option that it answers.
    pub option: U32,
    /// [`answer`].
    pub kind: U32,
    /// Bytes of its data.
    pub length: U32,
}

/// What `EXPORT_NAME` is answered with, and, behind a type, `GO`.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawExport {
    /// Bytes of the export.
    pub size: U64,
    /// [`transmission`].
    pub flags: U16,
}

/// The sizes of requests that the server takes.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawBlocks {
    /// Offsets and lengths are multiples of it.
    pub minimum: U32,
    /// The best one.
    pub preferred: U32,
    /// The longest payload.
    pub maximum: U32,
}

/// A request; the data of a write follows.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawRequest {
    /// [`REQUEST`].
    pub magic: U32,
    pub flags: U16,
    /// [`command`].
    pub command: U16,
    /// What its reply is known by.
    pub cookie: U64,
    pub offset: U64,
    pub length: U32,
}

/// A reply behind its magic.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawSimple {
    /// An errno, or 0.
    pub error: U32,
    pub cookie: U64,
}

/// A chunk behind its magic; its payload follows.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawChunk {
    pub flags: U16,
    /// [`chunk`].
    pub kind: U16,
    pub cookie: U64,
    /// Bytes of the payload.
    pub length: U32,
}

/// The payload of a hole.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawHole {
    pub offset: U64,
    pub length: U32,
}

/// What the payload of an error begins with; words follow.
#[derive(Clone, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawError {
    /// An errno.
    pub error: U32,
    /// Bytes of words.
    pub length: U16,
}

/// A descriptor of block status.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawDescriptor {
    pub length: U32,
    /// [`STATE_ZERO`] and others.
    pub state: U32,
}
