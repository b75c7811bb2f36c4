//! Writing sparse extents: grains in ascending order, tables through a window, the header last.

use alloc::vec::Vec;

use instar_disk::{
    Fault, File, FileKind, Placement, Result, Slot, TableWriter, Target, align_up, fault, from_usize,
    to_usize,
};
use zerocopy::IntoBytes;

use crate::flat::write_descriptor;
use crate::layout::{FILE_MAX, GRAIN, Layout, clear, file_full, prepare, settle, write_head};
use crate::raw::GTE_ZEROED;

/// `monolithicSparse` and `twoGbMaxExtentSparse`.
pub(crate) struct Sparse<'h> {
    /// The files of the extents; those before `current` are complete but for their headers.
    files: Vec<File<'h>>,
    /// Disk bytes of each extent but the last.
    part: u64,
    size: u64,
    zeroed_grain: bool,
    ending: Ending<'h>,
    index: usize,
    /// None only in an image without bytes.
    current: Option<Current<'h>>,
}

/// Where the descriptor goes.
pub(crate) enum Ending<'h> {
    /// Into the one extent.
    Embedded(Vec<u8>),
    /// Into a file of its own.
    Separate(File<'h>, Vec<u8>),
}

/// The extent that is being written.
struct Current<'h> {
    file: File<'h>,
    tables: [TableWriter<'h>; 2],
    /// Where the next grain goes.
    next: u64,
}

impl<'h> Sparse<'h> {
    pub(crate) fn new(
        files: &[File<'h>],
        part: u64,
        size: u64,
        zeroed_grain: bool,
        ending: Ending<'h>,
    ) -> Result<Self> {
        let ending = match ending {
            Ending::Separate(file, text) => Ending::Separate(prepare(file, 0)?, text),
            embedded @ Ending::Embedded(_) => embedded,
        };
        let mut target = Self {
            files: files.to_vec(),
            part,
            size,
            zeroed_grain,
            ending,
            index: 0,
            current: None,
        };
        if !files.is_empty() {
            target.start(0)?;
        }
        Ok(target)
    }

    /// Lays out extent `index`, which becomes the current one.
    fn start(&mut self, index: usize) -> Result<()> {
        let size = self.extent_size(index);
        let file = self.files.get_mut(index).ok_or_else(internal)?;
        let current = Current::new(*file, size)?;
        *file = current.file;
        self.index = index;
        self.current = Some(current);
        Ok(())
    }

    /// Makes the extent with disk offset `offset` the current one; gives the offset in it. Extents follow one another.
    fn turn_to(&mut self, offset: u64) -> Result<u64> {
        let index = offset.checked_div(self.part).unwrap_or_default();
        let wanted = to_usize(index)?;
        if wanted < self.index {
            return Err(internal());
        }
        while self.index < wanted {
            self.current()?.complete()?;
            self.start(self.index.saturating_add(1))?;
        }
        Ok(offset.saturating_sub(index.saturating_mul(self.part)))
    }

    fn current(&mut self) -> Result<&mut Current<'h>> {
        self.current.as_mut().ok_or_else(internal)
    }

    fn extent_size(&self, index: usize) -> u64 {
        let start = from_usize(index).saturating_mul(self.part);
        self.size.saturating_sub(start).min(self.part)
    }
}

impl Target for Sparse<'_> {
    fn size(&self) -> u64 {
        self.size
    }

    fn unit(&self) -> u64 {
        GRAIN
    }

    fn blocks(&self) -> Option<Slot> {
        self.files.first().map(File::slot)
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let within = self.turn_to(offset)?;
        let length = length.min(self.part.saturating_sub(within));
        self.current()?.allocate(within, length)
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let mut done = 0_u64;
        while done < length {
            let within = self.turn_to(offset.saturating_add(done))?;
            let part = length.saturating_sub(done).min(self.part.saturating_sub(within));
            let zeroed_grain = self.zeroed_grain;
            let current = self.current()?;
            if zeroed_grain {
                current.mark_zero(within, part)?;
            } else {
                let placement = current.allocate(within, part)?;
                clear(
                    &current.file,
                    placement.offset,
                    align_up(placement.length, GRAIN)?,
                )?;
            }
            done = done.saturating_add(part);
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if let Some(last) = self.files.len().checked_sub(1) {
            self.turn_to(from_usize(last).saturating_mul(self.part))?;
            self.current()?.complete()?;
        }
        for file in &self.files {
            file.flush()?;
        }
        for (index, file) in self.files.iter().enumerate() {
            let header = Layout::new(self.extent_size(index))?.header(self.zeroed_grain);
            match &self.ending {
                Ending::Embedded(text) => write_head(file, &header, text)?,
                Ending::Separate(..) => {
                    file.write(0, header.as_bytes())?;
                    file.flush()?;
                }
            }
        }
        match &self.ending {
            Ending::Embedded(_) => Ok(()),
            Ending::Separate(descriptor, text) => write_descriptor(descriptor, text),
        }
    }
}

impl<'h> Current<'h> {
    fn new(file: File<'h>, size: u64) -> Result<Self> {
        let layout = Layout::new(size)?;
        let file = prepare(file, layout.grains)?;
        clear(&file, 0, layout.redundant)?;
        layout.write_directories(&file)?;
        let table = |directory| -> Result<TableWriter<'h>> {
            Ok(TableWriter::new(
                file,
                layout.tables_of(directory)?,
                layout.table_bytes(),
                0,
            ))
        };
        Ok(Self {
            file,
            tables: [table(layout.redundant)?, table(layout.directory)?],
            next: layout.grains,
        })
    }

    /// Grains for a range, one after the other.
    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let place = self.next;
        let end = place.saturating_add(align_up(length, GRAIN)?);
        if end > FILE_MAX {
            return Err(file_full(end).in_file(self.file.slot()));
        }
        let mut grain = offset / GRAIN;
        while self.next < end {
            let sector = u32::try_from(self.next / crate::raw::SECTOR).map_err(|_| file_full(end))?;
            self.set(grain, sector)?;
            grain = grain.saturating_add(1);
            self.next = self.next.saturating_add(GRAIN);
        }
        Ok(Placement {
            slot: self.file.slot(),
            offset: place,
            length,
            fresh: self.file.kind() == FileKind::Fresh,
        })
    }

    fn mark_zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let end = offset.saturating_add(length).div_ceil(GRAIN);
        for grain in offset / GRAIN..end {
            self.set(grain, GTE_ZEROED)?;
        }
        Ok(())
    }

    fn set(&mut self, grain: u64, entry: u32) -> Result<()> {
        for table in &mut self.tables {
            table.set(grain.saturating_mul(4), entry.to_le_bytes())?;
        }
        Ok(())
    }

    /// Everything but the header is in the file.
    fn complete(&mut self) -> Result<()> {
        for table in &mut self.tables {
            table.finish()?;
        }
        settle(&self.file, self.next)
    }
}

fn internal() -> Fault {
    Fault::new(fault::core::INTERNAL).with([line!().into()])
}
