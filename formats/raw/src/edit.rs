//! Another size: another length of the file.

use alloc::boxed::Box;

use instar_disk::fault::resize as faults;
use instar_disk::job::{Change, Preallocation};
use instar_disk::{Edit, Fault, File, FileKind, Resizing, Result, align_up, fault, reservation, set_length};

/// Opens any file as a raw image whose length is to change.
///
/// # Errors
/// None in practice, as when it is read.
pub fn edit<'h>(file: File<'h>) -> Result<Box<dyn Edit + 'h>> {
    let size = align_up(file.size(), 512)?;
    Ok(Box::new(Editor { file, size }))
}

struct Editor<'h> {
    file: File<'h>,
    size: u64,
}

impl Edit for Editor<'_> {
    fn change(&mut self, _: &Change) -> Result<()> {
        let what = b"this change of a raw image";
        Err(Fault::new(fault::core::UNSUPPORTED).named(what))
    }

    fn size(&self) -> u64 {
        self.size
    }

    fn resize(&mut self, to: &mut Resizing<'_>) -> Result<()> {
        let mode = to.preallocation;
        let fault = match self.file.kind() {
            FileKind::Block if mode != Preallocation::Off => {
                let mode = alloc::format!("Preallocation mode '{}'", mode.name());
                Fault::new(faults::DEVICE_PREALLOCATION).named(mode.as_bytes())
            }
            FileKind::Block if to.size == self.file.size() => return Ok(()),
            FileKind::Block => Fault::new(faults::DEVICE),
            _ if mode == Preallocation::Metadata => Fault::new(faults::PREALLOCATION).named(b": metadata"),
            _ => {
                set_length(&self.file, to.size, reservation(mode), b"")?;
                return self.file.flush();
            }
        };
        Err(fault.in_file(self.file.slot()))
    }
}
