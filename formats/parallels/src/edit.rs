//! Nothing of an image of this format is changed in place but its data.

use alloc::boxed::Box;

use instar_disk::fault::resize;
use instar_disk::job::Change;
use instar_disk::{Edit, Fault, File, Result};

use crate::header::Header;

/// Opens a Parallels disk, for verbs that ask what can be changed.
///
/// # Errors
/// As reading it, but that the format extension is not looked at.
pub fn edit<'h>(file: File<'h>) -> Result<Box<dyn Edit + 'h>> {
    let (header, _) = Header::read(&file)?;
    Ok(Box::new(Editor(header)))
}

struct Editor(Header);

impl Edit for Editor {
    fn change(&mut self, _: &Change) -> Result<()> {
        Err(Fault::new(resize::UNSUPPORTED))
    }

    fn size(&self) -> u64 {
        self.0.size
    }
}
