//! From a passphrase to the key.

use instar_crypt::{Effort, Limits};
use instar_disk::{File, Key, Result};

use crate::header;
use crate::sectors::Sectors;

/// Tries the passphrase on the key slots of `file`.
///
/// # Errors
/// What is wrong with the header; no slot opens, or one costs more than [`Limits::DEFAULT`] allows.
pub fn unlock(file: File<'_>, passphrase: &[u8]) -> Result<Key> {
    let header = header::read(&file)?;
    // The host ends a run that takes too long, whatever it does.
    let mut go_on = || Ok(());
    let mut effort = Effort::new(Limits::DEFAULT, &mut go_on);
    let mut read = |offset, into: &mut [u8]| file.read_exact(offset, into);
    let unlocked = header.unlock(passphrase, &mut read, &mut effort);
    let cipher = unlocked.and_then(|unlocked| header.cipher_of(&unlocked.key));
    let cipher = cipher.map_err(|fault| fault.in_file(file.slot()))?;
    Ok(Key::new(Sectors { cipher, bytes: 512 }))
}
