//! The header, read: of version 1, or of version 2, which the reference tool does not read.

use instar_crypt::luks1::{self, RawHeader, ReadAt};
use instar_crypt::{Cipher, Effort, Secret, luks2};
use instar_disk::{Fault, File, Key, Result, align_down, align_up, fault, from_usize};
use zerocopy::{FromZeros, IntoBytes};

/// Bytes that the reference tool counts files in, and of a sector of version 1.
const SECTOR: usize = 512;

/// A valid header.
#[derive(Clone, Debug)]
pub(crate) enum Header {
    One(luks1::Header),
    Two(luks2::Header),
}

/// Reads the header of `file`, in which there is nothing else if it is `detached`. What a short file lacks is zero, and fails as that.
pub(crate) fn read(file: &File<'_>, detached: bool) -> Result<Header> {
    let mut raw = RawHeader::new_zeroed();
    file.read_padded(0, raw.as_mut_bytes())?;
    let header = if raw.magic == luks1::MAGIC && raw.version.get() == 2 {
        let mut read = |offset, into: &mut [u8]| file.read_padded(offset, into);
        luks2::Header::read(&mut read).map(Header::Two)
    } else {
        luks1::Header::parse(&raw, detached).map(Header::One)
    };
    header.map_err(|fault| fault.in_file(file.slot()))
}

/// The same of a disk that is to be written to: one of version 1.
pub(crate) fn read_to_write(file: &File<'_>) -> Result<luks1::Header> {
    match read(file, false)? {
        Header::One(header) => Ok(header),
        Header::Two(_) => Err(Fault::new(fault::core::UNSUPPORTED)
            .named(b"writing to LUKS2")
            .in_file(file.slot())),
    }
}

impl Header {
    /// Where the disk begins in the file.
    pub(crate) const fn payload_offset(&self) -> u64 {
        match self {
            Self::One(header) => header.payload_offset,
            Self::Two(header) => header.payload_offset,
        }
    }

    /// Bytes of the disk behind the header.
    pub(crate) fn disk_size(&self, file: &File<'_>) -> Result<u64> {
        let whole = align_up(file.size(), from_usize(SECTOR))?;
        let left = whole.checked_sub(self.payload_offset());
        let left = left.ok_or_else(|| Fault::new(fault::luks::TOO_SHORT).in_file(file.slot()))?;
        Ok(match self {
            Self::One(_) => left,
            Self::Two(header) => {
                let left = header.payload_bytes.unwrap_or(left);
                align_down(left, from_usize(header.sector_bytes))
            }
        })
    }

    /// Where the cipher counts the first byte of the disk.
    pub(crate) fn first_position(&self) -> u64 {
        match self {
            Self::One(_) => 0,
            Self::Two(header) => header.first_sector.wrapping_mul(from_usize(SECTOR)),
        }
    }

    /// Tries the passphrase on the key slots.
    pub(crate) fn unlock(
        &self,
        passphrase: &[u8],
        read: &mut ReadAt<'_>,
        effort: &mut Effort<'_>,
    ) -> Result<Secret> {
        let unlocked = match self {
            Self::One(header) => header.unlock(passphrase, read, effort),
            Self::Two(header) => header.unlock(passphrase, read, effort),
        };
        Ok(unlocked?.key)
    }

    /// The key, as the engine uses it.
    pub(crate) fn key(&self, key: &Secret) -> Result<Key> {
        let cipher: Cipher = match self {
            Self::One(header) => header.cipher_of(key)?,
            Self::Two(header) => header.cipher_of(key)?,
        };
        let bytes = match self {
            Self::One(_) => SECTOR,
            Self::Two(header) => header.sector_bytes,
        };
        Ok(cipher.of_sectors(bytes))
    }
}
