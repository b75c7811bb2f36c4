//! The job of a run: what is to be done, within the bounds of the policy.

use instar_abi::FileFacts;
use instar_abi::job::{Bounds, Job, Seed, Verb};

use crate::{Policy, UNTRUSTED_SIZE};

impl Policy {
    /// The largest virtual size of an image.
    pub(crate) fn largest(&self) -> u64 {
        let cap = match self.untrusted {
            true => UNTRUSTED_SIZE,
            false => Bounds::default().virtual_size,
        };
        self.max_size.unwrap_or(cap)
    }

    /// The job for `verb` on `files`. `seed` is asked for where identifiers or times are made.
    pub fn job(&self, verb: Verb, files: Vec<FileFacts>, seed: impl FnOnce() -> Seed) -> Job {
        let default = Bounds::default();
        let largest = match verb {
            Verb::Safety(_) => self.max_size.unwrap_or(UNTRUSTED_SIZE),
            _ => self.largest(),
        };
        // For what is written, and for what an image that is walked through must not be able to foresee.
        let seed = match verb {
            Verb::Info(_) | Verb::Snapshots(_) | Verb::Check(_) => Seed::default(),
            _ => seed(),
        };
        Job {
            verb,
            files,
            bounds: Bounds {
                chain_depth: self.max_chain,
                virtual_size: largest,
                untrusted: self.untrusted,
                archives: default.archives,
                // Who bounds the output need not guess at what a sound image may come to.
                amplification: self.max_output.map_or(default.amplification, |_| u64::MAX),
            },
            seed,
        }
    }
}

/// A seed that nobody can foresee, and the time.
#[must_use]
pub fn fresh_seed() -> Seed {
    let mut random = [0; 32];
    // A machine without it cannot make good identifiers, but it can convert images.
    let _ = std::fs::File::open("/dev/urandom")
        .and_then(|mut source| std::io::Read::read_exact(&mut source, &mut random));
    let unix_seconds = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Seed { random, unix_seconds }
}
