//! Writing: into a new image, and into one that exists (`convert -n`).

use alloc::boxed::Box;

use instar_disk::fault::parallels as faults;
use instar_disk::{
    BlockTarget, Blocks, Fault, File, FileKind, Preallocate, Result, TableWriter, Target, behind, fault,
    limits,
};
use zerocopy::IntoBytes;

use crate::header::Header;
use crate::raw::{HEADER_BYTES, RawHeader, VERSION, VERSION_AT, entry};
use crate::scan::scan;

/// Takes the Parallels disk in `file` as a target of `size` bytes (`convert -n`). From the first change on it is none, until
/// [`finish`](Target::finish); one that was left so is taken again.
///
/// # Errors
/// As reading it, but that the format extension is not looked at; `TARGET_TOO_SMALL`; a BAT that is damaged; the host's.
pub fn existing<'h>(file: File<'h>, size: u64) -> Result<Box<dyn Target + 'h>> {
    let mut version = [0; 4];
    file.read_padded(VERSION_AT, &mut version)?;
    let file = file.past_the_mark(VERSION_AT, const { &VERSION.to_le_bytes() })?;
    Ok(Box::new(open(file, size, version == [0; 4])?))
}

/// Takes the Parallels disk in `file` as a target that stays readable.
///
/// # Errors
/// As [`existing`].
pub fn readable(file: File<'_>) -> Result<Box<dyn Target + '_>> {
    Ok(Box::new(open(file, 0, false)?.readable()))
}

/// An image without data that is being made.
pub(crate) fn making<'h>(file: File<'h>, header: Header, raw: RawHeader) -> Box<dyn Target + 'h> {
    Box::new(BlockTarget::making(Clusters {
        bat: TableWriter::new(file, HEADER_BYTES, header.bat_bytes(), 0),
        next: header.data_start,
        linked: header.data_start,
        // Whatever the file had is gone.
        length: 0,
        file,
        header,
        raw,
    }))
}

/// `marked`: entries may lead to what was never written.
fn open(file: File<'_>, size: u64, marked: bool) -> Result<BlockTarget<Clusters<'_>>> {
    behind(&file, 512)?;
    let (header, mut raw) = Header::read(&file)?;
    let tally = scan(file, &header, marked)?;
    let refuse = |code, count| Err(Fault::new(code).with([count]).in_file(file.slot()));
    if tally.shared > 0 {
        return refuse(faults::SHARED, tally.shared);
    }
    if tally.outside > 0 || header.data_start_is_wrong {
        return refuse(faults::DAMAGED, tally.outside);
    }
    // What an extension says of the disk is no longer true, and no other program has the image open.
    raw.ext_off.set(0);
    raw.in_use.set(0);
    let blocks = Clusters {
        bat: TableWriter::existing(file, HEADER_BYTES, header.bat_bytes()),
        next: header.up(tally.end),
        linked: tally.end,
        length: file.size(),
        file,
        header,
        raw,
    };
    BlockTarget::new(blocks, size)
}

#[derive(Debug)]
struct Clusters<'h> {
    file: File<'h>,
    header: Header,
    raw: RawHeader,
    bat: TableWriter<'h>,
    /// Where the next cluster goes.
    next: u64,
    /// Where the last cluster ends that an entry leads to.
    linked: u64,
    /// Bytes of the file.
    length: u64,
}

impl Clusters<'_> {
    fn set_length(&mut self, length: u64) -> Result<()> {
        self.length = length;
        match self.file.kind() {
            FileKind::Block | FileKind::Stream => Ok(()),
            FileKind::Regular | FileKind::Fresh => self.file.resize(length, Preallocate::Off),
        }
    }
}

impl Blocks for Clusters<'_> {
    fn file(&self) -> &File<'_> {
        &self.file
    }

    /// What the BAT has entries for.
    fn size(&self) -> u64 {
        let room = self.header.entries.saturating_mul(self.header.cluster);
        self.header.size.min(room)
    }

    fn block_size(&self) -> u64 {
        self.header.cluster
    }

    fn place(&mut self, block: u64) -> Result<Option<u64>> {
        let value = self.bat.get(block.saturating_mul(entry::BYTES))?;
        Ok(self.header.place(u32::from_le_bytes(value)))
    }

    fn is_aligned(&self) -> bool {
        self.next.is_multiple_of(4096) && self.header.cluster.is_multiple_of(4096)
    }

    fn reserve(&mut self) -> Result<u64> {
        let place = self.next;
        let end = place.saturating_add(self.header.cluster);
        self.header.entry(place)?;
        if end >= limits::FILE_END {
            return Err(Fault::new(fault::core::OVERFLOW).with([end]));
        }
        self.next = end;
        Ok(place)
    }

    fn link(&mut self, block: u64, place: u64) -> Result<()> {
        let value = self.header.entry(place)?;
        self.bat
            .set(block.saturating_mul(entry::BYTES), value.to_le_bytes())?;
        self.linked = self.linked.max(place.saturating_add(self.header.cluster));
        Ok(())
    }

    fn adjoin(&self) -> bool {
        true
    }

    fn mark(&mut self) -> Result<()> {
        let mut raw = self.raw.clone();
        raw.version.set(0);
        self.file.write(0, raw.as_bytes())
    }

    /// The file ends with the last cluster, as the reference tool leaves it.
    fn finish(&mut self) -> Result<()> {
        self.bat.finish()?;
        if self.linked != self.length {
            self.set_length(self.linked)?;
        }
        self.file.flush()?;
        self.file.write(0, self.raw.as_bytes())
    }

    fn begin(&mut self) -> Result<()> {
        self.file.write(0, self.raw.as_bytes())
    }

    fn prepare(&mut self) -> Result<()> {
        if self.next > self.length {
            self.set_length(self.next)?;
        }
        Ok(())
    }

    fn put(&mut self) -> Result<()> {
        self.bat.finish()
    }

    fn forget(&mut self) -> Result<()> {
        self.next = self.header.up(self.linked);
        if self.linked < self.length {
            self.set_length(self.linked)?;
        }
        Ok(())
    }
}
