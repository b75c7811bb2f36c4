//! A source that is read from the front to the back: the bytes of a pipe, or what a packed file holds.
//!
//! ```text
//!  file, from 0 on ─┐                      ┌─ as they are
//!                   ├─► pieces of 256 KiB ─┤                ─► Flow::fill ─► pieces of 1 MiB, the last one shorter
//!  pipe ────────────┘                      └─ unpacked
//! ```

use alloc::vec::Vec;

use instar_codecs::{Packing, Trouble, Unpacker};
use instar_disk::{Fault, File, Result, fault, from_usize};

/// Bytes that are taken from the file at once.
const INPUT_BYTES: usize = 256 << 10;
/// Bytes that are looked at to tell what it is.
const HEAD_BYTES: usize = 512;

/// Where it is read from, and how far it was read.
pub(crate) struct Flow<'h> {
    file: File<'h>,
    packing: Option<Packing>,
    unpacker: Option<Unpacker>,
    /// What was taken from the file, and how much of it is used up.
    input: Vec<u8>,
    used: usize,
    /// Bytes taken from the file.
    taken: u64,
    /// The file has no more.
    ended: bool,
    /// What was given out to be looked at, and is given out again.
    head: Vec<u8>,
}

impl<'h> Flow<'h> {
    /// The flow out of `file`; one that begins with the mark of a packing is unpacked if it `may_be_packed`.
    ///
    /// # Errors
    /// The host's.
    pub(crate) fn open(file: File<'h>, may_be_packed: bool) -> Result<Self> {
        let mut flow = Self {
            file,
            packing: None,
            unpacker: None,
            input: Vec::new(),
            used: 0,
            taken: 0,
            ended: false,
            head: Vec::new(),
        };
        if may_be_packed {
            flow.packing = Packing::of(flow.mark()?);
        }
        if let Some(packing) = flow.packing {
            let unpacker = Unpacker::new(packing);
            flow.unpacker = Some(unpacker.map_err(|trouble| flow.fault(trouble))?);
        }
        Ok(flow)
    }

    /// Bytes taken from its file so far.
    pub(crate) const fn taken(&self) -> u64 {
        self.taken
    }

    /// Bytes of its file, as far as that has a length.
    pub(crate) const fn length(&self) -> u64 {
        self.file.size()
    }

    /// The first bytes of what it holds; they come again.
    ///
    /// # Errors
    /// As [`Flow::fill`].
    pub(crate) fn head(&mut self) -> Result<&[u8]> {
        if self.head.is_empty() {
            let mut head = alloc::vec![0; HEAD_BYTES];
            let filled = self.fill(&mut head)?;
            head.truncate(filled);
            self.head = head;
        }
        Ok(&self.head)
    }

    /// Fills `into`, or what there is left; gives the bytes filled.
    ///
    /// # Errors
    /// The host's; damage of what it is packed in.
    pub(crate) fn fill(&mut self, into: &mut [u8]) -> Result<usize> {
        let (again, rest) = into.split_at_mut(into.len().min(self.head.len()));
        again.copy_from_slice(self.head.get(..again.len()).unwrap_or_default());
        self.head.drain(..again.len());
        let mut filled = 0_usize;
        while let Some(room) = rest.get_mut(filled..).filter(|room| !room.is_empty()) {
            let (used, step) = self.step(room)?;
            // The last step is one that has nothing left to use: only then does a stream say whether it is complete.
            if used == 0 && step == 0 && self.is_over() {
                break;
            }
            filled = filled.saturating_add(step);
        }
        Ok(filled.saturating_add(again.len()))
    }

    /// Whether nothing is left to be read.
    fn is_over(&self) -> bool {
        self.ended && self.used >= self.input.len()
    }

    /// Bytes that were used up, and bytes that were filled.
    fn step(&mut self, into: &mut [u8]) -> Result<(usize, usize)> {
        if self.used >= self.input.len() && !self.ended {
            self.take()?;
        }
        let input = self.input.get(self.used..).unwrap_or_default();
        let (used, filled) = match &mut self.unpacker {
            None => {
                let count = input.len().min(into.len());
                let (from, to) = (input.get(..count), into.get_mut(..count));
                if let (Some(from), Some(to)) = (from, to) {
                    to.copy_from_slice(from);
                }
                (count, count)
            }
            Some(unpacker) => match unpacker.step(input, into, self.ended) {
                Ok(step) => (step.used, step.filled),
                Err(trouble) => return Err(self.fault(trouble)),
            },
        };
        self.used = self.used.saturating_add(used);
        Ok((used, filled))
    }

    /// Takes the next piece from the file.
    fn take(&mut self) -> Result<()> {
        self.input.resize(INPUT_BYTES, 0);
        self.used = 0;
        let count = self.file.read_on(self.taken, &mut self.input)?;
        self.input.truncate(count);
        self.taken = self.taken.saturating_add(from_usize(count));
        self.ended = count == 0;
        Ok(())
    }

    /// The first bytes of the file itself.
    fn mark(&mut self) -> Result<&[u8]> {
        while self.input.len() < Packing::MARK_BYTES && !self.ended {
            let mut more = alloc::vec![0; INPUT_BYTES];
            let count = self.file.read_on(self.taken, &mut more)?;
            more.truncate(count);
            self.taken = self.taken.saturating_add(from_usize(count));
            self.ended = count == 0;
            self.input.append(&mut more);
        }
        Ok(&self.input)
    }

    fn fault(&self, trouble: Trouble) -> Fault {
        let unused = from_usize(self.input.len().saturating_sub(self.used));
        let fault = match trouble {
            Trouble::Damaged => {
                let at = self.taken.saturating_sub(unused);
                Fault::new(fault::stream::DAMAGED).with([at])
            }
            Trouble::CutShort => Fault::new(fault::stream::CUT_SHORT).with([self.taken]),
            Trouble::Window => Fault::new(fault::stream::WINDOW),
        };
        let name = self.packing.map_or("", Packing::name);
        fault.named(name.as_bytes()).in_file(self.file.slot())
    }
}
