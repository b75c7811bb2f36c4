//! Giving up what the image holds: all that the reference tool changes in an image of this format.

use alloc::boxed::Box;

use instar_disk::fault::{core, resize};
use instar_disk::job::Change;
use instar_disk::report::Backing;
use instar_disk::{Edit, Fault, File, Preallocate, Result, ZeroHow};

use crate::header::Header;
use crate::table::Tables;

/// Opens a qcow image to change it in place.
///
/// # Errors
/// As reading it; `ENCRYPTED`.
pub fn edit<'h>(file: File<'h>) -> Result<Box<dyn Edit + 'h>> {
    let header = changeable(file)?;
    Ok(Box::new(Editor { file, header }))
}

/// The header of the image in `file`, which is about to be changed.
pub(crate) fn changeable(file: File<'_>) -> Result<Header> {
    let (header, _) = Header::read(&file)?;
    if header.encrypted {
        return Err(Fault::new(core::ENCRYPTED).in_file(file.slot()));
    }
    Tables::new(file, &header)?;
    Ok(header)
}

struct Editor<'h> {
    file: File<'h>,
    header: Header,
}

impl Edit for Editor<'_> {
    fn change(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Empty(_) => self.empty(),
            _ => Err(Fault::new(resize::UNSUPPORTED)),
        }
    }

    fn size(&self) -> u64 {
        self.header.size
    }

    fn backing(&self) -> Option<Backing> {
        self.header.backing()
    }
}

impl Editor<'_> {
    /// What is below has all of it. Wherever this stops, every L1 entry leads to its table or shows what is below.
    fn empty(&self) -> Result<()> {
        self.file
            .zero(self.header.l1_offset, self.header.l1_bytes(), ZeroHow::Keep)?;
        self.file.flush()?;
        let end = self.header.l1_end().max(self.header.name_at.end);
        if end < self.file.size() {
            self.file.resize(end, Preallocate::Off)?;
        }
        self.file.flush()
    }
}
