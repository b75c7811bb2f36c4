//! Writing a fixed disk: guest bytes stand at their own offset.

use instar_disk::{File, FileKind, Placement, Result, Slot, Target, ZeroHow};
use zerocopy::IntoBytes;

use crate::raw::RawFooter;

pub(crate) struct Fixed<'h> {
    pub(crate) file: File<'h>,
    pub(crate) size: u64,
    /// Where the footer goes.
    pub(crate) end: u64,
    pub(crate) footer: RawFooter,
}

impl Target for Fixed<'_> {
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
        Ok(Placement {
            slot: self.file.slot(),
            offset,
            length,
            fresh: self.file.kind() == FileKind::Fresh,
        })
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        self.file.zero(offset, length, ZeroHow::MayUnmap)
    }

    fn finish(&mut self) -> Result<()> {
        self.file.flush()?;
        self.file.write(self.end, self.footer.as_bytes())?;
        self.file.flush()
    }
}
