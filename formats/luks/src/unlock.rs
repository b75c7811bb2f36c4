//! From a passphrase to the key.

use instar_crypt::luks1::{Passphrase, Plan};
use instar_crypt::{Effort, Limits, Secret};
use instar_disk::job::AmendKeys;
use instar_disk::{File, Key, Result};

use crate::header::{self, Header};

/// A disk, its header judged and its key at hand.
pub struct Unlocked<'h> {
    pub(crate) file: File<'h>,
    pub(crate) header: Header,
    pub(crate) key: Secret,
}

impl<'h> Unlocked<'h> {
    /// Tries the passphrase on the key slots of `file`.
    ///
    /// # Errors
    /// What is wrong with the header; no slot opens, or one costs more than [`Limits::DEFAULT`] allows.
    pub fn open(file: File<'h>, passphrase: &[u8]) -> Result<Self> {
        Self::open_if(file, passphrase, false)
    }

    fn open_if(file: File<'h>, passphrase: &[u8], detached: bool) -> Result<Self> {
        let header = header::read(&file, detached)?;
        // The host ends a run that takes too long, whatever it does.
        let mut go_on = || Ok(());
        let mut effort = Effort::new(Limits::DEFAULT, &mut go_on);
        // A header that is cut off opens by no passphrase, as for the reference tool.
        let mut read = |offset, into: &mut [u8]| match detached {
            true => file.read_padded(offset, into),
            false => file.read_exact(offset, into),
        };
        let unlocked = header.unlock(passphrase, &mut read, &mut effort);
        let unlocked = unlocked.map_err(|fault| fault.in_file(file.slot()))?;
        Ok(Self {
            file,
            header,
            key: unlocked,
        })
    }

    /// The key, as the engine uses it.
    ///
    /// # Errors
    /// No such cipher takes a key of that length.
    pub fn key(&self) -> Result<Key> {
        let key = self.header.key(&self.key);
        key.map_err(|fault| fault.in_file(self.file.slot()))
    }

    /// Plans what becomes of the key slots.
    ///
    /// # Errors
    /// What speaks against it, in the reference tool's order.
    pub fn plan(&self, keys: &AmendKeys, passphrase: &Passphrase<'_>, random: &[u8; 32]) -> Result<Plan> {
        let header = header::read_to_write(&self.file)?;
        let mut read = |offset, into: &mut [u8]| self.file.read_exact(offset, into);
        let planned = header.plan(&self.key, &mut read, keys, passphrase, random);
        planned.map_err(|fault| fault.in_file(self.file.slot()))
    }
}

/// Makes a key of the passphrase.
///
/// # Errors
/// As [`Unlocked::open`] and [`Unlocked::key`].
pub fn unlock(file: File<'_>, passphrase: &[u8]) -> Result<Key> {
    Unlocked::open(file, passphrase)?.key()
}

/// The same for a disk whose header is a file of its own: this one.
///
/// # Errors
/// As [`unlock`].
pub fn unlock_apart(header: File<'_>, passphrase: &[u8]) -> Result<Key> {
    Unlocked::open_if(header, passphrase, true)?.key()
}
