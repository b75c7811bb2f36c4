//! Zero and Discard: making ranges read as zero, and giving space back.
//!
//! The kernel is asked first; what it refuses is written. Linux does the same for block devices as for files, as long as
//! the range is one of whole sectors.

use instar_abi::FileKind;
use instar_abi::request::ZeroHow;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::{Errno, pwrite, retry_on_intr};

use crate::file::{OpenFile, Outcome, bytes};
use crate::room::has_room;
use crate::stop::Stop;

const PUNCH: FallocateFlags = FallocateFlags::PUNCH_HOLE.union(FallocateFlags::KEEP_SIZE);

/// Makes a range read as zero; a file that ends before it grows.
pub(crate) fn zero(file: &OpenFile, offset: u64, length: u64, how: ZeroHow, stop: &Stop) -> Outcome<()> {
    let _change = file.writable_to(offset + length)?;
    let (mut at, end) = (offset, offset + length);
    if how == ZeroHow::MayUnmap && length > 0 {
        if file.kind != FileKind::Block {
            grow(file, end)?;
        }
        at += asked(file, PUNCH, at, end - at, stop)?;
    }
    if at == end {
        return Ok(());
    }
    // The range may stand where the file has space already.
    let lacking = (end - at).saturating_sub(file.allocated()?);
    if lacking > 0 && !has_room(file, lacking, 0) {
        return Err(Errno::NOSPC.into());
    }
    at += asked(file, FallocateFlags::ZERO_RANGE, at, end - at, stop)?;
    write_zeros(file, at, end - at, stop)
}

/// Gives space back, if the filesystem or device can.
pub(crate) fn discard(file: &OpenFile, offset: u64, length: u64, stop: &Stop) -> Outcome<()> {
    // No flush waits for that: what the range holds is no matter from here on.
    file.writable_to(offset + length)?.forget();
    if length > 0 {
        asked(file, PUNCH, offset, length, stop)?;
    }
    Ok(())
}

/// Writes zeros, in pieces.
pub(crate) fn write_zeros(file: &OpenFile, offset: u64, length: u64, stop: &Stop) -> Outcome<()> {
    let mut done = 0;
    while done < length {
        stop.check()?;
        let step = bytes(ZEROS.len()).min(length - done);
        let zeros = ZEROS.get(..crate::file::to_usize(step)).unwrap_or_default();
        file.write_from(zeros, offset + done)?;
        done += step;
    }
    Ok(())
}

/// Makes the file at least `end` bytes long. Not by setting its length: another lane may be growing it further at this
/// moment. A byte written at the end can only lengthen.
fn grow(file: &OpenFile, end: u64) -> Outcome<()> {
    if file.length()? < end {
        retry_on_intr(|| pwrite(&file.fd, &[0], end - 1))?;
    }
    Ok(())
}

/// How many bytes, from the front, the kernel did it for: not all if it cannot, for this file or a range of it.
fn asked(file: &OpenFile, mode: FallocateFlags, offset: u64, length: u64, stop: &Stop) -> Outcome<u64> {
    let step = |from, step| stop.persist(|| fallocate(&file.fd, mode, offset + from, step));
    let Err(stopped) = stop.in_steps(length, step) else {
        return Ok(length);
    };
    match stopped.errno() {
        // EPERM and ETXTBSY: immutable or append-only files and swap files; writing will say so if it is true of it too.
        // EBUSY and EINVAL: devices, of partial sectors and cached pages.
        Some(
            Errno::OPNOTSUPP
            | Errno::NOSYS
            | Errno::INVAL
            | Errno::NODEV
            | Errno::PERM
            | Errno::TXTBSY
            | Errno::BUSY,
        ) => Ok(stopped.done),
        _ => Err(stopped.into()),
    }
}

/// Written where nothing better is offered. Aligned for direct I/O.
static ZEROS: Zeros = Zeros([0; 64 << 10]);

#[repr(align(4096))]
struct Zeros([u8; 64 << 10]);

impl std::ops::Deref for Zeros {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}
