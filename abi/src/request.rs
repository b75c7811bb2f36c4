//! The request vocabulary, and the one place where a request is judged.
//!
//! A batch is carried out in order and stops at the first request that fails; those after it get
//! [`status::CANCELLED`]. A request that does not parse ends the guest.

use crate::file::{Role, Slot};
use crate::layout::{BASE, STACKS};
use crate::limits::{FILE_END, IMAGE_TEXT, REPORT_BYTES, TRANSFER};
use crate::mailbox::RawRequest;

/// Operation numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Op(pub u32);

#[allow(
    missing_docs,
    reason = "each is documented at the Request variant of the same name"
)]
impl Op {
    pub const READ: Self = Self(1);
    pub const WRITE: Self = Self(2);
    pub const COPY: Self = Self(3);
    pub const ZERO: Self = Self(4);
    pub const DISCARD: Self = Self(5);
    pub const EXTENTS: Self = Self(6);
    pub const RESIZE: Self = Self(7);
    pub const FLUSH: Self = Self(8);
    pub const OPEN: Self = Self(9);
    pub const REPORT: Self = Self(10);
    pub const PROGRESS: Self = Self(11);
    pub const WAIT: Self = Self(12);
    pub const WAKE: Self = Self(13);
    pub const EXIT: Self = Self(14);
    pub const ADVISE: Self = Self(15);
    pub const COMPARE: Self = Self(16);
    pub const ALLOCATED: Self = Self(17);
    pub const SHARABLE: Self = Self(18);
    pub const RECEIVE: Self = Self(19);
    pub const SEND: Self = Self(20);
}

/// `RawRequest::flags` of Copy: bytes of the target range that are skipped already read as zero.
pub const COPY_TARGET_IS_ZERO: u32 = 1;
/// `RawRequest::flags` of Copy: sharing the extent instead of copying it is welcome.
pub const COPY_MAY_CLONE: u32 = 2;
/// `RawRequest::flags` of Zero: the space may be given back to the filesystem.
pub const ZERO_MAY_UNMAP: u32 = 1;

/// `RawRequest::flags` of Compare: there is no other file, and every byte must be zero.
pub const COMPARE_WITH_ZERO: u32 = 1;

/// Bit of [`crate::RawResult::detail`] of Open: another process may be writing to the file.
pub const DETAIL_BUSY: u32 = 1 << 8;

/// In the detail of an opened file: [`FileFacts::called_dmg`](crate::FileFacts::called_dmg).
pub const DETAIL_CALLED_DMG: u32 = 1 << 9;

/// Values of [`crate::RawResult::status`].
///
/// 1 to 4095 are Linux errno values of the host operation.
pub mod status {
    /// Done.
    pub const OK: u32 = 0;
    /// An earlier request of the batch failed.
    pub const CANCELLED: u32 = 0x1000;
    /// Open: the policy forbids any file that an image names.
    pub const REFUSED_UNTRUSTED: u32 = 0x1001;
    /// Open: the name leads outside the directories that the policy allows.
    pub const REFUSED_OUTSIDE: u32 = 0x1002;
    /// Open: the name is no plain file name (a URL, empty, or with a NUL byte).
    pub const REFUSED_NAME: u32 = 0x1003;
    /// Open: not a regular file.
    pub const REFUSED_KIND: u32 = 0x1004;
    /// Open: too many files.
    pub const REFUSED_COUNT: u32 = 0x1005;
    /// Open: another process holds a conflicting lock.
    pub const REFUSED_LOCK: u32 = 0x1006;
    /// Open: a target of this run, or something that lies on it.
    pub const REFUSED_TARGET: u32 = 0x1008;
    /// Write, Copy, Zero or Resize: past the output limit of this run.
    pub const REFUSED_OUTPUT: u32 = 0x1007;
}

/// A range of guest memory that lies inside guest memory. It proves bounds and nothing else: what stands
/// there may change at any moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestRange {
    /// Bytes from the start of guest memory (not a guest address).
    pub start: u64,
    /// Bytes.
    pub length: u64,
}

/// How Zero may be carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZeroHow {
    /// Space stays allocated.
    Keep,
    /// A hole is as good.
    MayUnmap,
}

/// What Resize does about the space of a grown file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preallocate {
    /// Nothing: a hole.
    Off,
    /// Reserve by fallocate.
    Falloc,
    /// Write zeros.
    Full,
}

/// A request in bounds. Slots are not resolved yet: only the engine knows which exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Bytes of a file into guest memory. Result value: bytes read, short only at the file's end.
    Read {
        /// From.
        slot: Slot,
        /// From, bytes.
        offset: u64,
        /// To.
        into: GuestRange,
    },
    /// Bytes of guest memory into a file. All or an error.
    Write {
        /// To.
        slot: Slot,
        /// To, bytes.
        offset: u64,
        /// From.
        from: GuestRange,
    },
    /// Bytes from file to file, never through the guest.
    Copy(CopyRange),
    /// Makes a range read as zero.
    Zero {
        /// Where.
        slot: Slot,
        /// Where, bytes.
        offset: u64,
        /// Bytes.
        length: u64,
        /// Whether a hole will do.
        how: ZeroHow,
    },
    /// Gives space back; the content of the range is unspecified afterwards.
    Discard {
        /// Where.
        slot: Slot,
        /// Where, bytes.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Where a file has data: fills `into` with [`crate::request::ExtentRecord`]s that cover `offset` onwards
    /// without a gap, at most `length` bytes of the file. Result value: records written.
    Extents {
        /// Of.
        slot: Slot,
        /// From, bytes.
        offset: u64,
        /// Bytes of the file to look at.
        length: u64,
        /// Room for the records.
        into: GuestRange,
    },
    /// Sets a file's length. A target that existed before is touched by its first Resize, Write or Zero, not earlier.
    Resize {
        /// Which.
        slot: Slot,
        /// New length, bytes.
        length: u64,
        /// Space for what is added.
        preallocate: Preallocate,
    },
    /// Data on stable storage, if the cache mode of this run asks for it.
    Flush {
        /// Which.
        slot: Slot,
    },
    /// Opens a file that an image names, through the gate. Result: value = slot (the same slot again for the
    /// same file), extra = size, detail = kind (0 regular, 2 block), [`DETAIL_BUSY`]
    /// and [`DETAIL_CALLED_DMG`].
    Open {
        /// The file whose bytes name it; relative names start at its directory.
        namer: Slot,
        /// As what.
        role: Role,
        /// The name, not NUL-terminated.
        name: GuestRange,
    },
    /// A serialised [`crate::Report`].
    Report {
        /// The bytes.
        bytes: GuestRange,
    },
    /// How far the work is.
    Progress {
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
    },
    /// Sleeps while the 32-bit word in guest memory equals `expected`; may wake early.
    Wait {
        /// The word, 4-aligned.
        word: GuestRange,
        /// Its value as the guest saw it.
        expected: u32,
    },
    /// Wakes every lane that waits for the word.
    Wake {
        /// The word, 4-aligned.
        word: GuestRange,
    },
    /// This range of the file will be read soon.
    Advise {
        /// Which.
        slot: Slot,
        /// From, bytes.
        offset: u64,
        /// Bytes.
        length: u64,
    },
    /// Bytes of two files against each other, or of one against zeros.
    Compare(CompareRange),
    /// How much storage a file occupies. Result value: bytes.
    Allocated {
        /// Which.
        slot: Slot,
    },
    /// Whether blocks of one file can be shared with another ([`CopyRange::may_clone`]), which stays as it is. Result value: 1 if so, else 0.
    Sharable {
        /// The file that has them.
        source: Slot,
        /// The file that would, a target.
        target: Slot,
    },
    /// The next bytes of a stream ([`crate::FileKind::Stream`]) into guest memory, as soon as there are some. Result value: bytes received, at least
    /// one; 0 when the stream has ended, and for an empty range.
    Receive {
        /// From.
        slot: Slot,
        /// To.
        into: GuestRange,
    },
    /// Bytes of guest memory to a stream. All or an error.
    Send {
        /// To.
        slot: Slot,
        /// From.
        from: GuestRange,
    },
    /// The guest is done. The last report said how it went.
    Exit,
}

/// One piece of a file's allocation map, as Extents writes it.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    zerocopy::FromBytes,
    zerocopy::IntoBytes,
    zerocopy::KnownLayout,
    zerocopy::Immutable,
)]
#[repr(C)]
pub struct ExtentRecord {
    /// Bytes.
    pub length: u64,
    /// 1 data, 0 hole.
    pub data: u64,
}

impl ExtentRecord {
    /// The record as it lies in guest memory.
    #[must_use]
    pub fn to_bytes(self) -> [u8; size_of::<Self>()] {
        zerocopy::transmute!(self)
    }
}

/// The request is not one: the guest is broken or hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// No such operation.
    Op(u32),
    /// A flag, minimum, role or reserved field has no such value.
    Value,
    /// A buffer outside guest memory, or one the host must not write to.
    Address(u64),
    /// Offset plus length leaves what a file can hold, or one transfer.
    Length(u64),
}

impl Request {
    /// Judges `raw`, given the size of guest memory. Every value of `raw` gives a request in bounds or a refusal.
    ///
    /// # Errors
    /// [`BadRequest`] names what is out of bounds.
    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each operation, read side by side"
    )]
    pub fn parse(raw: &RawRequest, memory_bytes: u64) -> Result<Self, BadRequest> {
        let slot = Slot(raw.slot);
        let RawRequest { offset, length, .. } = *raw;
        if raw.reserved != 0 {
            return Err(BadRequest::Value);
        }
        match Op(raw.op) {
            Op::READ => Ok(Self::Read {
                slot,
                offset,
                into: transfer(raw, memory_bytes, Access::Writes)?,
            }),
            Op::WRITE => Ok(Self::Write {
                slot,
                offset,
                from: transfer(raw, memory_bytes, Access::Reads)?,
            }),
            Op::COPY => CopyRange::parse(raw).map(Self::Copy),
            Op::ZERO => {
                file_range(offset, length)?;
                let how = match raw.flags {
                    0 => ZeroHow::Keep,
                    ZERO_MAY_UNMAP => ZeroHow::MayUnmap,
                    _ => return Err(BadRequest::Value),
                };
                Ok(Self::Zero {
                    slot,
                    offset,
                    length,
                    how,
                })
            }
            Op::DISCARD => file_range(offset, length).map(|()| Self::Discard { slot, offset, length }),
            Op::ADVISE => file_range(offset, length).map(|()| Self::Advise { slot, offset, length }),
            Op::EXTENTS => {
                file_range(offset, length)?;
                let into = guest_range(raw.address, raw.extra, memory_bytes, Access::Writes)?;
                if into.length > TRANSFER {
                    return Err(BadRequest::Length(into.length));
                }
                Ok(Self::Extents {
                    slot,
                    offset,
                    length,
                    into,
                })
            }
            Op::RESIZE => {
                file_range(0, length)?;
                let preallocate = match raw.flags {
                    0 => Preallocate::Off,
                    1 => Preallocate::Falloc,
                    2 => Preallocate::Full,
                    _ => return Err(BadRequest::Value),
                };
                Ok(Self::Resize {
                    slot,
                    length,
                    preallocate,
                })
            }
            Op::FLUSH => Ok(Self::Flush { slot }),
            Op::OPEN => {
                let role = Role::from_number(raw.flags).ok_or(BadRequest::Value)?;
                let name = bounded(raw, memory_bytes, IMAGE_TEXT)?;
                Ok(Self::Open {
                    namer: slot,
                    role,
                    name,
                })
            }
            Op::REPORT => bounded(raw, memory_bytes, REPORT_BYTES).map(|bytes| Self::Report { bytes }),
            Op::PROGRESS => Ok(Self::Progress {
                done: offset,
                total: length,
            }),
            Op::WAIT => {
                let expected = u32::try_from(raw.extra).map_err(|_| BadRequest::Value)?;
                word(raw.address, memory_bytes).map(|word| Self::Wait { word, expected })
            }
            Op::WAKE => word(raw.address, memory_bytes).map(|word| Self::Wake { word }),
            Op::COMPARE => CompareRange::parse(raw).map(Self::Compare),
            Op::ALLOCATED => Ok(Self::Allocated { slot }),
            Op::SHARABLE => Ok(Self::Sharable {
                source: slot,
                target: Slot(raw.other),
            }),
            Op::RECEIVE => Ok(Self::Receive {
                slot,
                into: streamed(raw, memory_bytes, Access::Writes)?,
            }),
            Op::SEND => Ok(Self::Send {
                slot,
                from: streamed(raw, memory_bytes, Access::Reads)?,
            }),
            Op::EXIT => Ok(Self::Exit),
            Op(other) => Err(BadRequest::Op(other)),
        }
    }
}

/// What the host does with the buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    /// The guest's code and constants are in pages of the host's own binary. Guest memory has zeros there, which would be written
    /// in place of the constants.
    Reads,
    /// The host writes past the guest's page protection, so text and read-only data are out of its reach.
    Writes,
    /// A word that lanes change, wherever they keep it.
    Watches,
}

fn guest_range(
    address: u64,
    length: u64,
    memory_bytes: u64,
    access: Access,
) -> Result<GuestRange, BadRequest> {
    let lowest = match access {
        Access::Reads | Access::Writes => STACKS,
        Access::Watches => BASE,
    };
    let in_bounds = address >= lowest
        && address
            .checked_sub(BASE)
            .and_then(|start| start.checked_add(length))
            .is_some_and(|end| end <= memory_bytes);
    if !in_bounds {
        return Err(BadRequest::Address(address));
    }
    Ok(GuestRange {
        start: address.saturating_sub(BASE),
        length,
    })
}

fn transfer(raw: &RawRequest, memory_bytes: u64, access: Access) -> Result<GuestRange, BadRequest> {
    file_range(raw.offset, raw.length)?;
    streamed(raw, memory_bytes, access)
}

/// A buffer for bytes that have no place in a file.
fn streamed(raw: &RawRequest, memory_bytes: u64, access: Access) -> Result<GuestRange, BadRequest> {
    if raw.length > TRANSFER {
        return Err(BadRequest::Length(raw.length));
    }
    guest_range(raw.address, raw.length, memory_bytes, access)
}

fn bounded(raw: &RawRequest, memory_bytes: u64, limit: usize) -> Result<GuestRange, BadRequest> {
    if usize::try_from(raw.length).map_or(true, |length| length > limit) {
        return Err(BadRequest::Length(raw.length));
    }
    guest_range(raw.address, raw.length, memory_bytes, Access::Reads)
}

fn word(address: u64, memory_bytes: u64) -> Result<GuestRange, BadRequest> {
    if !address.is_multiple_of(4) {
        return Err(BadRequest::Address(address));
    }
    // The host only reads it, but a lane waits for a word that lanes write: never in the image's text.
    guest_range(address, 4, memory_bytes, Access::Watches)
}

fn file_range(offset: u64, length: u64) -> Result<(), BadRequest> {
    match offset.checked_add(length) {
        Some(end) if end < FILE_END => Ok(()),
        _ => Err(BadRequest::Length(length)),
    }
}

mod ranges;

pub use ranges::{CompareRange, CopyRange};

#[cfg(test)]
mod every;
#[cfg(test)]
mod tests;
