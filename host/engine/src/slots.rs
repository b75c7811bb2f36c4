//! The slot table: written rarely, read with every request.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use instar_abi::limits::SLOTS;
use instar_abi::{FileFacts, Slot};

use crate::file::{Identity, OpenFile};

/// Open files by number. Reading takes no lock.
#[derive(Debug)]
pub(crate) struct Slots {
    files: Vec<OnceLock<Box<OpenFile>>>,
    count: Mutex<usize>,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self {
            files: std::iter::repeat_with(OnceLock::new).take(SLOTS).collect(),
            count: Mutex::new(0),
        }
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&OpenFile> {
        let at = usize::try_from(slot.0).ok()?;
        self.files.get(at)?.get().map(Box::as_ref)
    }

    /// Every open file, in slot order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &OpenFile)> {
        (0_u32..)
            .map(Slot)
            .map_while(|slot| self.get(slot).map(|file| (slot, file)))
    }

    /// Adds a file; gives it back when the table is full.
    pub(crate) fn add(&self, file: OpenFile) -> Result<FileFacts, Box<OpenFile>> {
        Self::put(&self.files, &mut self.lock(), file)
    }

    /// Adds a file unless it is in the table already. First, whether it was.
    pub(crate) fn add_once(&self, file: OpenFile) -> Result<FileFacts, Box<OpenFile>> {
        let mut count = self.lock();
        if let Some((slot, known)) = self.find(file.identity) {
            return Ok(known.facts(slot));
        }
        Self::put(&self.files, &mut count, file)
    }

    /// The first slot of this file.
    pub(crate) fn find(&self, identity: Identity) -> Option<(Slot, &OpenFile)> {
        self.iter().find(|(_, file)| file.identity == identity)
    }

    fn put(
        files: &[OnceLock<Box<OpenFile>>],
        count: &mut usize,
        file: OpenFile,
    ) -> Result<FileFacts, Box<OpenFile>> {
        let (Some(place), Ok(number)) = (files.get(*count), u32::try_from(*count)) else {
            return Err(Box::new(file));
        };
        let facts = file.facts(Slot(number));
        place.set(Box::new(file))?;
        *count += 1;
        Ok(facts)
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // The count is whole at every moment: a panic elsewhere leaves nothing half done.
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
