//! Other keys, as planned, and another size: another length of the file. What is added is noise, as in the reference tool: zeros in the file are none on the disk.

use alloc::boxed::Box;

use instar_crypt::luks1::Plan;
use instar_disk::fault::resize as faults;
use instar_disk::job::{Change, Preallocation};
use instar_disk::{Edit, Fault, File, FileKind, Key, Resizing, Result, fault, reservation, set_length};

use crate::header::{self, Header};

/// Opens a disk to be changed in place.
///
/// # Errors
/// There is no key; what is wrong with the header.
pub fn edit<'h>(file: File<'h>, key: Option<Key>, plan: Option<&'h Plan>) -> Result<Box<dyn Edit + 'h>> {
    if key.is_none() {
        return Err(Fault::new(fault::luks::NO_KEY).in_file(file.slot()));
    }
    let header = header::read_to_write(&file)?;
    Ok(Box::new(Editor {
        size: Header::One(header.clone()).disk_size(&file)?,
        payload: header.payload_offset,
        file,
        plan,
    }))
}

struct Editor<'h> {
    file: File<'h>,
    payload: u64,
    size: u64,
    /// What becomes of the key slots.
    plan: Option<&'h Plan>,
}

impl Edit for Editor<'_> {
    fn change(&mut self, change: &Change) -> Result<()> {
        match (change, self.plan) {
            (Change::Amend(None), _) => Ok(()),
            (Change::Keys(_), Some(plan)) => {
                for write in plan.writes() {
                    self.file.write(write.offset, &write.bytes)?;
                    self.file.flush()?;
                }
                Ok(())
            }
            _ => {
                let what = b"this change of a LUKS disk";
                Err(Fault::new(fault::core::UNSUPPORTED).named(what))
            }
        }
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn resize(&mut self, to: &mut Resizing<'_>) -> Result<()> {
        let mode = to.preallocation;
        let length = self
            .payload
            .checked_add(to.size)
            .ok_or_else(|| Fault::new(fault::core::OVERFLOW).with([to.size]))?;
        let fault = match self.file.kind() {
            FileKind::Block if mode != Preallocation::Off => {
                let mode = alloc::format!("Preallocation mode '{}'", mode.name());
                Fault::new(faults::DEVICE_PREALLOCATION).named(mode.as_bytes())
            }
            FileKind::Block if length == self.file.size() => return Ok(()),
            FileKind::Block => Fault::new(faults::DEVICE),
            _ if mode == Preallocation::Metadata => Fault::new(faults::PREALLOCATION).named(b": metadata"),
            _ => {
                set_length(&self.file, length, reservation(mode), b"")?;
                return self.file.flush();
            }
        };
        Err(fault.in_file(self.file.slot()))
    }
}
