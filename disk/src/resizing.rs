//! Another size of a disk.

use alloc::vec::Vec;

use instar_abi::fault::{core, resize as faults};
use instar_abi::job::Preallocation;
use instar_abi::request::Preallocate;
use instar_abi::{Fault, FileFacts};

use crate::image::Encoded;
use crate::{File, Result};

/// The size that a disk is to have, and what it takes to get there.
pub struct Resizing<'a> {
    /// Bytes, more than none.
    pub size: u64,
    /// How space is reserved for what is added; `Off` where nothing is.
    pub preallocation: Preallocation,
    /// Bytes of the disk below.
    pub below: u64,
    /// Brings bytes that stand in no file as they are.
    pub fetch: &'a mut Fetch<'a>,
    /// Files that hold the image's data, in the order in which it names them.
    pub apart: Vec<FileFacts>,
}

/// The largest size that the reference tool takes.
pub const LARGEST_SIZE: u64 = (1 << 63) - (1 << 30);

/// Fills a buffer.
pub type Fetch<'a> = dyn FnMut(Distant, &mut [u8]) -> Result<()> + 'a;

/// Bytes that stand in no file as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distant {
    /// Those of the disk below, from this byte on; past its end, zeros.
    Below(u64),
    /// Those that this decodes to.
    Encoded(Encoded),
}

/// Gives a file its new length; `outer`: what that is done for, as its message begins.
///
/// # Errors
/// The host's, as the reference tool words it.
pub fn set_length(file: &File<'_>, length: u64, how: Preallocate, outer: &[u8]) -> Result<()> {
    file.resize(length, how).map_err(|fault| {
        if fault.code != core::IO {
            return fault;
        }
        let code = match how {
            Preallocate::Off => faults::FILE,
            Preallocate::Falloc => faults::RESERVE,
            Preallocate::Full => faults::ZEROS,
        };
        Fault { code, ..fault }.named(outer)
    })
}

/// How a file reserves space, in the host's words; `Metadata` is a matter of tables.
#[must_use]
pub const fn reservation(preallocation: Preallocation) -> Preallocate {
    match preallocation {
        Preallocation::Off | Preallocation::Metadata => Preallocate::Off,
        Preallocation::Falloc => Preallocate::Falloc,
        Preallocation::Full => Preallocate::Full,
    }
}

/// Copies bytes of a file to another place in it; what lies past the file's end is zero. The ranges do not overlap.
pub fn copy_within(file: &File<'_>, from: u64, to: u64, length: u64) -> Result<()> {
    let mut buffer = Vec::new();
    let mut done = 0;
    while done < length {
        let step = length.saturating_sub(done).min(COPIED);
        buffer.resize(crate::to_usize(step)?, 0);
        file.read_padded(from.saturating_add(done), &mut buffer)?;
        file.write(to.saturating_add(done), &buffer)?;
        done = done.saturating_add(step);
    }
    Ok(())
}

/// Bytes that are copied at a time. Ours.
const COPIED: u64 = 1 << 20;
