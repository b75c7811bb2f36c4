//! Requests about ranges of two files.

use super::{BadRequest, COMPARE_WITH_ZERO, COPY_MAY_CLONE, COPY_TARGET_IS_ZERO, Op, file_range};
use crate::file::Slot;
use crate::limits::TRANSFER;
use crate::mailbox::RawRequest;
use crate::sparse::Sparse;

/// Bytes from file to file, never through the guest. Past the source's end it reads zeros.
///
/// With `sparse`, the range is one stretch of that rule, and the zeros that it leaves out are not written: they are
/// skipped if `target_is_zero`, else zeroed; those that fill no page of 4096 bytes may be written all the same. Result
/// value: bytes of target written as data, shared ones included; extra: bytes whose extents are shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyRange {
    /// From.
    pub source: Slot,
    /// From, bytes.
    pub source_offset: u64,
    /// To.
    pub target: Slot,
    /// To, bytes.
    pub target_offset: u64,
    /// Bytes.
    pub length: u64,
    /// Which zeros are left out; `None`: no zero detection. As a number, the minimum; 0 is `None`.
    pub sparse: Option<Sparse>,
    /// The target range reads as zero now.
    pub target_is_zero: bool,
    /// Extents may be shared (reflink). If not, the copy has space of its own.
    pub may_clone: bool,
}

impl CopyRange {
    /// As it lies in a mailbox.
    #[must_use]
    pub const fn to_raw(self) -> RawRequest {
        let zero = if self.target_is_zero {
            COPY_TARGET_IS_ZERO
        } else {
            0
        };
        let clone = if self.may_clone { COPY_MAY_CLONE } else { 0 };
        RawRequest {
            op: Op::COPY.0,
            flags: zero | clone,
            slot: self.source.0,
            other: self.target.0,
            offset: self.source_offset,
            other_offset: self.target_offset,
            length: self.length,
            address: 0,
            extra: match self.sparse {
                Some(sparse) => sparse.minimum(),
                None => 0,
            },
            reserved: 0,
        }
    }

    pub(super) fn parse(raw: &RawRequest) -> Result<Self, BadRequest> {
        file_range(raw.offset, raw.length)?;
        file_range(raw.other_offset, raw.length)?;
        let sparse = match raw.extra {
            0 => None,
            minimum => Some(Sparse::new(minimum).ok_or(BadRequest::Value)?),
        };
        if raw.flags & !(COPY_TARGET_IS_ZERO | COPY_MAY_CLONE) != 0 {
            return Err(BadRequest::Value);
        }
        Ok(Self {
            source: Slot(raw.slot),
            source_offset: raw.offset,
            target: Slot(raw.other),
            target_offset: raw.other_offset,
            length: raw.length,
            sparse,
            target_is_zero: raw.flags & COPY_TARGET_IS_ZERO != 0,
            may_clone: raw.flags & COPY_MAY_CLONE != 0,
        })
    }
}

/// Bytes of two files against each other, or of one against zeros; what lies past a file's end reads as zero. Result
/// value: how many bytes, from the start, are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompareRange {
    /// One.
    pub slot: Slot,
    /// From, bytes.
    pub offset: u64,
    /// The other file and from where on, in bytes; none: zeros.
    pub other: Option<(Slot, u64)>,
    /// Bytes, at most one transfer.
    pub length: u64,
}

impl CompareRange {
    /// As it lies in a mailbox.
    #[must_use]
    pub const fn to_raw(self) -> RawRequest {
        let (flags, other, other_offset) = match self.other {
            Some((other, offset)) => (0, other.0, offset),
            None => (COMPARE_WITH_ZERO, 0, 0),
        };
        RawRequest {
            op: Op::COMPARE.0,
            flags,
            slot: self.slot.0,
            other,
            offset: self.offset,
            other_offset,
            length: self.length,
            address: 0,
            extra: 0,
            reserved: 0,
        }
    }

    pub(super) fn parse(raw: &RawRequest) -> Result<Self, BadRequest> {
        file_range(raw.offset, raw.length)?;
        if raw.length > TRANSFER {
            return Err(BadRequest::Length(raw.length));
        }
        let other = match raw.flags {
            0 => {
                file_range(raw.other_offset, raw.length)?;
                Some((Slot(raw.other), raw.other_offset))
            }
            COMPARE_WITH_ZERO => None,
            _ => return Err(BadRequest::Value),
        };
        Ok(Self {
            slot: Slot(raw.slot),
            offset: raw.offset,
            other,
            length: raw.length,
        })
    }
}
