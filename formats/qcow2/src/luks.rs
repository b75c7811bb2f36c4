//! The keys of encrypted images: a LUKS header in clusters of its own, or the passphrase itself.
//!
//! What the cipher counts are bytes of the file that has the data, by LUKS, and bytes of the disk, by the older encryption.

use alloc::boxed::Box;

use instar_crypt::luks1::{self, Made, RawHeader};
use instar_crypt::{Cipher, Effort, Limits, STRIPES};
use instar_disk::fault::qcow2 as faults;
use instar_disk::job::NewEncryption;
use instar_disk::report::{LuksInfo, LuksSlot};
use instar_disk::{Fault, File, ImageText, IvGenerator, Key, Result, Sealing, Tweak, from_usize};
use zerocopy::{FromZeros, IntoBytes};

use crate::header::Header;
use crate::num::add;
use crate::raw::crypt;

/// Makes a key of the passphrase of an encrypted image; others have none.
///
/// # Errors
/// What is wrong with a header; no key slot opens with the passphrase, or one costs more than [`Limits::DEFAULT`] allows.
pub fn unlock(file: File<'_>, passphrase: &[u8]) -> Result<Option<Key>> {
    let image = Header::parse(file)?;
    let cipher = match image.encryption {
        crypt::AES => Cipher::legacy(passphrase),
        crypt::LUKS => {
            let header = header(file, &image)?;
            let mut read = |offset, into: &mut [u8]| area(file, &image, offset, into);
            // The host ends a run that takes too long, whatever it does.
            let mut go_on = || Ok(());
            let mut effort = Effort::new(Limits::DEFAULT, &mut go_on);
            let unlocked = header.unlock(passphrase, &mut read, &mut effort);
            unlocked.and_then(|unlocked| header.cipher_of(&unlocked.key))
        }
        _ => return Ok(None),
    };
    let cipher = cipher.map_err(|fault| fault.in_file(file.slot()))?;
    Ok(Some(cipher.of_sectors(SECTOR)))
}

/// The key that the older encryption makes of a passphrase. Every passphrase makes one.
///
/// # Errors
/// None that a passphrase could cause.
pub fn legacy_key(passphrase: &[u8]) -> Result<Key> {
    Ok(Cipher::legacy(passphrase)?.of_sectors(SECTOR))
}

/// How the data of a new image is sealed.
#[derive(Clone, Debug)]
pub enum Seal<'m> {
    /// By the older encryption, which leaves nothing in the image but its number.
    Aes(Key),
    /// By the key in a LUKS header, which is to stand in the image.
    Luks(&'m Made),
}

impl Seal<'_> {
    /// How the engine seals it.
    pub(crate) fn sealing(&self) -> Sealing {
        let (key, tweak) = match self {
            Self::Aes(key) => (key, Tweak::Disk),
            Self::Luks(made) => (&made.key, Tweak::File),
        };
        Sealing {
            key: key.clone(),
            tweak,
        }
    }

    /// Bytes of the LUKS header, key material included.
    pub(crate) const fn header_bytes(&self) -> u64 {
        match self {
            Self::Aes(_) => 0,
            Self::Luks(made) => made.bytes,
        }
    }

    /// Writes the LUKS header to its place, which reads as zeros.
    pub(crate) fn write_header(&self, file: &File<'_>, place: u64) -> Result<()> {
        let Self::Luks(made) = self else {
            return Ok(());
        };
        for write in [&made.material, &made.header] {
            file.write(add(place, write.offset)?, &write.bytes)?;
        }
        Ok(())
    }
}

/// The value of `crypt_method` for a new image.
pub(crate) const fn method(encryption: Option<&NewEncryption>) -> u32 {
    match encryption {
        None => crypt::NONE,
        Some(NewEncryption::Aes(_)) => crypt::AES,
        Some(NewEncryption::Luks(_)) => crypt::LUKS,
    }
}

/// Whether the image is encrypted as its user says, by the name of a method.
///
/// # Errors
/// It is not; what is wrong with its header.
pub fn expect_encryption(file: File<'_>, method: &[u8]) -> Result<()> {
    let (name, code) = match Header::encryption(file)? {
        crypt::AES => ("aes", faults::ENCRYPTED_BY_AES),
        crypt::LUKS => ("luks", faults::ENCRYPTED_BY_LUKS),
        _ => ("", faults::NOT_ENCRYPTED),
    };
    if name.as_bytes() == method {
        return Ok(());
    }
    Err(Fault::new(code).named(method).in_file(file.slot()))
}

/// The LUKS header of an image that has one.
pub(crate) fn header(file: File<'_>, image: &Header) -> Result<luks1::Header> {
    let mut raw = RawHeader::new_zeroed();
    area(file, image, 0, raw.as_mut_bytes())?;
    luks1::Header::parse(&raw, false).map_err(|fault| fault.in_file(file.slot()))
}

/// That header, for `info`.
pub(crate) fn describe(file: File<'_>, image: &Header) -> Result<Box<LuksInfo>> {
    let header = header(file, image)?;
    let cipher = &header.cipher;
    let text = |name: &str| ImageText::new(name.as_bytes());
    // Other generators may have a hash, too, which does nothing.
    let hash = cipher.ivhash.filter(|_| cipher.ivgen == IvGenerator::Essiv);
    let slots = header.slots.iter().map(|slot| LuksSlot {
        key_offset: slot.offset,
        active: slot.active.map(|iterations| (iterations, STRIPES)),
    });
    Ok(Box::new(LuksInfo {
        version: 1,
        cipher: text(cipher.algorithm.name()),
        cipher_mode: text(cipher.mode.name()),
        iv_generator: text(cipher.ivgen.name()),
        iv_generator_hash: hash.map(|hash| text(hash.name())),
        hash: text(header.hash.name()),
        uuid: ImageText::new(header.uuid()),
        detached: false,
        payload_offset: header.payload_offset,
        master_key_iterations: header.digest_iterations(),
        slots: slots.collect(),
    }))
}

/// Reads from the place that the image has for the LUKS header and its key material.
fn area(file: File<'_>, image: &Header, offset: u64, into: &mut [u8]) -> Result<()> {
    let missing = || Fault::new(faults::CRYPTO_MISSING).with([u64::from(image.encryption)]);
    let (start, length) = image.extensions.crypto_header.ok_or_else(missing)?;
    let end = offset.checked_add(from_usize(into.len()));
    let place = start.checked_add(offset);
    match (place, end) {
        (Some(place), Some(end)) if end <= length => file.read_padded(place, into),
        _ => Err(Fault::new(faults::CRYPTO_OUTSIDE).in_file(file.slot())),
    }
}

/// Bytes of a sector.
const SECTOR: usize = 512;
