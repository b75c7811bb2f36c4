//! A new disk.
//!
//! ```text
//!  make    passphrase, random bytes ─► New: key, header, key material     before any image is read
//!  create  New ─► the file's length, key material ─► data … ─► header     the header is written last: a file without it is none
//! ```

use alloc::boxed::Box;

use instar_crypt::luks1::{self, Options, Write};
use instar_crypt::{Effort, Limits, Random, Secret};
use instar_disk::errno::EFBIG;
use instar_disk::job::{LuksCreate, Preallocation};
use instar_disk::{Fault, File, FileKind, Key, Preallocate, Result, Target, fault};

use crate::effort;
use crate::sectors::Sectors;
use crate::target::Luks;

/// A header that stands in no file yet, and its key.
pub struct New {
    key: Key,
    /// Bytes before the data.
    bytes: u64,
    material: Write,
    header: Write,
}

/// Makes a header whose first key slot opens with the passphrase.
///
/// # Errors
/// No such cipher exists.
pub fn make(options: &LuksCreate, passphrase: &[u8], random: &[u8; 32]) -> Result<New> {
    let mut go_on = || Ok(());
    let speed = options.speed;
    // What the user asked for may take long.
    let limits = Limits {
        iterations: u64::from(u32::MAX),
        ..Limits::DEFAULT
    };
    let made = luks1::New::make(
        &Options {
            cipher: options.cipher,
            hash: options.hash,
            passphrase: &Secret::copy_of(passphrase),
            slot_iterations: effort::for_slot(speed, options.hash, options.cipher.key_bytes())?,
            digest_iterations: effort::for_digest(speed, options.hash)?,
            detached: options.detached,
        },
        &mut Random::new(random)?,
        &mut Effort::new(limits, &mut go_on),
    )?;
    let cipher = made.header.cipher_of(&made.key)?;
    let [material, header] = made.writes;
    Ok(New {
        key: Key::new(Sectors { cipher, bytes: 512 }),
        bytes: made.bytes,
        material,
        header,
    })
}

/// Lays the file out for a disk of `size` bytes.
///
/// # Errors
/// The host's, when the file cannot have that size; a block device smaller than it needs is `GROW_DEVICE`.
pub fn create<'h>(
    file: File<'h>,
    options: &LuksCreate,
    new: &New,
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
