//! Who carries an item out: a file that says so, and is touched again and again meanwhile.
//!
//! It saves work and keeps nothing together: two who carry out the same item write the same bytes, each under names of his own or to the
//! same place. So a lease that is taken away from a machine that was only slow does no harm.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Result, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
use serde::{Deserialize, Serialize};

use super::fresh;
use super::worker::Worker;

/// How often it is touched.
pub(super) const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long it holds without that: four heartbeats.
const HOLDS: Duration = Duration::from_secs(60);
/// Bytes of the file at most.
const LARGEST: u64 = 4096;
/// How often somebody else may come first before we give way.
const ROUNDS: usize = 8;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Holder {
    /// Tells it from every other.
    number: String,
    worker: Worker,
}

/// A lease that is held.
#[derive(Debug)]
pub(super) struct Lease {
    path: PathBuf,
    file: File,
    number: String,
}

/// What comes of asking for a lease.
#[derive(Debug)]
pub(super) enum Taken {
    Ours(Lease),
    /// Somebody else has it: who.
    Held(String),
}

/// A lease as it is found.
struct Found {
    holder: Option<Holder>,
    about: Metadata,
}

impl Lease {
    /// Takes the lease of `item`, from one who has died too.
    pub(super) fn take(directory: &Path, item: u64) -> Result<Taken> {
        let path = directory.join(format!("{item}.lease"));
        let number = fresh();
        let holder = Holder {
            number: number.clone(),
            worker: Worker::this(),
        };
        let candidate = directory.join(format!(".{item}.{number}"));
        let mut file = File::create_new(&candidate)?;
        let taken = file
            .write_all(serde_json::to_string(&holder)?.as_bytes())
            .and_then(|()| compete(&path, &candidate, &file));
        // Whether or not it has another name now.
        std::fs::remove_file(&candidate)?;
        Ok(match taken? {
            None => Taken::Ours(Self {
                // Where files have but one name, this is another one than the candidate.
                file: File::options().append(true).open(&path)?,
                path,
                number,
            }),
            Some(held) => Taken::Held(held),
        })
    }

    /// Who has the lease of `item` and lives, as far as this machine can tell.
    pub(super) fn holder(directory: &Path, item: u64) -> Result<Option<String>> {
        let Some(found) = Found::at(&directory.join(format!("{item}.lease")))? else {
            return Ok(None);
        };
        let age = SystemTime::now().duration_since(found.about.modified()?);
        // A time in the future is that of a clock that is ahead.
        Ok(found.is_alive(age.unwrap_or_default()).then(|| found.who()))
    }

    /// Says that its holder lives. `false`: somebody else has it now.
    pub(super) fn touch(&self) -> Result<bool> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        futimens(
            &self.file,
            &Timestamps {
                last_access: now,
                last_modification: now,
            },
        )?;
        let found = Found::at(&self.path)?;
        Ok(found.is_some_and(|found| found.number() == Some(&self.number)))
    }

    /// Gives it back.
    pub(super) fn give_back(&self) -> Result<()> {
        match Found::at(&self.path)? {
            Some(found) if found.number() == Some(&self.number) => std::fs::remove_file(&self.path),
            _ => Ok(()),
        }
    }
}

/// Gives the candidate the name of the lease, unless a living one has it: who.
fn compete(path: &Path, candidate: &Path, file: &File) -> Result<Option<String>> {
    for _ in 0..ROUNDS {
        match link(candidate, path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            done => return done.map(|()| None),
        }
        let Some(found) = Found::at(path)? else {
            continue;
        };
        // Both times are those of the filesystem's clock, which may be another machine's.
        let age = file
            .metadata()?
            .modified()?
            .duration_since(found.about.modified()?);
        if found.is_alive(age.unwrap_or_default()) {
            return Ok(Some(found.who()));
        }
        take_away(path, candidate, &found)?;
    }
    Ok(Some("several others".to_owned()))
}

/// Gives a file a further name, which nobody else may have. Where files cannot have two, it is copied to it.
fn link(candidate: &Path, path: &Path) -> Result<()> {
    match std::fs::hard_link(candidate, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists && candidate.exists() => {
            let text = std::fs::read(candidate)?;
            File::create_new(path)?.write_all(&text)
        }
        done => done,
    }
}

/// Removes the lease of one who is dead. Who comes second to that finds a living one in its place, and puts it back.
fn take_away(path: &Path, candidate: &Path, dead: &Found) -> Result<()> {
    let mut aside = candidate.as_os_str().to_owned();
    aside.push(".dead");
    let aside = PathBuf::from(aside);
    match std::fs::rename(path, &aside) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        done => done?,
    }
    if let Some(found) = Found::at(&aside)?
        && found.about.ino() != dead.about.ino()
    {
        // If a third one has come meanwhile, both carry the item out.
        match link(&aside, path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
    std::fs::remove_file(&aside)
}

impl Found {
    fn at(path: &Path) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let about = file.metadata()?;
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text)?;
        // One that is being written says nothing yet.
        let holder = serde_json::from_slice(&text).ok();
        Ok(Some(Self { holder, about }))
    }

    fn number(&self) -> Option<&String> {
        self.holder.as_ref().map(|holder| &holder.number)
    }

    fn is_alive(&self, age: Duration) -> bool {
        let dead = self
            .holder
            .as_ref()
            .is_some_and(|holder| holder.worker.is_known_dead());
        !dead && age < HOLDS
    }

    fn who(&self) -> String {
        match &self.holder {
            Some(holder) => holder.worker.to_string(),
            None => "another process".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(directory: &Path) -> Taken {
        Lease::take(directory, 3).unwrap()
    }

    fn age(directory: &Path, by: Duration) {
        let file = File::options()
            .write(true)
            .open(directory.join("3.lease"))
            .unwrap();
        file.set_modified(SystemTime::now() - by).unwrap();
    }

    #[test]
    fn one_has_it_until_it_is_given_back() {
        let place = tempfile::tempdir().unwrap();
        let Taken::Ours(lease) = take(place.path()) else {
            panic!("nobody else is there");
        };
        assert!(matches!(take(place.path()), Taken::Held(_)));
        assert!(Lease::holder(place.path(), 3).unwrap().is_some());
        assert!(lease.touch().unwrap());
        lease.give_back().unwrap();
        assert_eq!(Lease::holder(place.path(), 3).unwrap(), None);
        assert!(matches!(take(place.path()), Taken::Ours(_)));
        let names: Vec<_> = std::fs::read_dir(place.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "nothing but the lease is left");
    }

    #[test]
    fn one_that_is_not_touched_is_lost() {
        let place = tempfile::tempdir().unwrap();
        let Taken::Ours(slow) = take(place.path()) else {
            panic!("nobody else is there");
        };
        age(place.path(), HOLDS + HEARTBEAT);
        assert_eq!(Lease::holder(place.path(), 3).unwrap(), None);
        let Taken::Ours(next) = take(place.path()) else {
            panic!("the first one is taken for dead");
        };
        assert!(!slow.touch().unwrap());
        slow.give_back().unwrap();
        assert!(next.touch().unwrap(), "who lost it takes nothing back");
    }

    #[test]
    fn the_lease_of_a_process_that_is_gone_is_lost_at_once() {
        let place = tempfile::tempdir().unwrap();
        let holder = Holder {
            number: "0".to_owned(),
            worker: Worker::that_is_gone(),
        };
        let text = serde_json::to_string(&holder).unwrap();
        std::fs::write(place.path().join("3.lease"), text).unwrap();
        assert_eq!(Lease::holder(place.path(), 3).unwrap(), None);
        assert!(matches!(take(place.path()), Taken::Ours(_)));
    }

    #[test]
    fn a_lease_that_cannot_be_read_holds_as_long_as_any() {
        let place = tempfile::tempdir().unwrap();
        std::fs::write(place.path().join("3.lease"), "").unwrap();
        assert!(matches!(take(place.path()), Taken::Held(_)));
        age(place.path(), HOLDS + HEARTBEAT);
        assert!(matches!(take(place.path()), Taken::Ours(_)));
    }
}
