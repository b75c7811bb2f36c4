//! Writing.

use instar_disk::{Action, File, FileKind, Io, Placement, Result, Slot, Target, ZeroHow};

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
        let slot = self.file.slot();
        let mut io = [Io::new(Action::Zero {
            slot,
            offset,
            length,
            how: ZeroHow::MayUnmap,
        })];
        self.file.host().submit(&mut io);
        let [io] = io;
        io.outcome.map(|_| ()).map_err(|error| error.fault(slot))
    }

    fn finish(&mut self) -> Result<()> {
        self.file.flush()
    }
}
