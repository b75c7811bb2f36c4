//! The files of one run: what the user named, what images named, and what becomes of the targets.

use std::collections::HashSet;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use instar_abi::{FileFacts, FileKind, Slot};
use rustix::fs::{OFlags, Stat, fcntl_getfl, fstat};
use rustix::io::Errno;

use crate::birth::Birth;
use crate::directories::Directories;
use crate::gate::{Gate, Place, Policy};
use crate::key::KeyPlace;
use crate::lock::{self, Use};
use crate::open::{self, OpenError, OpenErrorKind};
use crate::provenance::Provenance;
use crate::root::Root;
use crate::slots::Slots;
use crate::stop::Stop;
use crate::storage::Storage;
use crate::target::{self, TargetOptions};
use crate::{Failure, OpenFile, spool, stream};

/// How files are opened in this run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What names in images may open.
    pub policy: Policy,
    /// Directories in which every image may name files and block devices, beside its own.
    pub allow: Vec<PathBuf>,
    /// Directories in which images are somebody else's: names in them open neither what is beside them nor what is allowed.
    pub untrusted: Vec<PathBuf>,
    /// The key by which records of this machine's are known; none: no record is believed, and none is made.
    pub key: Option<KeyPlace>,
    /// Layers that another process writes to are opened all the same; the guest is told, and reads them if they are raw.
    pub busy_layers: bool,
    /// Take advisory locks on what is read; `-U` does not. What is written is always locked.
    pub lock: bool,
    /// The file beside which temporary files are made, if that can be done there.
    pub spools_beside: Option<PathBuf>,
    /// No byte past this one is written to a temporary file.
    pub spool_limit: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            allow: Vec::new(),
            untrusted: Vec::new(),
            key: None,
            busy_layers: false,
            lock: true,
            spools_beside: None,
            spool_limit: u64::MAX,
        }
    }
}

/// The files of one run. Those opened through it are numbered in the order of opening.
///
/// Dropping it without [`Files::commit`] aborts: new files leave nothing behind.
#[derive(Debug)]
pub struct Files {
    pub(crate) slots: Slots,
    pub(crate) gate: Gate,
    lock: bool,
    births: Mutex<Vec<(Slot, Birth)>>,
    directories: Directories,
    pub(crate) provenance: Mutex<Provenance>,
    /// The directory in which temporary files are made, if that can be done there.
    spools_in: Option<PathBuf>,
    spool_limit: u64,
}

/// What the host knows of an open file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStatus {
    /// The name under which it was opened.
    pub name: PathBuf,
    /// Length in bytes; a device's capacity.
    pub length: u64,
    /// Bytes of storage that it occupies.
    pub disk_size: u64,
    /// A block device.
    pub is_block: bool,
}

/// A target could not be completed.
#[derive(Debug)]
pub struct CommitError {
    pub name: PathBuf,
    pub errno: Errno,
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.display();
        if self.errno == Errno::EXIST {
            return write!(
                f,
                "another process has created '{name}' in the meantime; that file was left unchanged"
            );
        }
        write!(f, "Could not complete '{name}': {}", open::words(self.errno))
    }
}

impl std::error::Error for CommitError {}

impl Files {
    /// No files yet.
    ///
    /// # Errors
    /// An allowed or untrusted directory that is there and cannot be opened.
    pub fn new(options: &Options) -> Result<Self, OpenError> {
        let gate = Gate {
            policy: options.policy,
            allowed: present(&options.allow)?,
            untrusted: present(&options.untrusted)?,
            lock: options.lock,
            busy_layers: options.busy_layers,
            user: rustix::process::geteuid().as_raw(),
            key_place: options.key.clone(),
            ..Gate::default()
        };
        Ok(Self {
            slots: Slots::new(),
            gate,
            lock: options.lock,
            births: Mutex::new(Vec::new()),
            directories: Directories::default(),
            provenance: Mutex::default(),
            spools_in: options.spools_beside.as_deref().map(around),
            spool_limit: options.spool_limit,
        })
    }

    /// Opens a file or device that the user named, for reading; past the page cache if `direct`.
    ///
    /// # Errors
    /// In qemu-img's words.
    pub fn source(&self, path: &Path, direct: bool) -> Result<FileFacts, OpenError> {
        self.source_locked(path, direct, self.lock)
    }

    /// As [`Files::source`], for a file that others may be writing: no locks.
    ///
    /// # Errors
    /// In qemu-img's words.
    pub fn shared_source(&self, path: &Path) -> Result<FileFacts, OpenError> {
        self.source_locked(path, false, false)
    }

    /// Makes an empty temporary file for the guest to write to, up to that byte, and to read.
    ///
    /// # Errors
    /// The system's.
    pub fn spool(&self, limit: u64) -> Result<FileFacts, OpenError> {
        let file = spool::make(self.spools_in.as_slice(), limit.min(self.spool_limit))?;
        let name = file.name.clone();
        self.put(file).map_err(|kind| OpenError::new(&name, kind))
    }

    /// Takes the locks of a source that was opened without: for verbs that lock by what the image turns out to be.
    /// (`info` of qemu-img locks every format but raw.)
    ///
    /// # Errors
    /// In qemu-img's words.
    pub fn lock(&self, slot: Slot) -> Result<(), OpenError> {
        let Some(file) = self.slots.get(slot).filter(|file| file.kind != FileKind::Stream) else {
            return Ok(());
        };
        lock::acquire(file.fd(), Use::Source)
            .map_err(|conflict| OpenError::new(&file.name, OpenErrorKind::Lock(conflict)))
    }

    fn source_locked(&self, path: &Path, direct: bool, lock: bool) -> Result<FileFacts, OpenError> {
        open::source(path, direct, lock)
            .and_then(|file| self.add(path, file))
            .map_err(|kind| OpenError::new(path, kind))
    }

    /// Takes a file that somebody else has opened, for reading; with `lock`, unless others write to it. Nothing is opened, and what is in
    /// it names no other file. Locks belong to the opening: they last as long as anybody holds it.
    ///
    /// # Errors
    /// In qemu-img's words.
    pub fn adopt_source(&self, fd: OwnedFd, name: &Path, lock: bool) -> Result<FileFacts, OpenError> {
        let adopted = || {
            let stat = adoptable(&fd, false)?;
            let kind = open::kind_of(&stat, false)?;
            if lock {
                lock::acquire(fd.as_fd(), Use::Source).map_err(OpenErrorKind::Lock)?;
            }
            self.put(open::read_from(name, fd, None, &stat, kind)?)
        };
        adopted().map_err(|kind| OpenError::new(name, kind))
    }

    /// Takes a socket that is connected or a pipe that is open, to receive from it and to send to it what it is open for. What comes out
    /// of it names no file.
    ///
    /// # Errors
    /// In qemu-img's words.
    pub fn stream(&self, fd: OwnedFd, name: &Path) -> Result<FileFacts, OpenError> {
        stream::adopted(name, fd)
            .and_then(|stream| self.put(stream))
            .map_err(|kind| OpenError::new(name, kind))
    }

    /// As [`Files::adopt_source`], for a file that is written to.
    ///
    /// # Errors
    /// In qemu-img's words.
    pub fn adopt_target(
        &self,
        fd: OwnedFd,
        name: &Path,
        options: &TargetOptions,
    ) -> Result<FileFacts, OpenError> {
        let adopted = || {
            let stat = adoptable(&fd, true)?;
            self.put(target::adopted(name, fd, &stat, options)?)
        };
        adopted().map_err(|kind| OpenError::new(name, kind))
    }

    /// Opens an existing file or device that the user named, for reading and writing. Nothing changes before the guest's
    /// first change.
    ///
    /// # Errors
    /// In qemu-img's words.
    pub fn in_place(&self, path: &Path, options: &TargetOptions) -> Result<FileFacts, OpenError> {
        target::in_place(path, options)
            .and_then(|file| self.add(path, file))
            .map_err(|kind| OpenError::new(path, kind))
    }

    /// Opens a target that the user named, to be written anew. If there is no such file it is made, and stands under its
    /// name only after [`Files::commit`]; if there is one, it stays as it is until the guest's first change.
    ///
    /// # Errors
    /// In qemu-img's words.
    pub fn target(&self, path: &Path, options: &TargetOptions) -> Result<FileFacts, OpenError> {
        self.unborn(path, target::anew(path, options, &self.directories))
    }

    fn unborn(
        &self,
        path: &Path,
        opened: Result<(OpenFile, Option<Birth>), OpenErrorKind>,
    ) -> Result<FileFacts, OpenError> {
        let opened = opened.and_then(|(file, birth)| {
            let facts = self.add(path, file)?;
            if let Some(birth) = birth {
                self.births().push((facts.slot, birth));
            }
            Ok(facts)
        });
        opened.map_err(|kind| OpenError::new(path, kind))
    }

    /// As [`Files::target`], but a regular file that exists stays under its name until [`Files::commit`], wherever a new one can
    /// take its place without anybody's noticing: a run that fails or is killed has changed nothing.
    ///
    /// # Errors
    /// In qemu-img's words.
    ///
    /// A preallocation for which there is no room beside the old file gives that up when it begins.
    pub fn replacement(&self, path: &Path, options: &TargetOptions) -> Result<FileFacts, OpenError> {
        self.unborn(path, target::afresh(path, options, &self.directories))
    }

    /// Whether the file at `path`, which an image will have in it without its being opened now, is something that this run overwrites.
    ///
    /// # Errors
    /// If it is.
    pub fn spares(&self, path: &Path) -> Result<(), OpenError> {
        let Ok(stat) = rustix::fs::stat(path) else {
            return Ok(());
        };
        match self
            .slots
            .collides(&Storage::at_a_glance(&stat, FileKind::Regular), false, None)
        {
            None => Ok(()),
            Some(target) => {
                let kind = OpenErrorKind::Overwrites(target.name.clone(), path.to_owned());
                Err(OpenError::new(path, kind))
            }
        }
    }

    /// Facts of every open file, in slot order: those of a job.
    #[must_use]
    pub fn facts(&self) -> Vec<FileFacts> {
        self.slots.iter().map(|(slot, file)| file.facts(slot)).collect()
    }

    /// What is known of a file now.
    #[must_use]
    pub fn status(&self, slot: Slot) -> Option<FileStatus> {
        let file = self.slots.get(slot)?;
        let stat = rustix::fs::fstat(&file.fd).ok()?;
        Some(FileStatus {
            name: file.name.clone(),
            length: file.length().unwrap_or(file.size),
            disk_size: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
            is_block: file.kind == instar_abi::FileKind::Block,
        })
    }

    /// The file that named this one, and its name there, if an image did.
    #[must_use]
    pub fn named_by(&self, slot: Slot) -> Option<(Slot, &[u8])> {
        let (namer, name) = self.slots.get(slot)?.state.named.get()?;
        Some((*namer, name))
    }

    /// From now on each target may grow by so many bytes beyond what it held when it was opened, and no further. What the run needs
    /// at most is known before the first byte is written; a guest that has been taken over fills no disk.
    pub fn let_targets_grow(&self, bytes: u64) {
        let files = self.slots.iter().map(|(_, file)| file);
        for target in files.filter(|file| file.is_target()) {
            target.may_grow_by(bytes);
        }
    }

    /// Why the filesystem would not give the file space in the units that the user asked for.
    #[must_use]
    pub fn unheeded(&self, slot: Slot) -> Option<Errno> {
        self.slots.get(slot)?.unheeded
    }

    /// Whether the guest has tried to change the file.
    #[must_use]
    pub fn is_touched(&self, slot: Slot) -> bool {
        self.slots.get(slot).is_some_and(OpenFile::is_touched)
    }

    /// Whether a file that was there before has been changed, which [`Files::abort`] does not undo.
    #[must_use]
    pub fn has_changed_what_was_there(&self) -> bool {
        let new: HashSet<Slot> = self.births().iter().map(|(slot, _)| *slot).collect();
        self.slots
            .iter()
            .any(|(slot, file)| file.is_touched() && !new.contains(&slot))
    }

    /// Completes all targets: new files get their names, the last opened first, so that a descriptor appears after the
    /// files that it names. With `sync`, data and names are on stable storage afterwards.
    ///
    /// # Errors
    /// The first failure; new files are gone then, as after [`Files::abort`].
    pub fn commit(&self, sync: bool) -> Result<(), CommitError> {
        let result = self.try_commit(sync);
        if result.is_err() {
            self.abort();
        } else {
            self.births().clear();
        }
        result
    }

    fn try_commit(&self, sync: bool) -> Result<(), CommitError> {
        if sync {
            // Before the lock is taken, and in steps, so that a thread that gives up meanwhile can still remove new files and end.
            for (_, file) in self.slots.iter().filter(|(_, file)| file.is_touched()) {
                file.settle(&Stop::default())
                    .map_err(|failure| file.incomplete(failure))?;
            }
        }
        self.write_records();
        let mut births = self.births();
        for (slot, birth) in births.iter_mut().rev() {
            let Some(file) = self.slots.get(*slot) else {
                continue;
            };
            birth
                .complete(file)
                .and_then(|()| if sync { birth.sync() } else { Ok(()) })
                .map_err(|errno| file.incomplete(errno.into()))?;
        }
        Ok(())
    }

    /// Takes new files away. Existing targets stay as far as they were changed.
    pub fn abort(&self) {
        for (_, birth) in &mut *self.births() {
            birth.undo();
        }
        self.births().clear();
        self.restore_records();
    }

    /// The directories that the gate may open files in: for confining our own process.
    #[must_use]
    pub fn gate_directories(&self) -> Vec<Arc<OwnedFd>> {
        if self.gate.policy == Policy::Nothing {
            return Vec::new();
        }
        let places = self.slots.iter().filter_map(|(_, file)| file.place.as_ref());
        let homes = places.flat_map(|place| &place.homes).map(Arc::as_ref);
        let known = homes.chain(&self.gate.allowed);
        let leads = self.gate.leads();
        let led_to = leads.iter().map(Arc::as_ref);
        each_once(known.chain(led_to).map(|root| &root.directory))
    }

    /// The directories in which [`Files::commit`] and [`Files::abort`] will make and remove names, until they are called: for
    /// confining our own process.
    #[must_use]
    pub fn target_directories(&self) -> Vec<Arc<OwnedFd>> {
        let births = self.births();
        each_once(births.iter().map(|(_, birth)| &birth.directory))
    }

    fn add(&self, path: &Path, mut file: OpenFile) -> Result<FileFacts, OpenErrorKind> {
        if self.gate.policy != Policy::Nothing {
            let directory = path.parent().unwrap_or(Path::new(""));
            // A directory that cannot be opened is one in which names lead nowhere.
            let start = self.directories.root(directory).ok();
            file.place = start.map(|start| self.place(start, path));
        }
        self.put(file)
    }

    /// Adds a file whose place is known, unless another one of the run would change with it.
    pub(crate) fn put(&self, file: OpenFile) -> Result<FileFacts, OpenErrorKind> {
        if let Some(other) = self.slots.collides(&file.storage, file.is_target(), None) {
            let names = (file.name, other.name.clone());
            return Err(if other.is_target() {
                OpenErrorKind::Overwrites(names.1, names.0)
            } else {
                OpenErrorKind::Overwrites(names.0, names.1)
            });
        }
        self.slots.add(file).map_err(|_| OpenErrorKind::TooMany)
    }

    /// The place of a file that the user named: it is beside what is beside its name, and, where that is a link, beside what is
    /// beside the file.
    fn place(&self, start: Arc<Root>, path: &Path) -> Place {
        let is_link = std::fs::symlink_metadata(path).is_ok_and(|about| about.is_symlink());
        let file = is_link.then(|| std::fs::canonicalize(path).ok()).flatten();
        let real = file
            .as_deref()
            .and_then(Path::parent)
            .filter(|real| *real != start.real);
        let mut place = Place::in_root(start);
        place
            .homes
            .extend(real.and_then(|real| self.directories.root(real).ok()));
        place
    }

    fn births(&self) -> MutexGuard<'_, Vec<(Slot, Birth)>> {
        // Each birth is whole at every moment; what a panicking thread left can still be undone.
        self.births.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.abort();
    }
}

impl OpenFile {
    fn incomplete(&self, failure: Failure) -> CommitError {
        CommitError {
            name: self.name.clone(),
            errno: i32::try_from(failure.0).map_or(Errno::IO, Errno::from_raw_os_error),
        }
    }
}

/// What is known of a file that somebody else has opened, if it can be used as one that was opened here: for reading, or for reading
/// and writing at any place and of any length.
fn adoptable(fd: &OwnedFd, to_write: bool) -> Result<Stat, OpenErrorKind> {
    let flags = fcntl_getfl(fd).map_err(OpenErrorKind::Open)?;
    let access = flags & OFlags::RWMODE;
    let suits = access == OFlags::RDWR || (access == OFlags::RDONLY && !to_write);
    if !suits || flags.contains(OFlags::PATH) {
        return Err(OpenErrorKind::Open(Errno::BADF));
    }
    if flags.intersects(OFlags::APPEND | OFlags::DIRECT) {
        return Err(OpenErrorKind::Open(Errno::INVAL));
    }
    fstat(fd).map_err(OpenErrorKind::Open)
}

/// The directory in which a file is.
fn around(file: &Path) -> PathBuf {
    match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Each handle once, in the order in which they come.
fn each_once<'h>(handles: impl Iterator<Item = &'h Arc<OwnedFd>>) -> Vec<Arc<OwnedFd>> {
    let mut seen = HashSet::new();
    let new = handles.filter(|handle| seen.insert(handle.as_raw_fd()));
    new.map(Arc::clone).collect()
}

/// Those of the directories that are there: in one that is not there is nothing to let in or to keep out.
fn present(paths: &[PathBuf]) -> Result<Vec<Root>, OpenError> {
    let opened = paths.iter().filter_map(|path| match Root::open(path) {
        Ok(root) => Some(Ok(root)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => Some(Err(OpenError::new(path, system(&error)))),
    });
    opened.collect()
}

fn system(error: &std::io::Error) -> OpenErrorKind {
    OpenErrorKind::Open(error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error))
}
