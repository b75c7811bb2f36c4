//! One run: the host, the job, and failures with their stage.

use alloc::vec::Vec;

use instar_abi::job::Source;
use instar_abi::report::{Failure, Stage};
use instar_abi::{Job, NamedSecret, Slot};
use instar_crypt::luks1;
use instar_disk::{Fault, File, Format, Host, Key, Result, fault};

use crate::locks::Locks;
use crate::within::Within;

/// The context of every verb.
pub(crate) struct Session<'h> {
    pub(crate) host: &'h dyn Host,
    pub(crate) job: &'h Job,
    /// The same host, for what is inside of its files.
    pub(crate) within: &'h Within<'h>,
    /// The images that were unlocked.
    locks: Locks,
}

impl<'h> Session<'h> {
    pub(crate) fn new(within: &'h Within<'h>, job: &'h Job) -> Self {
        Self {
            host: within,
            job,
            within,
            locks: Locks::default(),
        }
    }

    /// With the keys that the secrets of the run give.
    pub(crate) fn unlocked(self, secrets: &[NamedSecret]) -> Self {
        let locks = Locks::open(&self, secrets);
        Self { locks, ..self }
    }

    /// What the key in that file turned out to be, if the user named a secret for it.
    pub(crate) fn key(&self, slot: Slot) -> Result<Option<Key>> {
        self.locks.key(slot)
    }

    /// What becomes of key slots, if anything does.
    pub(crate) fn plan(&self) -> Result<Option<&luks1::Plan>> {
        self.locks.plan()
    }

    /// The header of the new image, if it is sealed.
    pub(crate) fn made(&self) -> Result<&luks1::Made> {
        self.locks.made()
    }

    /// Where in the host's file a file begins.
    pub(crate) fn start(&self, slot: Slot) -> u64 {
        self.within.start(slot)
    }

    /// Whether an image that nobody named the format of can be of that one.
    pub(crate) fn recognises(&self, format: Format) -> bool {
        format != Format::Ova || self.job.bounds.archives
    }

    /// The end of a verb that has done its work: what was read must have been what it should be.
    pub(crate) fn conclude(&self) -> Outcome<()> {
        self.within.conclude().map_err(|fault| {
            let sources = self.job.verb.sources().into_iter();
            let index = (0..)
                .zip(sources)
                .find(|(_, source)| Some(source.slot) == fault.slot);
            let stage = Stage::OpenSource(index.map_or(0, |(index, _)| index));
            Failure { stage, fault }
        })
    }

    /// Files that the host opened before the run, in this order.
    pub(crate) fn files(&self, slots: &[Slot]) -> Result<Vec<File<'h>>> {
        slots.iter().map(|slot| self.file(*slot)).collect()
    }

    /// The file of a header that is not in the image's own file.
    pub(crate) fn header(&self, source: Option<&Source>) -> Result<Option<File<'h>>> {
        let slot = source.and_then(|source| source.header);
        slot.map(|slot| self.file(slot)).transpose()
    }

    /// A file that the host opened before the run.
    pub(crate) fn file(&self, slot: Slot) -> Result<File<'h>> {
        let facts = self.job.files.iter().find(|facts| facts.slot == slot);
        let facts = facts.ok_or_else(|| internal(line!()).in_file(slot))?;
        Ok(File::new(self.host, *facts))
    }
}

/// Our own mistake, told apart by its line.
pub(crate) fn internal(line: u32) -> Fault {
    Fault::new(fault::core::INTERNAL).with([u64::from(line)])
}

/// The result type of verbs.
pub(crate) type Outcome<T> = core::result::Result<T, Failure>;

/// Says what was being done when a fault occurred.
pub(crate) trait At<T> {
    fn at(self, stage: Stage) -> Outcome<T>;
}

impl<T> At<T> for Result<T> {
    fn at(self, stage: Stage) -> Outcome<T> {
        self.map_err(|fault| Failure { stage, fault })
    }
}
