//! What parts of files must come to, by the manifest of the archive that they are in.
//!
//! A digest is computed from start to end, while disks are decoded in parallel and in any order. So one lane reads the file for it,
//! beside the others: the disk is read once, and the second reader finds the bytes in memory.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

use instar_crypt::Hasher;
use instar_disk::{Action, Fault, HashName, Host, Result, Slot, Turnstile, fault, to_usize};

/// Bytes that are read at a time. Ours: they stay in the cache until they are hashed.
const STEP: u64 = 1 << 20;

/// A part of a file as the host has it, and what it must come to.
#[derive(Clone, Debug)]
pub(crate) struct Digest {
    /// The file.
    pub(crate) slot: Slot,
    /// Where its pieces are, and their bytes.
    pub(crate) pieces: Vec<(u64, u64)>,
    /// What it is called.
    pub(crate) name: Vec<u8>,
    pub(crate) hash: HashName,
    pub(crate) expected: Vec<u8>,
}

/// Digests that are yet to be looked at, and what was wrong with others.
pub(crate) struct Digests {
    are_wanted: AtomicBool,
    waiting: Turnstile<Vec<Digest>>,
    failure: Turnstile<Option<Box<Fault>>>,
}

impl Default for Digests {
    fn default() -> Self {
        Self {
            are_wanted: AtomicBool::new(false),
            waiting: Turnstile::new(Vec::new()),
            failure: Turnstile::new(None),
        }
    }
}

impl Digests {
    /// One more.
    pub(crate) fn add(&self, host: &dyn Host, digest: Digest) {
        self.waiting.with(host, |waiting| waiting.push(digest));
        self.are_wanted.store(true, Ordering::Release);
    }

    /// Whether there are some to look at.
    pub(crate) fn are_wanted(&self) -> bool {
        self.are_wanted.load(Ordering::Acquire)
    }

    /// Looks at those that nobody has looked at. A failure is kept.
    pub(crate) fn look(&self, host: &dyn Host) {
        let waiting = self.waiting.with(host, core::mem::take);
        self.are_wanted.store(false, Ordering::Release);
        for digest in waiting {
            if let Err(fault) = digest.judge(host) {
                self.failure.with(host, |failure| {
                    failure.get_or_insert_with(|| Box::new(fault));
                });
                return;
            }
        }
    }

    /// Looks at the rest; says what was wrong.
    ///
    /// # Errors
    /// `DIGEST`; the host's.
    pub(crate) fn conclude(&self, host: &dyn Host) -> Result<()> {
        if self.are_wanted() {
            self.look(host);
        }
        match self.failure.with(host, Option::take) {
            Some(fault) => Err(*fault),
            None => Ok(()),
        }
    }
}

impl Digest {
    fn judge(&self, host: &dyn Host) -> Result<()> {
        let mut hasher = Hasher::new(self.hash);
        let mut buffer = Vec::new();
        for (start, size) in &self.pieces {
            let length = to_usize(STEP.min(*size))?;
            buffer.resize(length.max(buffer.len()), 0);
            let mut at = 0_u64;
            while at < *size {
                let left = to_usize(size.saturating_sub(at))?.min(buffer.len());
                let into = buffer.get_mut(..left).unwrap_or_default();
                let read = host.one(Action::Read {
                    slot: self.slot,
                    offset: start.saturating_add(at),
                    into,
                })?;
                // A file that shrank has another digest, too.
                let bytes = to_usize(read)?;
                if bytes == 0 {
                    break;
                }
                hasher.update(buffer.get(..bytes).unwrap_or_default());
                at = at.saturating_add(read);
            }
        }
        let found = hasher.finish();
        if found == self.expected {
            return Ok(());
        }
        let [found, expected] = [&found, &self.expected].map(|bytes| hexadecimal(bytes));
        let mut text = format!("the {} of '", self.hash.name().to_ascii_uppercase()).into_bytes();
        text.extend_from_slice(&self.name);
        text.extend_from_slice(format!("' is {found}, where the manifest says {expected}").as_bytes());
        Err(Fault::new(fault::ova::DIGEST).named(&text).in_file(self.slot))
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes whatever is written to it.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
