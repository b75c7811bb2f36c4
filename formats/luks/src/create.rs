//! A new disk.
//!
//! ```text
//!  Made ─► the file's length, key material ─► data … ─► header     the header is written last: a file without it is none
//! ```

use alloc::boxed::Box;

use instar_crypt::luks1::Made;
use instar_disk::errno::EFBIG;
use instar_disk::job::{LuksCreate, Preallocation};
use instar_disk::{Fault, File, FileKind, Preallocate, Result, Target, fault};

use crate::target::Luks;

/// Lays the file out for a disk of `size` bytes.
///
/// # Errors
/// The host's, when the file cannot have that size; a block device smaller than it needs is `GROW_DEVICE`.
pub fn create<'h>(
    file: File<'h>,
    options: &LuksCreate,
    new: &Made,
    size: u64,
) -> Result<Box<dyn Target + 'h>> {
    let data = if options.detached { 0 } else { size };
    let length = new
        .bytes
        .checked_add(data)
        .ok_or_else(|| Fault::new(fault::core::IO).with([EFBIG]))?;
    if file.kind() == FileKind::Block {
        if file.size() < length {
            return Err(Fault::new(fault::core::GROW_DEVICE).in_file(file.slot()));
        }
        file.forget_image()?;
    } else {
        let preallocate = match options.preallocation {
            Preallocation::Off | Preallocation::Metadata => Preallocate::Off,
            Preallocation::Falloc => Preallocate::Falloc,
            Preallocation::Full => Preallocate::Full,
        };
        if file.kind() == FileKind::Regular {
            file.resize(0, Preallocate::Off)?;
        }
        file.resize(length, preallocate)?;
    }
    file.write(new.material.offset, &new.material.bytes)?;
    Ok(Box::new(Luks {
        file,
        key: new.key.clone(),
        payload: new.bytes,
        size,
        header: Some(new.header.clone()),
    }))
}
