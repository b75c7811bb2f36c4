//! The slot table: written rarely, read with every request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use instar_abi::limits::SLOTS;
use instar_abi::{FileFacts, Slot};

use crate::file::{Identity, OpenFile};
use crate::storage::Storage;

/// Open files by number. Reading takes no lock.
#[derive(Debug)]
pub(crate) struct Slots {
    /// Pieces of the table, each made when its first file comes: most runs need one.
    pieces: Vec<OnceLock<Piece>>,
    /// Files that there is room for.
    room: usize,
    known: Mutex<Known>,
}

type Piece = Box<[OnceLock<Box<OpenFile>>]>;

/// Files in a piece. Ours: four kilobytes.
const PIECE: usize = 256;

/// What is in the table: a split image has thousands of files, each of which is looked for when it is opened.
#[derive(Debug, Default)]
struct Known {
    count: usize,
    /// The first slot of each file.
    first: HashMap<Identity, Slot>,
}

impl Slots {
    pub(crate) fn new() -> Self {
        Self::with_room_for(SLOTS)
    }

    fn with_room_for(files: usize) -> Self {
        let pieces = files.div_ceil(PIECE);
        Self {
            pieces: std::iter::repeat_with(OnceLock::new).take(pieces).collect(),
            room: files,
            known: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&OpenFile> {
        let at = usize::try_from(slot.0).ok()?;
        let piece = self.pieces.get(at / PIECE)?.get()?;
        piece.get(at % PIECE)?.get().map(Box::as_ref)
    }

    /// Every open file, in slot order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Slot, &OpenFile)> {
        (0_u32..)
            .map(Slot)
            .map_while(|slot| self.get(slot).map(|file| (slot, file)))
    }

    /// Adds a file; gives it back when the table is full.
    pub(crate) fn add(&self, file: OpenFile) -> Result<FileFacts, Box<OpenFile>> {
        self.put(&mut self.lock(), file)
    }

    /// Adds a file unless it is in the table already. First, whether it was.
    pub(crate) fn add_once(&self, file: OpenFile) -> Result<FileFacts, Box<OpenFile>> {
        let mut known = self.lock();
        let first = known.first.get(&file.identity).copied();
        if let Some((slot, file)) = first.and_then(|slot| Some((slot, self.get(slot)?))) {
            return Ok(file.facts(slot));
        }
        self.put(&mut known, file)
    }

    /// The first slot of this file.
    pub(crate) fn find(&self, identity: Identity) -> Option<(Slot, &OpenFile)> {
        let slot = self.lock().first.get(&identity).copied()?;
        Some((slot, self.get(slot)?))
    }

    /// A target other than `known` that cannot be written to without a change to what lies on `storage`; or, if that is a target
    /// itself, any file.
    pub(crate) fn collides(
        &self,
        storage: &Storage,
        is_target: bool,
        known: Option<Identity>,
    ) -> Option<&OpenFile> {
        self.iter().map(|(_, file)| file).find(|file| {
            Some(file.identity) != known
                && (file.is_target() && file.storage.overwrites(storage)
                    || is_target && storage.overwrites(&file.storage))
        })
    }

    fn put(&self, known: &mut Known, file: OpenFile) -> Result<FileFacts, Box<OpenFile>> {
        let at = known.count;
        let piece = self.pieces.get(at / PIECE).filter(|_| at < self.room);
        let piece = piece
            .map(|piece| piece.get_or_init(|| std::iter::repeat_with(OnceLock::new).take(PIECE).collect()));
        let place = piece.and_then(|piece| piece.get(at % PIECE));
        let (Some(place), Ok(number)) = (place, u32::try_from(at)) else {
            return Err(Box::new(file));
        };
        let (facts, identity) = (file.facts(Slot(number)), file.identity);
        place.set(Box::new(file))?;
        known.count += 1;
        known.first.entry(identity).or_insert(Slot(number));
        Ok(facts)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // A panic elsewhere leaves nothing half done that matters: a file is counted before it is known.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(directory: &std::path::Path, name: &str) -> OpenFile {
        let path = directory.join(name);
        std::fs::write(&path, name).unwrap();
        crate::open::source(path.as_os_str(), false, false).unwrap()
    }

    #[test]
    fn there_is_an_end_to_the_files_of_a_run() {
        let directory = tempfile::tempdir().unwrap();
        let slots = Slots::with_room_for(3);
        for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
            let added = slots.add_once(file(directory.path(), name)).unwrap();
            assert_eq!(usize::try_from(added.slot.0).unwrap(), number);
        }
        let fourth = slots.add_once(file(directory.path(), "d")).unwrap_err();
        assert!(slots.find(fourth.identity).is_none(), "it is not known either");
        assert!(slots.add(file(directory.path(), "a")).is_err());
    }

    #[test]
    fn a_file_has_one_slot_unless_it_is_opened_for_two_purposes() {
        let directory = tempfile::tempdir().unwrap();
        let slots = Slots::with_room_for(3);
        let [first, again] =
            ["a", "a"].map(|name| slots.add_once(file(directory.path(), name)).unwrap().slot);
        assert_eq!(first, again);
        let second = slots.add(file(directory.path(), "a")).unwrap().slot;
        assert_ne!(first, second);
        let (found, _) = slots.find(slots.get(second).unwrap().identity).unwrap();
        assert_eq!(found, first);
    }
}
