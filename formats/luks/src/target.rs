//! Writing.

use alloc::boxed::Box;

use instar_crypt::luks1::Write;
use instar_disk::{Fault, File, Key, Placement, Result, Sealing, Target, Tweak, fault};

use crate::header::{self, Header};

/// Takes an existing disk as a target of at least `size` bytes.
///
/// # Errors
/// There is no key; what is wrong with the header; `TARGET_TOO_SMALL`.
pub fn existing<'h>(file: File<'h>, key: Option<Key>, size: u64) -> Result<Box<dyn Target + 'h>> {
    let key = key.ok_or_else(|| Fault::new(fault::luks::NO_KEY).in_file(file.slot()))?;
    let header = header::read_to_write(&file)?;
    let disk = Header::One(header.clone()).disk_size(&file)?;
    if disk < size {
        return Err(Fault::new(fault::core::TARGET_TOO_SMALL).in_file(file.slot()));
    }
    Ok(Box::new(Luks {
        file,
        key,
        payload: header.payload_offset,
        size: disk,
        header: None,
    }))
}

pub(crate) struct Luks<'h> {
    pub(crate) file: File<'h>,
    pub(crate) key: Key,
    /// Where the disk begins in the file.
    pub(crate) payload: u64,
    pub(crate) size: u64,
    /// What makes a new file a LUKS disk.
    pub(crate) header: Option<Write>,
}

impl Luks<'_> {
    fn seal(&self) -> Sealing {
        Sealing {
            key: self.key.clone(),
            tweak: Tweak::Disk,
        }
    }
}

impl Target for Luks<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn unit(&self) -> u64 {
        SECTOR
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let offset = self
            .payload
            .checked_add(offset)
            .ok_or_else(|| Fault::new(fault::core::OVERFLOW).with([offset]))?;
        Ok(Placement {
            slot: self.file.slot(),
            offset,
            length,
            fresh: false,
        })
    }

    /// Zeros on the disk are no zeros in the file.
    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let at = self.payload.saturating_add(offset);
        self.seal()
            .write_zeros(&self.file, offset, at, length.next_multiple_of(SECTOR))
    }

    fn sealing(&self) -> Option<Sealing> {
        Some(self.seal())
    }

    fn begins_as_zeros(&self) -> bool {
        false
    }

    fn finish(&mut self) -> Result<()> {
        self.file.flush()?;
        match &self.header {
            Some(header) => {
                self.file.write(header.offset, &header.bytes)?;
                self.file.flush()
            }
            None => Ok(()),
        }
    }
}

/// The unit of the cipher.
const SECTOR: u64 = 512;
