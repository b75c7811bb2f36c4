//! A new header for options of the user's, before there is a file that it could stand in.

use instar_disk::job::LuksCreate;
use instar_disk::{Key, Result};

use super::{New, Options, Write, time};
use crate::{Effort, Limits, Random, Secret};

/// A header that stands in no file yet, and its key.
#[derive(Debug)]
pub struct Made {
    /// What seals the disk.
    pub key: Key,
    /// Bytes that header and key material take, from the start of the header.
    pub bytes: u64,
    /// The material of the first key slot.
    pub material: Write,
    /// The header, without which the material is none.
    pub header: Write,
}

impl Made {
    /// Makes a header whose first key slot opens with the passphrase.
    ///
    /// # Errors
    /// No such cipher exists; a time that no number of iterations stands for.
    pub fn new(options: &LuksCreate, passphrase: &[u8], random: &[u8; 32]) -> Result<Self> {
        let mut go_on = || Ok(());
        let speed = options.speed;
        // What the user asked for may take long.
        let limits = Limits {
            iterations: u64::from(u32::MAX),
            ..Limits::DEFAULT
        };
        let made = New::make(
            &Options {
                cipher: options.cipher,
                hash: options.hash,
                passphrase: &Secret::copy_of(passphrase),
                slot_iterations: time::for_slot(speed, options.hash, options.cipher.key_bytes())?,
                digest_iterations: time::for_digest(speed, options.hash)?,
                detached: options.detached,
            },
            &mut Random::new(random)?,
            &mut Effort::new(limits, &mut go_on),
        )?;
        let cipher = made.header.cipher_of(&made.key)?;
        let [material, header] = made.writes;
        Ok(Self {
            key: cipher.of_sectors(SECTOR),
            bytes: made.bytes,
            material,
            header,
        })
    }
}

/// Bytes of a sector: LUKS version 1.
const SECTOR: usize = 512;
