//! What is known of the items of a plan: files in the directory `PLAN.d`.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use super::fresh;
use super::lease::{Lease, Taken};
use super::plan::{Head, about, failed};
use super::record::{End, Record};
use crate::stop::{Step, Stop};

/// The directory, and the plan that it is of.
#[derive(Debug)]
pub(super) struct State {
    directory: PathBuf,
    plan: String,
}

/// Bytes of a record at most; messages are cut to fit.
const LARGEST: u64 = 1 << 20;
/// Bytes of a message that are kept in a record.
pub(super) const MESSAGE: usize = 16 << 10;

impl State {
    /// That of the plan at `path`.
    pub(super) fn of(path: &Path, head: &Head) -> Self {
        let mut name: OsString = path.as_os_str().to_owned();
        name.push(".d");
        Self {
            directory: name.into(),
            plan: head.id.clone(),
        }
    }

    /// Makes the directory, unless it is there.
    pub(super) fn begin(&self) -> Step<()> {
        match std::fs::create_dir(&self.directory) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(self.failed(&error)),
            _ => Ok(()),
        }
    }

    /// What has been settled about an item.
    pub(super) fn record(&self, item: u64) -> Step<Option<Record>> {
        self.read(&format!("{item}.json"), item)
    }

    /// Why an item is to be tried again, if it was tried.
    pub(super) fn last_try(&self, item: u64) -> Step<Option<Record>> {
        self.read(&format!("{item}.again.json"), item)
    }

    fn read(&self, name: &str, item: u64) -> Step<Option<Record>> {
        let path = self.directory.join(name);
        let mut text = Vec::new();
        let read = File::open(&path).and_then(|file| file.take(LARGEST).read_to_end(&mut text));
        match read {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed(&error)),
            Ok(_) => {}
        }
        let record: Record = serde_json::from_slice(&text).map_err(|error| {
            let why =
                format!("this is not a record of an item: {error}; remove it, and the item is done again");
            about(&path, &why)
        })?;
        // Of a plan that had the same name, or a copy under another number.
        Ok((record.plan == self.plan && record.item == item).then_some(record))
    }

    /// Writes down what became of an item, so that it stays even if the machine fails now.
    pub(super) fn settle(&self, record: &Record) -> Step<()> {
        let item = record.item;
        let again = self.directory.join(format!("{item}.again.json"));
        if record.end == End::Again {
            return self.write(&again, record);
        }
        self.write(&self.directory.join(format!("{item}.json")), record)?;
        self.remove(&again)
    }

    /// Forgets that an item failed.
    pub(super) fn forget(&self, item: u64) -> Step<()> {
        self.remove(&self.directory.join(format!("{item}.json")))
    }

    /// Takes the lease of an item, or says who has it.
    pub(super) fn lease(&self, item: u64) -> Step<Taken> {
        Lease::take(&self.directory, item).map_err(|error| self.failed(&error))
    }

    /// Who carries an item out at the moment, if anybody does.
    pub(super) fn holder(&self, item: u64) -> Step<Option<String>> {
        Lease::holder(&self.directory, item).map_err(|error| self.failed(&error))
    }

    fn write(&self, path: &Path, record: &Record) -> Step<()> {
        let text = serde_json::to_string(record).map_err(|error| about(path, &error.to_string()))?;
        let name = format!(".{}.{}", record.item, fresh());
        let temporary = self.directory.join(name);
        let written = File::create_new(&temporary)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| std::fs::rename(&temporary, path))
            .and_then(|()| File::open(&self.directory)?.sync_all());
        written.map_err(|error| {
            // It may not be there at all.
            let _ = std::fs::remove_file(&temporary);
            self.failed(&error)
        })
    }

    fn remove(&self, path: &Path) -> Step<()> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.failed(&error)),
            _ => Ok(()),
        }
    }

    fn failed(&self, error: &std::io::Error) -> Stop {
        failed(&self.directory, error)
    }
}
