//! The keys of encrypted images: a LUKS header in clusters of its own, or the passphrase itself.
//!
//! What the cipher counts are bytes of the file that has the data, by LUKS, and bytes of the disk, by the older encryption.

use alloc::boxed::Box;

use instar_crypt::luks1::{self, Made, Passphrase, Plan, RawHeader};
use instar_crypt::{Effort, Limits, STRIPES, Secret, legacy_key};
use instar_disk::fault::qcow2 as faults;
use instar_disk::job::{AmendKeys, NewEncryption};
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
    match image.encryption {
        crypt::AES => legacy_key(passphrase)
            .map(Some)
            .map_err(|fault| fault.in_file(file.slot())),
        crypt::LUKS => Unlocked::of(file, image, passphrase)?.key().map(Some),
        _ => Ok(None),
    }
}

/// An image whose LUKS header was opened.
pub struct Unlocked<'h> {
    file: File<'h>,
    image: Header,
    header: luks1::Header,
    key: Secret,
}

impl<'h> Unlocked<'h> {
    /// Tries the passphrase on the key slots of the image in `file`, if it has a LUKS header.
    ///
    /// # Errors
    /// As [`unlock`].
    pub fn open(file: File<'h>, passphrase: &[u8]) -> Result<Option<Self>> {
        let image = Header::parse(file)?;
        match image.encryption {
            crypt::LUKS => Self::of(file, image, passphrase).map(Some),
            _ => Ok(None),
        }
    }

    fn of(file: File<'h>, image: Header, passphrase: &[u8]) -> Result<Self> {
        let header = header(file, &image)?;
        let mut read = |offset, into: &mut [u8]| area(file, &image, offset, into);
        // The host ends a run that takes too long, whatever it does.
        let mut go_on = || Ok(());
        let mut effort = Effort::new(Limits::DEFAULT, &mut go_on);
        let unlocked = header.unlock(passphrase, &mut read, &mut effort);
        let key = unlocked.map_err(|fault| fault.in_file(file.slot()))?.key;
        Ok(Self {
            file,
            image,
            header,
            key,
        })
    }

    /// The key, as the engine uses it.
    ///
    /// # Errors
    /// No such cipher takes a key of that length.
    pub fn key(&self) -> Result<Key> {
        let cipher = self.header.cipher_of(&self.key);
        let cipher = cipher.map_err(|fault| fault.in_file(self.file.slot()))?;
        Ok(cipher.of_sectors(SECTOR))
    }

    /// Plans what becomes of the key slots.
    ///
    /// # Errors
    /// What speaks against it, in the reference tool's order.
    pub fn plan(&self, keys: &AmendKeys, passphrase: &Passphrase<'_>, random: &[u8; 32]) -> Result<Plan> {
        let mut read = |offset, into: &mut [u8]| area(self.file, &self.image, offset, into);
        let planned = self.header.plan(&self.key, &mut read, keys, passphrase, random);
        planned.map_err(|fault| fault.in_file(self.file.slot()))
    }
}

/// Writes what is planned for key slots, each on stable storage before the next.
///
/// # Errors
/// It does not lie in the area of the header; the host's.
pub(crate) fn write_keys(file: File<'_>, image: &Header, plan: &Plan) -> Result<()> {
    for write in plan.writes() {
        let place = placed(file, image, write.offset, from_usize(write.bytes.len()))?;
        file.write(place, &write.bytes)?;
        file.flush()?;
    }
    Ok(())
}

/// What the cipher of an image counts, if it is encrypted.
pub(crate) const fn tweak(image: &Header) -> Option<Tweak> {
    match image.encryption {
        crypt::AES => Some(Tweak::Disk),
        crypt::LUKS => Some(Tweak::File),
        _ => None,
    }
}

/// How the data of an image is sealed, with its key.
///
/// # Errors
/// It is encrypted, and there is no key.
pub(crate) fn sealing(file: File<'_>, image: &Header, key: Option<Key>) -> Result<Option<Sealing>> {
    let Some(tweak) = tweak(image) else {
        return Ok(None);
    };
    let key = key.ok_or_else(|| Fault::new(faults::NO_KEY).in_file(file.slot()))?;
    Ok(Some(Sealing { key, tweak }))
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
        header: None,
        payload_offset: header.payload_offset,
        master_key_iterations: header.digest_iterations(),
        slots: slots.collect(),
    }))
}

/// Reads from the place that the image has for the LUKS header and its key material.
fn area(file: File<'_>, image: &Header, offset: u64, into: &mut [u8]) -> Result<()> {
    let place = placed(file, image, offset, from_usize(into.len()))?;
    file.read_padded(place, into)
}

/// Where in the file so many bytes stand, from `offset` on in that place.
fn placed(file: File<'_>, image: &Header, offset: u64, length: u64) -> Result<u64> {
    let missing = || Fault::new(faults::CRYPTO_MISSING).with([u64::from(image.encryption)]);
    let (start, most) = image.extensions.crypto_header.ok_or_else(missing)?;
    let end = offset.checked_add(length);
    match (start.checked_add(offset), end) {
        (Some(place), Some(end)) if end <= most => Ok(place),
        _ => Err(Fault::new(faults::CRYPTO_OUTSIDE).in_file(file.slot())),
    }
}

/// Bytes of a sector.
const SECTOR: usize = 512;
