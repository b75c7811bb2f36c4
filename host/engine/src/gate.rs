//! The gate: the only way for a name found in an image to open a file.
//!
//! ```text
//!  name ──► plain? ──► walk: where does it lead? ──► which rule lets it in? ──► open, look again ──► slot
//!                      (looked at, not opened)        │ beside the image
//!                                                     │ recorded by this machine
//!                                                     └ in an allowed directory
//! ```
//!
//! The decision depends on where the file is, by the identity of its directory, never on the text of its name:
//!
//! 1. *Beside*: a regular file in the directory of the image that the user named, or in that of the file which that name
//!    is a link to; not hidden, on the same mount, and not where somebody else puts files (`untrusted-dir`, `/`, `/dev`).
//! 2. *Recorded*: this machine gave the image that name ([`crate::record`]), and it still leads into the same directory.
//!    Such a layer counts as if the user had named it.
//! 3. *Allowed*: a file or block device below a directory that the user allows for all images.
//!
//! A refusal does not reveal whether the file exists: the system's own error is given only for directories that a rule opens.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use instar_abi::request::status;
use instar_abi::{FileFacts, FileKind, Role};
use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::io::Errno;

use crate::file::{Access, Failure, Identity, OpenFile, Outcome, State};
use crate::key::{Key, KeyPlace};
use crate::lock::{self, Use};
use crate::name;
use crate::open;
use crate::record::{self, Entry, Which};
use crate::root::{self, DIRECTORY, Root};
use crate::slots::Slots;
use crate::storage::Storage;
use crate::walk::{Astray, Landing, Walk};
use crate::wishes::Wishes;

/// What names in images may open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Files that one of the rules lets in.
    #[default]
    Beside,
    /// The same for pieces of a split image, which are the image; no layer and no data file.
    Pieces,
    Nothing,
}

/// Which rule lets a file in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It stands beside the image.
    Beside,
    /// This machine gave the image that name.
    Recorded,
    /// It is in a directory that is allowed to all images.
    Allowed,
}

/// Where an open file stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// Relative names in it start here.
    pub(crate) start: Arc<Root>,
    /// Files in these directories stand beside it.
    pub(crate) homes: Vec<Arc<Root>>,
}

/// That the records beside a file were looked at: in a directory, with names in them starting from one.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scan {
    home: Identity,
    start: Identity,
}

impl Scan {
    fn new(home: &Root, start: &Root) -> Self {
        Self {
            home: home.identity,
            start: start.identity,
        }
    }
}

/// The rules of one run.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    pub(crate) policy: Policy,
    pub(crate) allowed: Vec<Root>,
    /// Where even siblings are somebody else's.
    pub(crate) untrusted: Vec<Root>,
    /// Take locks on what is opened.
    pub(crate) lock: bool,
    /// Layers on which others hold such locks are opened all the same.
    pub(crate) busy_layers: bool,
    /// Who we are: asked for before our own process is confined.
    pub(crate) user: u32,
    pub(crate) key_place: Option<KeyPlace>,
    pub(crate) key: OnceLock<Option<Key>>,
    /// Directories that records lead to, found before our own process was confined.
    pub(crate) led_to: Mutex<Vec<Arc<Root>>>,
}

impl Gate {
    /// Opens `name`, found in `namer`, for reading.
    pub(crate) fn open(
        &self,
        slots: &Slots,
        namer: &OpenFile,
        role: Role,
        name: &[u8],
    ) -> Outcome<FileFacts> {
        let (landing, rule) = self.find(namer, role, name)?;
        let (fd, stat, kind) = enter(&landing)?;
        let storage = Storage::at_a_glance(&stat, kind);
        let known = slots.find(Identity::from(&stat));
        // The base of a commit: the host has opened it as the layer that it is.
        if let Some((slot, layer)) = known.filter(|(_, file)| file.state.is_layer()) {
            return layer.facts_now(slot);
        }
        // Reading from the target while it is overwritten would produce garbage. An image that names itself does not collide.
        if slots.collides(&storage, false, Some(namer.identity)).is_some() {
            return Err(Failure(status::REFUSED_TARGET));
        }
        if let Some((slot, known)) = known {
            return known.facts_now(slot);
        }
        let busy = self.lock && lock::acquire(fd.as_fd(), Use::Source).is_err();
        // Whether the layer is raw is the guest's to tell.
        if busy && !(self.busy_layers && role == Role::Backing) {
            return Err(Failure(status::REFUSED_LOCK));
        }
        let path = landing.path.clone();
        // In an allowed directory every image may read everything.
        let peeks =
            self.policy == Policy::Pieces && rule == Rule::Beside && !self.is_allowed(landing.parent.as_fd());
        let window = peeks.then(|| peek(namer, &landing.name));
        let file = OpenFile {
            busy,
            window,
            ..opened(fd, &stat, kind, path, place_of(landing, rule, namer)?)?
        };
        slots.add_once(file).map_err(|_| Failure(status::REFUSED_COUNT))
    }

    /// Where `name`, found in `namer`, leads, and which rule lets it in.
    pub(crate) fn find(&self, namer: &OpenFile, role: Role, name: &[u8]) -> Outcome<(Landing, Rule)> {
        let forbidden = match self.policy {
            Policy::Beside => false,
            Policy::Pieces => role != Role::Extent,
            Policy::Nothing => true,
        };
        if forbidden {
            return Err(UNTRUSTED);
        }
        let path = name::found(name, role).ok_or(Failure(status::REFUSED_NAME))?;
        let place = namer.place.as_ref().ok_or(OUTSIDE)?;
        self.by_place(place, path).or_else(|refusal| {
            if ![UNTRUSTED, OUTSIDE, KIND].contains(&refusal) {
                return Err(refusal);
            }
            let landing = self
                .recorded(namer, place, name, path)
                .map_err(|failure| match failure {
                    OUTSIDE => refusal,
                    failure => failure,
                })?;
            Ok((landing, Rule::Recorded))
        })
    }

    /// By where the file stands.
    fn by_place(&self, place: &Place, path: &Path) -> Outcome<(Landing, Rule)> {
        // An image that somebody else put here gets nothing by these rules.
        if self.is_somebody_elses(place) {
            return Err(UNTRUSTED);
        }
        let homes = place.homes.iter().map(Arc::as_ref);
        let walk = Walk {
            known: self.allowed.iter().chain(homes).collect(),
            may_cross: &|directory| self.is_allowed(directory),
            may_follow: &|_| true,
        };
        let landing = match walk.go(&place.start, path) {
            Ok(landing) => landing,
            Err(Astray::Forbidden) => return Err(OUTSIDE),
            Err(Astray::Lookup(directory, errno)) => {
                let open = place.is_home(directory.as_fd()) || self.is_allowed(directory.as_fd());
                return Err(if open { errno.into() } else { OUTSIDE });
            }
            Err(Astray::Directory(directory)) => {
                let above = openat(&directory, "..", DIRECTORY, Mode::empty())?;
                let open = place.is_home(above.as_fd()) || self.is_allowed(directory.as_fd());
                return Err(if open { KIND } else { OUTSIDE });
            }
        };
        let rule = if place.is_beside(&landing) {
            Rule::Beside
        } else if self.is_allowed(landing.parent.as_fd()) {
            Rule::Allowed
        } else {
            return Err(OUTSIDE);
        };
        let kind = FileType::from_raw_mode(landing.stat.st_mode);
        let fits = kind == FileType::RegularFile || (kind == FileType::BlockDevice && rule == Rule::Allowed);
        match fits && !root::is_of_the_kernel(landing.file.as_fd()) {
            true => Ok((landing, rule)),
            false => Err(KIND),
        }
    }

    /// By what this machine wrote down when it made the image.
    fn recorded(&self, namer: &OpenFile, place: &Place, name: &[u8], path: &Path) -> Outcome<Landing> {
        let entries = self.entries(namer.fd()).unwrap_or_default();
        let entry = entries.iter().find(|entry| entry.name == name).ok_or(OUTSIDE)?;
        let landing = follow(place, path, self.user).map_err(|astray| match astray {
            Astray::Lookup(_, errno) => errno.into(),
            Astray::Forbidden | Astray::Directory(_) => OUTSIDE,
        })?;
        match is_meant(entry, &landing) {
            true => Ok(landing),
            false => Err(OUTSIDE),
        }
    }

    /// The names that this machine gave to the image in `file`.
    pub(crate) fn entries(&self, file: BorrowedFd<'_>) -> Option<Vec<Entry>> {
        let value = record::read(file)?;
        record::unseal(self.key()?, file, &value)
    }

    /// The key, if there is one. Once our own process is confined it is what was found before.
    pub(crate) fn key(&self) -> Option<&Key> {
        let load = || self.key_place.as_ref()?.load().ok();
        self.key.get_or_init(load).as_ref()
    }

    fn is_allowed(&self, directory: BorrowedFd<'_>) -> bool {
        root::lies_beneath(directory, self.allowed.iter())
    }

    fn is_somebody_elses(&self, place: &Place) -> bool {
        let places = place.homes.iter().chain([&place.start]);
        places
            .into_iter()
            .any(|root| root::lies_beneath(root.fd(), self.untrusted.iter()))
    }

    /// Notes the directories that records lead to: those of an open file, of what stands beside it, and of what these lead to.
    /// Called before our own process is confined, when they can still be opened. What was `scanned` for another file is known.
    pub(crate) fn note_leads(&self, file: BorrowedFd<'_>, place: &Place, scanned: &mut HashSet<Scan>) {
        if self.key().is_none() {
            return;
        }
        let mut left = LEADS;
        self.note(file, place, &mut left);
        let mut places = vec![place.clone()];
        while let Some(place) = places.pop() {
            for home in &place.homes {
                if left == 0 {
                    return;
                }
                let new = scanned.insert(Scan::new(home, &place.start));
                if new && home.has_siblings() {
                    self.note_siblings(home, &place, &mut left);
                }
            }
            let led_to = self.leads();
            let new = led_to
                .iter()
                .filter(|root| !scanned.contains(&Scan::new(root, root)));
            places.extend(new.map(|root| Place::in_root(Arc::clone(root))));
        }
    }

    /// A layer that another program put above an image of ours, beside it, has no record; the one below has.
    fn note_siblings(&self, home: &Root, place: &Place, left: &mut usize) {
        let Ok(names) = std::fs::read_dir(&home.real) else {
            return;
        };
        for name in names.flatten().take(SIBLINGS).map(|entry| entry.file_name()) {
            if name.as_bytes().starts_with(b".") || !record::is_there(&home.real.join(&name)) {
                continue;
            }
            let landing = Landing::beside(home, &name);
            if let Some((fd, _, _)) = landing.and_then(|landing| enter(&landing).ok()) {
                self.note(fd.as_fd(), place, left);
            }
        }
    }

    fn note(&self, file: BorrowedFd<'_>, place: &Place, left: &mut usize) {
        for entry in self.entries(file).unwrap_or_default() {
            let Some(now) = left.checked_sub(1) else { return };
            *left = now;
            let landing = follow(place, Path::new(OsStr::from_bytes(&entry.name)), self.user);
            let Some(landing) = landing.ok().filter(|landing| is_meant(&entry, landing)) else {
                continue;
            };
            let Ok((fd, _, _)) = enter(&landing) else { continue };
            let Ok(place) = place_as_named(landing) else {
                continue;
            };
            for home in &place.homes {
                let mut leads = self.leads();
                if !leads.iter().any(|known| known.identity == home.identity) {
                    leads.push(Arc::clone(home));
                }
            }
            self.note(fd.as_fd(), &place, left);
        }
    }

    /// Opens what `name` in an image that stands in `place` means to the user.
    pub(crate) fn as_named(&self, place: &Place, name: &[u8]) -> Result<OpenFile, Errno> {
        let path = name::found(name, Role::Extent).ok_or(Errno::INVAL)?;
        let landing = follow(place, path, self.user).map_err(|astray| match astray {
            Astray::Lookup(_, errno) => errno,
            Astray::Forbidden => Errno::ACCESS,
            Astray::Directory(_) => Errno::ISDIR,
        })?;
        let (fd, stat, kind) = enter(&landing).map_err(|_| Errno::ACCESS)?;
        let path = landing.path.clone();
        opened(fd, &stat, kind, path, place_as_named(landing)?)
    }

    /// Directories in which the gate may open files because a record says so.
    pub(crate) fn leads(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Root>>> {
        self.led_to.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry for a name that the user gives to the image in `place`: where it leads now.
    pub(crate) fn entry(&self, place: &Place, name: &[u8]) -> Option<Entry> {
        let path = name::found(name, Role::Extent)?;
        let landing = follow(place, path, self.user).ok()?;
        let device = FileType::from_raw_mode(landing.stat.st_mode) == FileType::BlockDevice;
        let directory = match device {
            true => None,
            false => Some(Which::file(landing.parent.as_fd()).ok()?),
        };
        Some(Entry {
            name: name.to_vec(),
            directory,
        })
    }
}

impl Place {
    /// The place of a file in the directory `root`.
    pub(crate) fn in_root(root: Arc<Root>) -> Self {
        Self {
            start: Arc::clone(&root),
            homes: vec![root],
        }
    }

    /// A directory as it is open here already, if it is: thousands of pieces stand in one.
    fn shared(&self, directory: Root) -> Arc<Root> {
        let mut open = self.homes.iter().chain([&self.start]);
        let known = open.find(|root| root.same(&directory));
        known.map_or_else(|| Arc::new(directory), Arc::clone)
    }

    fn is_home(&self, directory: BorrowedFd<'_>) -> bool {
        let identity = fstat(directory).map(|stat| Identity::from(&stat));
        let home = identity.ok().and_then(|identity| self.home(identity));
        home.is_some_and(Root::has_siblings)
    }

    fn home(&self, identity: Identity) -> Option<&Root> {
        let homes = self.homes.iter().map(Arc::as_ref);
        homes.into_iter().find(|home| home.identity == identity)
    }

    /// Whether a file stands beside this one.
    fn is_beside(&self, landing: &Landing) -> bool {
        let Ok(parent) = fstat(&landing.parent) else {
            return false;
        };
        let Some(home) = self.home(Identity::from(&parent)) else {
            return false;
        };
        !landing.name.as_bytes().starts_with(b".")
            && home.has_siblings()
            && home.shares_mount(landing.file.as_fd()).unwrap_or(false)
    }
}

/// Follows a name as the user's own: over any mount; but a link only if root or this user made it.
fn follow(place: &Place, path: &Path, user: u32) -> Result<Landing, Astray> {
    let walk = Walk {
        known: vec![&*place.start],
        may_cross: &|_| true,
        may_follow: &|owner| owner == 0 || owner == user,
    };
    walk.go(&place.start, path)
}

/// Whether a file is where the record says that the name led.
fn is_meant(entry: &Entry, landing: &Landing) -> bool {
    match FileType::from_raw_mode(landing.stat.st_mode) {
        FileType::BlockDevice => entry.directory.is_none(),
        FileType::RegularFile => {
            entry.directory.is_some() && Which::file(landing.parent.as_fd()).ok() == entry.directory
        }
        _ => false,
    }
}

/// How much may be read of a piece that is only looked at: its first page, if it is called after the image (`disk-s001.vmdk`,
/// `disk.vmdk`); else nothing, and that it is there and how large is all that is told.
fn peek(namer: &OpenFile, name: &OsStr) -> u64 {
    let image = namer.name.file_name().map(Path::new);
    let stem = image.and_then(Path::file_stem).map_or(&b""[..], OsStr::as_bytes);
    let kind = image.and_then(Path::extension);
    let same = !stem.is_empty() && Path::new(name).extension() == kind;
    let rest = name.as_bytes().strip_prefix(stem);
    match same && rest.is_some_and(|rest| rest.starts_with(b"-")) {
        true => PAGE,
        false => 0,
    }
}

/// Where a layer stands, and what is beside it.
pub(crate) fn place_of(landing: Landing, rule: Rule, namer: &OpenFile) -> Outcome<Place> {
    match rule {
        Rule::Recorded => Ok(place_as_named(landing)?),
        // Nothing more than what the image above has.
        Rule::Beside => Ok(match &namer.place {
            Some(above) => Place {
                start: above.shared(landing.written),
                homes: above.homes.clone(),
            },
            None => Place {
                start: Arc::new(landing.written),
                homes: Vec::new(),
            },
        }),
        // What is beside it is allowed, or it is not.
        Rule::Allowed => Ok(Place {
            start: Arc::new(landing.written),
            homes: Vec::new(),
        }),
    }
}

/// The place of a file that counts as named by the user.
fn place_as_named(landing: Landing) -> Result<Place, Errno> {
    let start = Arc::new(landing.written);
    let parent = landing.path.parent().unwrap_or(Path::new("/")).to_owned();
    let real = Root::of(landing.parent, parent)?;
    let mut homes = vec![Arc::clone(&start)];
    if real.identity != start.identity {
        homes.push(Arc::new(real));
    }
    Ok(Place { start, homes })
}

fn opened(fd: OwnedFd, stat: &Stat, kind: FileKind, name: PathBuf, place: Place) -> Result<OpenFile, Errno> {
    Ok(OpenFile {
        size: open::size(&fd, stat, kind)?,
        fd,
        direct: None,
        kind,
        access: Access::Read,
        identity: Identity::from(stat),
        storage: Storage::at_a_glance(stat, kind),
        name,
        place: Some(place),
        busy: false,
        window: None,
        durable: false,
        wishes: Wishes::default(),
        unheeded: None,
        predecessor: None,
        state: State::default(),
    })
}

/// Opens what was found. Anything but a file or a block device has been refused by now: opening others does things, or waits.
fn enter(landing: &Landing) -> Outcome<(OwnedFd, Stat, FileKind)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(&landing.parent, &landing.name, flags, Mode::empty())?;
    let stat = fstat(&fd)?;
    // Asked again: the name may mean another file by now.
    let same = |stat: &Stat| (stat.st_dev, stat.st_ino, stat.st_rdev, stat.st_mode & TYPE);
    if same(&stat) != same(&landing.stat) {
        return Err(Errno::AGAIN.into());
    }
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok((fd, stat, FileKind::Regular)),
        FileType::BlockDevice => Ok((fd, stat, FileKind::Block)),
        _ => Err(KIND),
    }
}

const UNTRUSTED: Failure = Failure(status::REFUSED_UNTRUSTED);
const OUTSIDE: Failure = Failure(status::REFUSED_OUTSIDE);
const KIND: Failure = Failure(status::REFUSED_KIND);
/// S_IFMT.
const TYPE: u32 = 0o170_000;
/// Files beside an image whose records are looked for; a directory with more is not a directory of images.
const SIBLINGS: usize = 4096;
/// Bytes in which a piece of an image says how it is laid out. Ours: a page.
const PAGE: u64 = 4096;
/// Layers whose records are followed beforehand. As many as a chain may have.
const LEADS: usize = instar_abi::limits::CHAIN_DEPTH;
