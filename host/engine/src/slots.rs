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
    /// Whose bytes a write to a regular file changes: of a target, where there is one, else of any.
    holders: HashMap<Identity, Slot>,
    /// Devices, which may lie above or below anything.
    devices: Vec<Slot>,
}

impl Known {
    fn note(&mut self, slot: Slot, file: &OpenFile) {
        self.first.entry(file.identity).or_insert(slot);
        if file.storage.is_device() {
            self.devices.push(slot);
            return;
        }
        for holder in file.storage.files() {
            if file.is_target() {
                self.holders.insert(holder, slot);
            } else {
                self.holders.entry(holder).or_insert(slot);
            }
        }
    }
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
        let collides = |file: &&OpenFile| {
            Some(file.identity) != known
                && (file.is_target() && file.storage.overwrites(storage)
                    || is_target && storage.overwrites(&file.storage))
        };
        if is_target && storage.is_device() {
            // Any file may stand on it.
            return self.iter().map(|(_, file)| file).find(collides);
        }
        // Regular files share bytes with themselves and with devices, and with nothing else: a disk in thousands of pieces is not
        // compared with itself piece by piece.
        let table = self.lock();
        let same = storage.files().filter_map(|file| table.holders.get(&file));
        let mut near: Vec<Slot> = same.chain(&table.devices).copied().collect();
        drop(table);
        near.sort_unstable();
        near.into_iter().filter_map(|slot| self.get(slot)).find(collides)
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
        let slot = Slot(number);
        let facts = file.facts(slot);
        place.set(Box::new(file))?;
        known.count += 1;
        if let Some(file) = place.get() {
            known.note(slot, file);
        }
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
    use crate::file::Access;

    fn file(directory: &std::path::Path, name: &str) -> OpenFile {
        let path = directory.join(name);
        std::fs::write(&path, name).unwrap();
        crate::open::source(&path, false, false).unwrap()
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

    /// What is found without a look at every file is what a look at every file finds.
    #[test]
    fn what_collides_is_found_among_few() {
        let directory = tempfile::tempdir().unwrap();
        let storages = Storage::samples();
        let made = |number: u64, storage: &Storage, target: bool| {
            let mut made = file(directory.path(), &number.to_string());
            made.storage = storage.clone();
            if target {
                made.access = Access::Write { limit: u64::MAX };
            }
            made
        };
        let mut found = 0;
        // Each with each, as it comes to an empty table and to one of many.
        for (number, (old, was_target)) in (0..).zip(each(&storages)) {
            for (new, is_target) in each(&storages) {
                let slots = Slots::new();
                for other in 0..3 {
                    slots
                        .add(made(1000 + other, &Storage::unlike(other), other == 1))
                        .unwrap();
                }
                slots.add(made(number, old, was_target)).unwrap();
                let own = slots.iter().last().unwrap().1.identity;
                let expected = was_target && old.overwrites(new) || is_target && new.overwrites(old);
                let collides = slots.collides(new, is_target, None);
                assert_eq!(
                    collides.map(|file| file.identity),
                    expected.then_some(own),
                    "{old:?}, {new:?}"
                );
                assert!(slots.collides(new, is_target, Some(own)).is_none(), "itself");
                found += usize::from(expected);
            }
        }
        assert!(found > storages.len());
    }

    fn each(storages: &[Storage]) -> impl Iterator<Item = (&Storage, bool)> {
        storages
            .iter()
            .flat_map(|storage| [(storage, false), (storage, true)])
    }
}
