//! A [`Host`] over ordinary files and threads.
//!
//! It follows the contract of [`instar_abi::Request`] by the shortest way, not the fastest, and has no gate: names are resolved beside
//! the file that names them.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use instar_abi::Report;
use instar_abi::request::ZeroHow;
use instar_disk::{Action, Fault, FileFacts, FileKind, Host, Io, IoError, Result, Role, Slot, fault};

use crate::sparse;

/// Files by slot, and what was reported.
#[derive(Debug, Default)]
pub struct Native {
    files: Mutex<Vec<Entry>>,
    reports: Mutex<Vec<Report>>,
    lanes: usize,
}

#[derive(Debug)]
struct Entry {
    file: File,
    path: PathBuf,
    facts: FileFacts,
}

impl Native {
    /// No files yet; `lanes` threads for parallel work.
    #[must_use]
    pub fn new(lanes: usize) -> Self {
        Self {
            lanes: lanes.max(1),
            ..Self::default()
        }
    }

    /// Opens an existing file for reading.
    pub fn source(&self, path: impl AsRef<Path>) -> FileFacts {
        let file = File::open(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()));
        self.add(file, path.as_ref(), FileKind::Regular, false)
    }

    /// Makes a new, empty file.
    pub fn target(&self, path: impl AsRef<Path>) -> FileFacts {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path.as_ref())
            .unwrap();
        self.add(file, path.as_ref(), FileKind::Fresh, true)
    }

    /// Opens an existing file for reading and writing.
    pub fn existing(&self, path: impl AsRef<Path>) -> FileFacts {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path.as_ref())
            .unwrap();
        self.add(file, path.as_ref(), FileKind::Regular, true)
    }

    /// Takes a connected socket, as a stream.
    pub fn stream(&self, socket: OwnedFd) -> FileFacts {
        self.add(File::from(socket), Path::new("socket"), FileKind::Stream, false)
    }

    /// Everything reported so far.
    pub fn reports(&self) -> Vec<Report> {
        self.reports.lock().unwrap().clone()
    }

    fn add(&self, file: File, path: &Path, kind: FileKind, writable: bool) -> FileFacts {
        let mut files = self.files.lock().unwrap();
        let slot = Slot(u32::try_from(files.len()).unwrap());
        let facts = FileFacts {
            slot,
            size: file.metadata().unwrap().len(),
            kind,
            writable,
            busy: false,
            called_dmg: false,
        };
        files.push(Entry {
            file,
            path: path.to_owned(),
            facts,
        });
        facts
    }

    /// Reads bytes of a file; what lies past its end reads as zero.
    pub fn read(&self, slot: Slot, offset: u64, into: &mut [u8]) {
        sparse::read_full(&self.file(slot), into, offset).unwrap();
    }

    fn file(&self, slot: Slot) -> File {
        self.files.lock().unwrap()[slot.0 as usize]
            .file
            .try_clone()
            .unwrap()
    }

    fn carry_out(&self, action: &mut Action<'_>) -> std::io::Result<u64> {
        match action {
            Action::Read { slot, offset, into } => {
                sparse::read_full(&self.file(*slot), into, *offset).map(|n| n as u64)
            }
            Action::Write { slot, offset, from } => self
                .file(*slot)
                .write_all_at(from, *offset)
                .map(|()| from.len() as u64),
            Action::Copy(copy) => sparse::copy(&self.file(copy.source), &self.file(copy.target), copy),
            Action::Zero {
                slot,
                offset,
                length,
                how,
            } => sparse::zero(&self.file(*slot), *offset, *length, *how == ZeroHow::MayUnmap).map(|()| 0),
            Action::Discard { slot, offset, length } => {
                sparse::garble(&self.file(*slot), *offset, *length).map(|()| 0)
            }
            Action::Flush { .. } | Action::Advise { .. } => Ok(0),
            Action::Extents {
                slot,
                offset,
                length,
                into,
            } => sparse::extents(&self.file(*slot), *offset, *length, into).map(|n| n as u64),
            Action::Resize { slot, length, .. } => self.file(*slot).set_len(*length).map(|()| 0),
            Action::Compare(compare) => {
                let other = compare.other.map(|(slot, offset)| (self.file(slot), offset));
                sparse::compare(&self.file(compare.slot), compare.offset, other, compare.length)
            }
            Action::Allocated { slot } => self.file(*slot).metadata().map(|facts| facts.blocks() * 512),
            Action::Sharable { .. } => Ok(0),
            Action::Receive { slot, into } => self.file(*slot).read(into).map(|n| n as u64),
            Action::Send { slot, from } => self.file(*slot).write_all(from).map(|()| 0),
        }
    }
}

impl Host for Native {
    fn submit(&self, batch: &mut [Io<'_>]) {
        for io in batch {
            io.outcome = if io.action.is_in_reach() {
                self.carry_out(&mut io.action)
                    .map_err(|e| IoError(e.raw_os_error().unwrap_or(5) as u32))
            } else {
                Err(IoError::OUT_OF_REACH)
            };
            if io.outcome.is_err() {
                return;
            }
        }
    }

    fn open(&self, namer: Slot, _role: Role, name: &[u8]) -> Result<FileFacts> {
        let path = self.files.lock().unwrap()[namer.0 as usize]
            .path
            .parent()
            .unwrap()
            .join(OsStr::from_bytes(name));
        let file = File::open(&path).map_err(|e| {
            Fault::new(fault::core::IO)
                .with([e.raw_os_error().unwrap_or(5).unsigned_abs().into()])
                .in_file(namer)
        })?;
        let identity = file.metadata().map(|m| (m.dev(), m.ino())).unwrap();
        let known = self.files.lock().unwrap().iter().find_map(|entry| {
            let found = entry.file.metadata().unwrap();
            let size = match entry.facts.writable {
                true => found.len(),
                false => entry.facts.size,
            };
            ((found.dev(), found.ino()) == identity).then_some(FileFacts { size, ..entry.facts })
        });
        Ok(known.unwrap_or_else(|| self.add(file, &path, FileKind::Regular, false)))
    }

    fn lanes(&self) -> usize {
        self.lanes
    }

    fn parallel(&self, work: &(dyn Fn(usize) + Sync)) {
        std::thread::scope(|scope| {
            for lane in 1..self.lanes {
                scope.spawn(move || work(lane));
            }
            work(0);
        });
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        if word.load(Ordering::Acquire) == expected {
            std::thread::yield_now();
        }
    }

    fn wake(&self, _word: &AtomicU32) {}

    fn report(&self, report: &Report) {
        self.reports.lock().unwrap().push(report.clone());
    }

    fn progress(&self, _done: u64, _total: u64) {}
}
