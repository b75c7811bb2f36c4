//! Resize: a file's length, and space for what is added.

use instar_abi::FileKind;
use instar_abi::request::Preallocate;
use rustix::fs::{FallocateFlags, fallocate, fstat, ftruncate};
use rustix::io::{Errno, retry_on_intr};

use crate::file::{OpenFile, Outcome};
use crate::room::has_room;
use crate::stop::Stop;
use crate::zero::write_zeros;

/// Sets the length. A device keeps its own: it is large enough, or there is no space.
pub(crate) fn resize(file: &OpenFile, length: u64, preallocate: Preallocate, stop: &Stop) -> Outcome<()> {
    if file.kind == FileKind::Block {
        let _change = file.writable_to(length.min(file.size))?;
        return if length <= file.size {
            Ok(())
        } else {
            Err(Errno::NOSPC.into())
        };
    }
    let _change = file.writable_to(length)?;
    let old = file.length()?;
    let set = |length| retry_on_intr(|| ftruncate(&file.fd, length));
    if length <= old || preallocate == Preallocate::Off {
        set(length)?;
        if length == 0 && file.kind == FileKind::Regular {
            file.heed_wishes();
        }
        return Ok(());
    }
    if !has_room(file, length - old, 0) {
        make_room(file, length - old)?;
    }
    let reserved = match preallocate {
        Preallocate::Off => Ok(()),
        Preallocate::Falloc => reserve(file, old, length, stop),
        Preallocate::Full => set(length)
            .map_err(Into::into)
            .and_then(|()| write_zeros(file, old, length - old, stop)),
    };
    if reserved.is_err() {
        // Half a reservation is of no use; the failure itself is what matters.
        let _ = set(old);
    }
    reserved
}

/// Gives up the file whose name this one will take, if there is room for one of the two only: what happens to it anyway when it is
/// written in place.
fn make_room(file: &OpenFile, bytes: u64) -> Outcome<()> {
    let Some(old) = &file.predecessor else {
        return Err(Errno::NOSPC.into());
    };
    let held = u64::try_from(fstat(old)?.st_blocks)
        .unwrap_or(0)
        .saturating_mul(512);
    if !has_room(file, bytes, held) {
        return Err(Errno::NOSPC.into());
    }
    Ok(retry_on_intr(|| ftruncate(old, 0))?)
}

/// Reserves space by fallocate, in pieces so that the end of a run is noticed; where the filesystem cannot, by writing.
fn reserve(file: &OpenFile, old: u64, length: u64, stop: &Stop) -> Outcome<()> {
    let step = |from, step| stop.persist(|| fallocate(&file.fd, FallocateFlags::empty(), old + from, step));
    let Err(stopped) = stop.in_steps(length - old, step) else {
        return Ok(());
    };
    match stopped.errno() {
        Some(Errno::OPNOTSUPP | Errno::NOSYS) => {
            let at = old + stopped.done;
            write_zeros(file, at, length - at, stop)
        }
        _ => Err(stopped.into()),
    }
}
