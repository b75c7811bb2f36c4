//! A file as drivers see it.

use instar_abi::fault::core as faults;
use instar_abi::request::{Preallocate, ZeroHow};
use instar_abi::{Fault, FileFacts, FileKind, Slot};

use crate::host::{Action, Host};
use crate::veil::Veil;
use crate::{Result, from_usize};

/// Bytes in which the reference tool counts the length of a file.
const SECTOR: u64 = 512;

/// An open file: a slot, its facts, and the host that serves it. Cheap to copy.
#[derive(Clone, Copy)]
pub struct File<'h> {
    host: &'h dyn Host,
    facts: FileFacts,
    veil: Option<Veil>,
}

impl core::fmt::Debug for File<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.facts.fmt(f)
    }
}

impl<'h> File<'h> {
    /// The file behind `facts`.
    #[must_use]
    pub const fn new(host: &'h dyn Host, facts: FileFacts) -> Self {
        Self {
            host,
            facts,
            veil: None,
        }
    }

    /// The same file, of which `shown` is read at `at` if there are zeros: what an image is recognised by, which a run that writes to an
    /// existing image takes away until the end. A run that was stopped left it so; the next one that overwrites the image sees past it.
    /// Writes go where they always went.
    pub fn past_the_mark(mut self, at: u64, shown: &'static [u8]) -> Result<Self> {
        let veil = Veil::new(at, shown);
        let mut there = alloc::vec![0; shown.len()];
        self.read_padded(at, &mut there)?;
        self.veil = there.iter().all(|byte| *byte == 0).then_some(veil);
        Ok(self)
    }

    /// The host that serves the file.
    #[must_use]
    pub const fn host(&self) -> &'h dyn Host {
        self.host
    }

    /// The known facts about the file.
    #[must_use]
    pub const fn facts(&self) -> FileFacts {
        self.facts
    }

    /// The slot of the open file.
    #[must_use]
    pub const fn slot(&self) -> Slot {
        self.facts.slot
    }

    /// Length in bytes when it was opened.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.facts.size
    }

    /// The kind of the file.
    #[must_use]
    pub const fn kind(&self) -> FileKind {
        self.facts.kind
    }

    /// The same file after a resize to 0: it is as good as a new one, whatever length it was given since.
    #[must_use]
    pub const fn emptied(mut self) -> Self {
        if matches!(self.facts.kind, FileKind::Regular) {
            self.facts.kind = FileKind::Fresh;
            self.facts.size = 0;
        }
        self
    }

    /// The same file after a change that made it at least so long.
    #[must_use]
    pub fn grown_to(mut self, length: u64) -> Self {
        self.facts.size = self.facts.size.max(length);
        self
    }

    /// Reads up to the file's end; gives the bytes read.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        let read = self.host.one(Action::Read {
            slot: self.slot(),
            offset,
            into: &mut *into,
        })?;
        let read = crate::to_usize(read)?;
        if let (Some(veil), Some(into)) = (self.veil, into.get_mut(..read)) {
            veil.cover(offset, into);
        }
        Ok(read)
    }

    /// Reads what comes next in a file of which `offset` bytes were read so far, from its first one on; 0 at its end.
    pub fn read_on(&self, offset: u64, into: &mut [u8]) -> Result<usize> {
        if self.kind() != FileKind::Stream {
            return self.read(offset, into);
        }
        let slot = self.slot();
        crate::to_usize(self.host.one(Action::Receive { slot, into })?)
    }

    /// Fills `into`.
    ///
    /// # Errors
    /// `SHORT_READ` when the file ends first; else the host's.
    pub fn read_exact(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let wanted = into.len();
        if self.read(offset, into)? == wanted {
            return Ok(());
        }
        Err(Fault::new(faults::SHORT_READ)
            .with([offset, from_usize(wanted), self.size()])
            .in_file(self.slot()))
    }

    /// Fills `into`; a last sector of the file that is cut short counts as whole, as with the reference tool, and is zeros from there on.
    ///
    /// # Errors
    /// `SHORT_READ` when the file ends before that sector; else the host's.
    pub fn read_sectors(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(from_usize(into.len()));
        let whole = self.size().checked_next_multiple_of(SECTOR);
        if whole.is_some_and(|whole| end <= whole) {
            self.read_padded(offset, into)
        } else {
            self.read_exact(offset, into)
        }
    }

    /// Fills `into`; what lies past the file's end reads as zero.
    pub fn read_padded(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        let read = self.read(offset, into)?;
        if let Some(rest) = into.get_mut(read..) {
            rest.fill(0);
        }
        Ok(())
    }

    /// Writes all of `from`.
    pub fn write(&self, offset: u64, from: &[u8]) -> Result<()> {
        self.one(Action::Write {
            slot: self.slot(),
            offset,
            from,
        })
    }

    /// Sets the length; what is added reads as zero.
    pub fn resize(&self, length: u64, preallocate: Preallocate) -> Result<()> {
        self.one(Action::Resize {
            slot: self.slot(),
            length,
            preallocate,
        })
    }

    /// Sets the length of an empty file. Unless space is reserved, its first block is written, as the reference tool does: a program
    /// that bypasses the page cache finds the required alignment by reading data, and a hole does not show it.
    pub fn extend_from_nothing(&self, length: u64, preallocate: Preallocate) -> Result<()> {
        const BLOCK: usize = 4096;
        self.resize(length, preallocate)?;
        let first = crate::to_usize(length.min(from_usize(BLOCK)))?;
        match [0; BLOCK].get(..first) {
            Some(zeros) if preallocate == Preallocate::Off && first > 0 => self.write(0, zeros),
            _ => Ok(()),
        }
    }

    /// Makes a range read as zero. Nothing is asked of the host for an empty one.
    pub fn zero(&self, offset: u64, length: u64, how: ZeroHow) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        self.one(Action::Zero {
            slot: self.slot(),
            offset,
            length,
            how,
        })
    }

    /// On a device, clears the first sector, as the reference tool does before it makes an image there. Otherwise the device would
    /// still show the image that it held before.
    pub fn forget_image(&self) -> Result<()> {
        match self.kind() {
            FileKind::Block => self.zero(0, self.size().min(512), ZeroHow::MayUnmap),
            FileKind::Regular | FileKind::Fresh | FileKind::Stream => Ok(()),
        }
    }

    /// Data on stable storage, if this run's cache mode asks for it.
    pub fn flush(&self) -> Result<()> {
        self.one(Action::Flush { slot: self.slot() })
    }

    fn one(&self, action: Action<'_>) -> Result<()> {
        self.host.one(action).map(|_| ())
    }
}
