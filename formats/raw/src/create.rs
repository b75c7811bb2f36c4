//! Making a new image, and taking an existing file as one.

use alloc::boxed::Box;

use instar_disk::job::{Preallocation, RawCreate};
use instar_disk::{Fault, File, FileKind, Preallocate, Result, Target, align_up, fault};

use crate::target::Raw;

/// Makes a raw image of `size` bytes, rounded up to 512.
///
/// # Errors
/// The host's, when the file cannot have that size; a block device smaller than the image is `GROW_DEVICE`.
pub fn create<'h>(file: File<'h>, options: &RawCreate, size: u64) -> Result<Box<dyn Target + 'h>> {
    let size = align_up(size, 512)?;
    if file.kind() == FileKind::Block {
        if file.size() < size {
            return Err(Fault::new(fault::core::GROW_DEVICE).in_file(file.slot()));
        }
        let target = existing(file, size)?;
        file.forget_image()?;
        return Ok(target);
    }
    let preallocate = match options.preallocation {
        Preallocation::Off | Preallocation::Metadata => Preallocate::Off,
        Preallocation::Falloc => Preallocate::Falloc,
        Preallocation::Full => Preallocate::Full,
    };
    if file.kind() == FileKind::Regular {
        file.resize(0, Preallocate::Off)?;
    }
    file.extend_from_nothing(size, preallocate)?;
    Ok(Box::new(Raw {
        file: file.emptied(),
        size,
    }))
}

/// Takes an existing file or device of at least `size` bytes as a target; what it holds past that stays.
///
/// # Errors
/// `TARGET_TOO_SMALL`.
pub fn existing<'h>(file: File<'h>, size: u64) -> Result<Box<dyn Target + 'h>> {
    if file.size() < size {
        return Err(Fault::new(fault::core::TARGET_TOO_SMALL).in_file(file.slot()));
    }
    Ok(Box::new(Raw {
        file,
        size: file.size(),
    }))
}
