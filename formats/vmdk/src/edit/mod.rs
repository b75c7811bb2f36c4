//! Another size of the disk: of one sparse file that has everything, and of one flat extent beside its descriptor.

mod flat;
mod sparse;
mod text;
mod used;

use alloc::boxed::Box;

use instar_disk::fault::resize as faults;
use instar_disk::job::Change;
use instar_disk::{Edit, Fault, File, FileKind, Resizing, Result};

use crate::descriptor;
use crate::header::{self, Found};
use crate::image::{separate_descriptor, separate_text};
use crate::raw::{COWD_MAGIC, SECTOR, SPARSE_MAGIC};

/// Opens a VMDK whose size is to change. Its extents are left to the host, which alone opens files for writing.
///
/// # Errors
/// As reading it.
pub fn edit<'h>(file: File<'h>) -> Result<Box<dyn Edit + 'h>> {
    let layout = read(&file).map_err(|fault| match fault.slot {
        Some(_) => fault,
        None => fault.in_file(file.slot()),
    })?;
    Ok(Box::new(Editor { file, layout }))
}

fn read(file: &File<'_>) -> Result<Layout> {
    let mut magic = [0; 4];
    file.read_padded(0, &mut magic)?;
    match magic {
        SPARSE_MAGIC | COWD_MAGIC => match header::read(file)? {
            Found::Sparse(sparse) => Ok(Layout::Sparse(sparse)),
            Found::Wrapper(_) => Ok(Layout::Other { size: 0 }),
        },
        _ => {
            let text = separate_text(file)?;
            let found = separate_descriptor(&text)?;
            let sectors = |line: &descriptor::Line| line.sectors;
            let size = found.extents.iter().map(sectors).fold(0, u64::saturating_add);
            let size = size.saturating_mul(SECTOR);
            match flat::is_alone(&found) {
                true => Ok(Layout::Flat { size, text }),
                false => Ok(Layout::Other { size }),
            }
        }
    }
}

enum Layout {
    Sparse(header::Sparse),
    Flat {
        size: u64,
        /// The descriptor file.
        text: alloc::vec::Vec<u8>,
    },
    Other {
        size: u64,
    },
}

struct Editor<'h> {
    file: File<'h>,
    layout: Layout,
}

impl Edit for Editor<'_> {
    fn change(&mut self, _: &Change) -> Result<()> {
        Err(Fault::new(faults::UNSUPPORTED))
    }

    fn size(&self) -> u64 {
        match &self.layout {
            Layout::Sparse(sparse) => sparse.capacity,
            Layout::Flat { size, .. } | Layout::Other { size } => *size,
        }
    }

    fn resize(&mut self, to: &mut Resizing<'_>) -> Result<()> {
        self.carry_out(to).map_err(|fault| match fault.slot {
            Some(_) => fault,
            None => fault.in_file(self.file.slot()),
        })
    }
}

impl Editor<'_> {
    fn carry_out(&self, to: &Resizing<'_>) -> Result<()> {
        let file = self.file;
        let layout = |what: &[u8]| Err(Fault::new(faults::LAYOUT).named(what));
        if file.kind() == FileKind::Block {
            return layout(b"an image of this format on a device");
        }
        match &self.layout {
            Layout::Sparse(sparse) => match sparse::Sparse::open(file, *sparse)? {
                Some(disk) => disk.resize(to),
                None => layout(OTHERS),
            },
            Layout::Flat { size, text } => flat::resize(&file, *size, text, to),
            Layout::Other { .. } => layout(OTHERS),
        }
    }
}

const OTHERS: &[u8] = b"a VMDK that is neither one sparse file nor one flat extent, without parent,";
