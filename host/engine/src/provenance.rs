//! What becomes of records in a run: those of targets go before the first byte is written, and come when the last one is.
//!
//! ```text
//!  remember, keep ──► settle (before our own process is confined)         ──► run ──► commit: new records are written
//!                      ├ records of targets are taken away                       └──► abort: what was not touched has its own again
//!                      └ directories that records lead to are noted for the gate
//! ```
//!
//! So that a kill at any moment leaves an image without a record, never a record with other bytes.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{MutexGuard, PoisonError};

use instar_abi::request::status;
use instar_abi::{FileKind, Role, Slot};
use rustix::io::Errno;

use crate::file::{Failure, OpenFile};
use crate::files::Files;
use crate::gate::{Policy, Rule};
use crate::record::Entry;
use crate::{name, record};

/// What the rules for names in images say to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This rule lets it in.
    LetIn(Rule),
    /// None does.
    Refused,
    /// It leads to nothing that could be opened.
    Unknown,
}

/// What is to be written down, and what was.
#[derive(Debug, Default)]
pub(crate) struct Provenance {
    /// Names that targets are given.
    given: Vec<(Slot, Vec<Vec<u8>>)>,
    /// Targets that keep the names they have.
    keep: Vec<Slot>,
    /// Targets that are an image, and the same one, at every moment: their record stays where it is.
    same: Vec<Slot>,
    /// New records, sealed; none: the file has one that holds no longer.
    sealed: Vec<(Slot, Option<Vec<u8>>)>,
    /// Records taken away from targets.
    taken: Vec<(Slot, Vec<u8>)>,
    /// New records that were written.
    written: Vec<Slot>,
}

impl Files {
    /// Notes names that the user gives to the image in a target. When the target is complete that is recorded, wherever it
    /// can be.
    pub fn remember(&self, slot: Slot, names: &[&[u8]]) {
        let names = names.iter().map(|name| name::asked(name)).collect();
        self.records().given.push((slot, names));
    }

    /// Notes that an existing image keeps the names that are in it, though it is written to.
    pub fn keep_record(&self, slot: Slot) {
        self.records().keep.push(slot);
    }

    /// Notes that an existing image is changed in such a way that it names what it named, or what [`Files::remember`] says, at
    /// every moment. Until the run is complete the record has both.
    pub fn keep_record_throughout(&self, slot: Slot) {
        self.records().same.push(slot);
    }

    /// Makes ready for the run, when all that the user named is open and our own process is not confined yet.
    pub fn settle(&self) {
        let mut records = self.records();
        for (slot, file) in self.slots.iter() {
            if !file.is_target() {
                continue;
            }
            let names = records.given.iter().find(|(given, _)| *given == slot);
            let names = names.map(|(_, names)| names.clone());
            if records.same.contains(&slot) {
                if let Some(names) = names {
                    self.widen(file, &names);
                    match self.seal(file, &names) {
                        None if record::read(file.fd()).is_none() => {}
                        value => records.sealed.push((slot, value)),
                    }
                }
                continue;
            }
            if file.kind == FileKind::Regular
                && let Some(value) = record::read(file.fd())
            {
                // If it cannot be taken away it cannot be written to either.
                if record::remove(file.fd()).is_ok() {
                    records.taken.push((slot, value));
                }
            }
            if let Some(value) = names.and_then(|names| self.seal(file, &names)) {
                records.sealed.push((slot, Some(value)));
            }
        }
        drop(records);
        if self.gate.policy == Policy::Nothing {
            return;
        }
        let mut scanned = HashSet::new();
        for (_, file) in self.slots.iter() {
            if let Some(place) = &file.place {
                self.gate.note_leads(file.fd(), place, &mut scanned);
            }
        }
    }

    /// Whether this machine has recorded names of an open image.
    #[must_use]
    pub fn has_record(&self, slot: Slot) -> bool {
        let entries = self.slots.get(slot).and_then(|file| self.gate.entries(file.fd()));
        entries.is_some()
    }

    /// Whether the names given to a target were recorded.
    #[must_use]
    pub fn is_recorded(&self, slot: Slot) -> bool {
        self.records().written.contains(&slot)
    }

    /// What the rules say to `name` in an open image.
    #[must_use]
    pub fn verdict(&self, slot: Slot, name: &[u8]) -> Verdict {
        let Some(file) = self.slots.get(slot) else {
            return Verdict::Unknown;
        };
        match self.gate.find(file, Role::Backing, &name::asked(name)) {
            Ok((_, rule)) => Verdict::LetIn(rule),
            Err(Failure(status::REFUSED_OUTSIDE | status::REFUSED_KIND | status::REFUSED_UNTRUSTED)) => {
                Verdict::Refused
            }
            Err(_) => Verdict::Unknown,
        }
    }

    /// Opens what `name` in an open image means to the user, whatever the rules say: for looking at a chain before it is
    /// trusted. What is found is looked at by nobody but a guest of its own.
    pub fn below(&self, slot: Slot, name: &[u8]) -> Result<(Slot, PathBuf), Errno> {
        let file = self.slots.get(slot).ok_or(Errno::BADF)?;
        let place = file.place.as_ref().ok_or(Errno::NOENT)?;
        let layer = self.gate.as_named(place, &name::asked(name))?;
        let path = layer.name.clone();
        let facts = self.slots.add_once(layer).map_err(|_| Errno::MFILE)?;
        Ok((facts.slot, path))
    }

    /// Records at once that an open image may name these files.
    ///
    /// # Errors
    /// Why that cannot be recorded.
    pub fn trust(&self, slot: Slot, names: &[&[u8]]) -> std::io::Result<()> {
        let file = self.slots.get(slot).ok_or(Errno::BADF)?;
        let place = file.place.as_ref().ok_or(Errno::NOENT)?;
        let entry = |name: &&[u8]| self.gate.entry(place, &name::asked(name)).ok_or(Errno::NOENT);
        let entries = names.iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        let key = self.gate.key_place.as_ref().ok_or(ErrorKind::NotFound)?;
        let value = record::seal(&key.load_or_make()?, file.fd(), &entries)?;
        Ok(record::write(file.fd(), &value)?)
    }

    /// Takes the record of an open image away.
    pub fn distrust(&self, slot: Slot) -> std::io::Result<()> {
        let file = self.slots.get(slot).ok_or(Errno::BADF)?;
        Ok(record::remove(file.fd())?)
    }

    fn seal(&self, file: &OpenFile, names: &[Vec<u8>]) -> Option<Vec<u8>> {
        self.seal_with(file, names, Vec::new())
    }

    /// Adds names to the record that a file has.
    fn widen(&self, file: &OpenFile, names: &[Vec<u8>]) {
        let known = self.gate.entries(file.fd()).unwrap_or_default();
        if let Some(value) = self.seal_with(file, names, known) {
            let _ = record::write(file.fd(), &value);
        }
    }

    fn seal_with(&self, file: &OpenFile, names: &[Vec<u8>], known: Vec<Entry>) -> Option<Vec<u8>> {
        if file.kind == FileKind::Block {
            return None;
        }
        let place = file.place.as_ref()?;
        let mut entries = known;
        entries.extend(names.iter().filter_map(|name| self.gate.entry(place, name)));
        if entries.is_empty() {
            return None;
        }
        let key = self.gate.key_place.as_ref()?.load_or_make().ok()?;
        record::seal(&key, file.fd(), &entries).ok()
    }

    /// Writes the new records, before files get their names.
    pub(crate) fn write_records(&self) {
        let mut records = self.records();
        let sealed = std::mem::take(&mut records.sealed);
        for (slot, value) in sealed {
            let Some(file) = self.slots.get(slot) else {
                continue;
            };
            match value {
                Some(value) if record::write(file.fd(), &value).is_ok() => records.written.push(slot),
                Some(_) => {}
                None => {
                    // Our own process can write attributes by now, and remove none. An empty one says nothing.
                    let _ = record::write(file.fd(), &[]);
                }
            }
        }
        let taken = std::mem::take(&mut records.taken);
        for (slot, value) in taken {
            let Some(file) = self.slots.get(slot) else {
                continue;
            };
            if !records.written.contains(&slot) && (records.keep.contains(&slot) || !file.is_touched()) {
                // Without it the image has to be trusted anew, which a message will say.
                let _ = record::write(file.fd(), &value);
            }
        }
    }

    /// Gives records back to targets that were not touched.
    pub(crate) fn restore_records(&self) {
        let taken = std::mem::take(&mut self.records().taken);
        for (slot, value) in taken {
            let file = self.slots.get(slot);
            if let Some(file) = file.filter(|file| !file.is_touched()) {
                let _ = record::write(file.fd(), &value);
            }
        }
    }

    fn records(&self) -> MutexGuard<'_, Provenance> {
        // Each list is whole at every moment.
        self.provenance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
