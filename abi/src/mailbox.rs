//! A lane's mailbox: one batch of requests down, one result each up.
//!
//! ```text
//!  0      doorbell   u32   DOORBELL_GUEST or DOORBELL_HOST; the futex word of the process backend
//!  4      count      u32   requests in the batch, 1..=BATCH
//!  8      reserved   u64
//!  64     requests   BATCH × 64 bytes
//!  16448  results    BATCH × 24 bytes
//! ```

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::limits::BATCH;

/// The guest owns the mailbox.
pub const DOORBELL_GUEST: u32 = 0;
/// The guest has rung; the host owns the mailbox.
pub const DOORBELL_HOST: u32 = 1;

/// The first bytes of a mailbox.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct MailboxHeader {
    /// Who owns the mailbox.
    pub doorbell: u32,
    /// Requests in the batch.
    pub count: u32,
    /// Zero.
    pub reserved: u64,
}

/// A request as it lies in the mailbox. [`crate::Request::parse`] gives it meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct RawRequest {
    /// [`crate::request::Op`].
    pub op: u32,
    /// Meaning depends on `op`.
    pub flags: u32,
    /// The file worked on.
    pub slot: u32,
    /// The other file, where there is one.
    pub other: u32,
    /// Offset in `slot`, bytes.
    pub offset: u64,
    /// Offset in `other`, bytes.
    pub other_offset: u64,
    /// Bytes to work on.
    pub length: u64,
    /// Guest address of a buffer.
    pub address: u64,
    /// Meaning depends on `op`.
    pub extra: u64,
    /// Zero.
    pub reserved: u64,
}

/// The answer to one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct RawResult {
    /// [`crate::request::status`]: 0, an errno, or a refusal.
    pub status: u32,
    /// Second half of `value` for `Open`: [`crate::FileKind`] as a number; else zero.
    pub detail: u32,
    /// Bytes moved, extents found, slot opened.
    pub value: u64,
    /// Size of the file opened.
    pub extra: u64,
}

impl MailboxHeader {
    /// The header that these bytes make: any bytes make one.
    #[must_use]
    pub fn from_bytes(bytes: [u8; size_of::<Self>()]) -> Self {
        zerocopy::transmute!(bytes)
    }
}

impl RawRequest {
    /// The request that these bytes make: any bytes make one.
    #[must_use]
    pub fn from_bytes(bytes: [u8; size_of::<Self>()]) -> Self {
        zerocopy::transmute!(bytes)
    }
}

impl RawResult {
    /// The result that these bytes make: any bytes make one.
    #[must_use]
    pub fn from_bytes(bytes: [u8; size_of::<Self>()]) -> Self {
        zerocopy::transmute!(bytes)
    }

    /// The result as it lies in the mailbox.
    #[must_use]
    pub fn to_bytes(self) -> [u8; size_of::<Self>()] {
        zerocopy::transmute!(self)
    }
}

/// Offset of the requests.
pub const REQUESTS_AT: usize = 64;
/// Offset of the results.
pub const RESULTS_AT: usize = REQUESTS_AT + BATCH * size_of::<RawRequest>();
/// Bytes that a mailbox uses.
pub const MAILBOX_BYTES: usize = RESULTS_AT + BATCH * size_of::<RawResult>();

const _: () = {
    assert!(size_of::<MailboxHeader>() == 16);
    assert!(size_of::<RawRequest>() == 64);
    assert!(size_of::<RawResult>() == 24);
    assert!(RESULTS_AT == 16448);
    assert!(MAILBOX_BYTES <= 32768);
};
