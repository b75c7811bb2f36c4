//! Reading.

use alloc::boxed::Box;

use instar_disk::{
    Fault, File, Image, Key, Kind, Mapping, Opened, Result, Sealed, Slot, Status, fault, report,
};

use crate::header::Header;
use crate::{header, info};

/// Opens a disk to be read with its key. `apart` is the file of its header, if that is another one.
///
/// # Errors
/// There is no key; what is wrong with the header.
pub fn open<'h>(file: File<'h>, apart: Option<File<'h>>, key: Option<Key>) -> Result<Opened<'h>> {
    let key = key.ok_or_else(|| no_key(&file))?;
    image(file, apart, Some(key))
}

/// Opens a disk to be described.
///
/// # Errors
/// What is wrong with the header.
pub fn look<'h>(file: File<'h>, apart: Option<File<'h>>) -> Result<Opened<'h>> {
    image(file, apart, None)
}

fn image<'h>(file: File<'h>, apart: Option<File<'h>>, key: Option<Key>) -> Result<Opened<'h>> {
    let header = match &apart {
        Some(apart) => header::read(apart, true),
        None => header::read(&file, false),
    }?;
    let size = header.disk_size(&file)?;
    Ok(Box::new(Luks {
        file,
        apart: apart.map(|apart| apart.slot()),
        header,
        size,
        key,
    }))
}

fn no_key(file: &File<'_>) -> Fault {
    Fault::new(fault::luks::NO_KEY).in_file(file.slot())
}

struct Luks<'h> {
    file: File<'h>,
    /// The file of the header, if it is another one.
    apart: Option<Slot>,
    header: Header,
    size: u64,
    key: Option<Key>,
}

impl Image for Luks<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        if self.key.is_none() {
            return Err(no_key(&self.file));
        }
        let at = self.header.payload_offset().checked_add(offset);
        Ok(Mapping {
            length: self.size.saturating_sub(offset),
            kind: Kind::Sealed(Sealed {
                slot: self.file.slot(),
                offset: at.ok_or_else(|| Fault::new(fault::core::OVERFLOW).with([offset]))?,
                position: self.header.first_position().saturating_add(offset),
            }),
        })
    }

    fn status(&mut self, offset: u64) -> Result<Status> {
        Ok(Status::unknown(self.size.saturating_sub(offset)))
    }

    fn key(&self) -> Option<(Slot, Key)> {
        Some((self.file.slot(), self.key.clone()?))
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(info::of(self.file.slot(), self.apart, &self.header, self.size))
    }
}
