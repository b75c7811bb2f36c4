//! Heads of replies, and what a request without data in its reply is answered with.

use instar_disk::{Fault, Result, errno, fault};

use crate::connection::Connection;
use crate::raw::{CHUNK, RawChunk, RawError, RawSimple, SIMPLE_REPLY, chunk};
use crate::wire::Wire;

/// What comes next.
pub(crate) enum Head {
    /// All of a reply; the data of a read follows if nothing failed.
    Simple {
        cookie: u64,
        /// Its errno, if it failed.
        failed: Option<u64>,
    },
    /// A part of one; a payload of `length` bytes follows.
    Chunk {
        cookie: u64,
        kind: u16,
        length: u32,
        /// The last one.
        done: bool,
    },
}

/// Bytes of the payload of an error. Ours: its words have 64 KiB at most.
const ERROR_BYTES: u32 = 66 << 10;

impl Connection {
    /// The head of what comes next.
    pub(crate) fn head(&mut self, wire: &mut dyn Wire) -> Result<Head> {
        let magic: zerocopy::big_endian::U32 = self.inbox.take(wire)?;
        match magic.get() {
            SIMPLE_REPLY => {
                let raw: RawSimple = self.inbox.take(wire)?;
                Ok(Head::Simple {
                    cookie: raw.cookie.get(),
                    failed: failed(raw.error.get()),
                })
            }
            CHUNK if self.export.structured => {
                let raw: RawChunk = self.inbox.take(wire)?;
                Ok(Head::Chunk {
                    cookie: raw.cookie.get(),
                    kind: raw.kind.get(),
                    length: raw.length.get(),
                    done: raw.flags.get() & chunk::DONE != 0,
                })
            }
            _ => Err(Fault::new(fault::nbd::REPLY)),
        }
    }

    /// A chunk without data of its own: the errno in it, if it is an error.
    pub(crate) fn plain_chunk(
        &mut self,
        wire: &mut dyn Wire,
        kind: u16,
        length: u32,
        done: bool,
    ) -> Result<Option<u64>> {
        if kind & chunk::ERROR != 0 {
            let words = length.checked_sub(6).filter(|_| length <= ERROR_BYTES);
            let words = words.ok_or_else(|| Fault::new(fault::nbd::LENGTH))?;
            let raw: RawError = self.inbox.take(wire)?;
            self.inbox.skip(wire, words.into())?;
            return Ok(Some(failed(raw.error.get()).unwrap_or(errno::EIO)));
        }
        match (kind, length, done) {
            (chunk::NONE, 0, true) => Ok(None),
            (chunk::NONE, ..) => Err(Fault::new(fault::nbd::LENGTH)),
            _ => Err(Fault::new(fault::nbd::REPLY)),
        }
    }
}

/// The errno of a reply. Those of the protocol are those of Linux, and any other means what it cannot say.
fn failed(error: u32) -> Option<u64> {
    match error {
        0 => None,
        1 | 5 | 12 | 22 | 28 | 75 | 95 | 108 => Some(error.into()),
        _ => Some(errno::EINVAL),
    }
}

/// The fault of a request that failed.
pub(crate) fn refused(errno: u64) -> Fault {
    Fault::new(fault::core::IO).with([errno])
}
