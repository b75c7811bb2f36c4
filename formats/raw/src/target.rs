//! Writing.

use instar_disk::{File, FileKind, Placement, Result, Slot, Target, ZeroHow};

pub(crate) struct Raw<'h> {
    pub(crate) file: File<'h>,
    pub(crate) size: u64,
}

impl Target for Raw<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn unit(&self) -> u64 {
        512
    }

    fn plain(&self) -> Option<Slot> {
        Some(self.file.slot())
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let fresh = self.file.kind() == FileKind::Fresh;
        Ok(Placement {
            slot: self.file.slot(),
            offset,
            length,
            fresh,
        })
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        self.file.zero(offset, length, ZeroHow::MayUnmap)
    }

    fn finish(&mut self) -> Result<()> {
        self.file.flush()
    }
}
