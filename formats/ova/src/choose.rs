//! Choosing one of the disks.

use alloc::vec::Vec;

use instar_disk::fault::ova as faults;
use instar_disk::{Fault, Result, from_usize};

use crate::package::{Disk, Package};
use crate::pax::decimal;

/// Bytes of a message that lists disks. Ours.
const LIST_MAX: usize = 1024;

impl Package {
    /// The disk that is `wanted`, by its number or its name; without that, the only one that has a file.
    ///
    /// # Errors
    /// There is none, or several; it is packed in a way that is not read.
    pub fn choose(&self, wanted: Option<&[u8]>) -> Result<usize> {
        let index = match wanted {
            Some(wanted) => self.named(wanted)?,
            None => self.only()?,
        };
        match self.disks.get(index) {
            Some(disk) => self.judge(disk).map(|()| index),
            None => Err(Fault::new(faults::NO_DISK)),
        }
    }

    fn only(&self) -> Result<usize> {
        let disks = self.disks.iter().enumerate();
        let filled: Vec<usize> = disks
            .filter(|(_, disk)| disk.name.is_some())
            .map(|(index, _)| index)
            .collect();
        match filled[..] {
            [only] => Ok(only),
            [] => Err(Fault::new(faults::NO_DISK)),
            _ => {
                let count = from_usize(filled.len());
                Err(Fault::new(faults::DISKS).with([count]).named(&self.list()))
            }
        }
    }

    /// A number counts from 1. A name is that of the file, or the ID of the disk.
    fn named(&self, wanted: &[u8]) -> Result<usize> {
        let number = decimal(wanted).and_then(|number| usize::try_from(number).ok()?.checked_sub(1));
        if let Some(index) = number.filter(|index| *index < self.disks.len()) {
            return Ok(index);
        }
        let is_it = |disk: &Disk| disk.id == wanted || disk.name.as_deref() == Some(wanted);
        let found: Vec<usize> = self
            .disks
            .iter()
            .enumerate()
            .filter(|(_, disk)| is_it(disk))
            .map(|(index, _)| index)
            .collect();
        match found[..] {
            [only] => Ok(only),
            [] => Err(Fault::new(faults::NOT_A_DISK).named(&self.list())),
            _ => Err(Fault::new(faults::DUPLICATE).named(wanted)),
        }
    }

    /// Refuses what is not a part of the archive as it is.
    fn judge(&self, disk: &Disk) -> Result<()> {
        let refuse = |code, name: &[u8]| Err(Fault::new(code).named(name));
        let Some(name) = &disk.name else {
            return refuse(faults::BLANK, &disk.id);
        };
        if disk.is_delta {
            return refuse(faults::DELTA, name);
        }
        if !disk.compression.is_empty() {
            let text = [name, &b"' is compressed by '"[..], &disk.compression].concat();
            return refuse(faults::COMPRESSED, &text);
        }
        if disk.pieces.is_empty() {
            return refuse(faults::MISSING, name);
        }
        Ok(())
    }

    /// The disks for a message: `1 (a.vmdk), 2 (b.vmdk)`.
    fn list(&self) -> Vec<u8> {
        let mut text = Vec::new();
        for (number, disk) in (1_usize..).zip(&self.disks) {
            let name = disk.name.as_deref().unwrap_or(b"blank");
            let comma = if number > 1 { ", " } else { "" };
            text.extend_from_slice(alloc::format!("{comma}{number} (").as_bytes());
            text.extend_from_slice(name);
            text.push(b')');
            if text.len() > LIST_MAX {
                text.truncate(LIST_MAX);
                text.extend_from_slice(b"...");
                break;
            }
        }
        text
    }
}
