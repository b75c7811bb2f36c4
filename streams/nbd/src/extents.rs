//! Where an export has data, as `base:allocation` tells.

use alloc::vec::Vec;

use instar_disk::{Fault, Result, align_down, fault, from_usize};
use zerocopy::big_endian::U32;

use crate::connection::{CHUNKS, Connection};
use crate::raw::{RawDescriptor, STATE_ZERO, chunk, command};
use crate::replies::{Head, refused};
use crate::wire::Wire;

/// A piece of the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Extent {
    end: u64,
    data: bool,
}

/// What the last answer said.
#[derive(Debug, Default)]
pub(crate) struct Known {
    start: u64,
    extents: Vec<Extent>,
}

impl Known {
    /// Something was written.
    pub(crate) fn forget(&mut self) {
        self.extents.clear();
    }

    /// The extents from `offset` on: the end of each, and whether it has data.
    fn from(&self, offset: u64) -> Option<impl Iterator<Item = (u64, bool)>> {
        let at = self.extents.partition_point(|extent| extent.end <= offset);
        let rest = self.extents.get(at..).filter(|rest| !rest.is_empty());
        let rest = rest.filter(|_| offset >= self.start)?;
        Some(rest.iter().map(|extent| (extent.end, extent.data)))
    }
}

/// Bytes that are asked about at once. Ours: a length has 32 bits.
const ASKED: u64 = 1 << 31;
/// Bytes of an answer. The protocol asks servers for no more than 32 MiB; ours is what nbdkit and qemu-nbd send at most, and some.
const ANSWER_BYTES: u32 = (16 << 20) + 4;
/// Extents of an answer that are kept; those behind them are asked for again. Ours: 1 MiB.
const KEPT: usize = 1 << 16;

impl Connection {
    /// What is known of the bytes from `offset` on, which the export has, up to `length` of them: fills `into` with the length of each
    /// extent and whether it has data; gives how many, at least one.
    pub fn extents(
        &mut self,
        wire: &mut dyn Wire,
        offset: u64,
        length: u64,
        mut put: impl FnMut(u64, bool) -> bool,
    ) -> Result<()> {
        let end = offset.saturating_add(length).min(self.export.size());
        let Some(context) = self.export.context else {
            put(end.saturating_sub(offset), true);
            return Ok(());
        };
        if self.known.from(offset).is_none() {
            self.known = self.ask(wire, context, offset)?;
        }
        let mut at = offset;
        for (known, data) in self.known.from(offset).into_iter().flatten() {
            let until = known.min(end);
            if at >= until || !put(until.saturating_sub(at), data) {
                break;
            }
            at = until;
        }
        Ok(())
    }

    fn ask(&mut self, wire: &mut dyn Wire, context: u32, offset: u64) -> Result<Known> {
        let blocks = self.export.blocks();
        let start = align_down(offset, blocks.minimum);
        let length = self.export.size().saturating_sub(start).min(ASKED);
        let answer = self.guarded(|connection| {
            let cookie = connection.request(wire, command::BLOCK_STATUS, 0, start, length, &[])?;
            connection.status(wire, context, cookie, start)
        })?;
        answer.map_err(refused)
    }

    /// Waits for the reply: the map, or an errno.
    fn status(
        &mut self,
        wire: &mut dyn Wire,
        context: u32,
        cookie: u64,
        start: u64,
    ) -> Result<core::result::Result<Known, u64>> {
        let asked = cookie;
        let (mut known, mut errno) = (None, None);
        for _ in 0..CHUNKS {
            let done = match self.head(wire)? {
                Head::Simple { cookie, failed } => {
                    due(asked, cookie)?;
                    // A map has no other form than a chunk.
                    errno = Some(failed.ok_or_else(|| Fault::new(fault::nbd::REPLY))?);
                    true
                }
                Head::Chunk {
                    cookie,
                    kind,
                    length,
                    done,
                } => {
                    due(asked, cookie)?;
                    if kind == chunk::BLOCK_STATUS {
                        let again = known.replace(self.map(wire, context, length, start)?);
                        if again.is_some() {
                            return Err(Fault::new(fault::nbd::EXTENTS));
                        }
                    } else {
                        errno = self.plain_chunk(wire, kind, length, done)?.or(errno);
                    }
                    done
                }
            };
            if done {
                return match (errno, known) {
                    (Some(errno), _) => Ok(Err(errno)),
                    (None, Some(known)) => Ok(Ok(known)),
                    (None, None) => Err(Fault::new(fault::nbd::MISSING)),
                };
            }
        }
        Err(Fault::new(fault::nbd::CHUNKS))
    }

    fn map(&mut self, wire: &mut dyn Wire, context: u32, length: u32, start: u64) -> Result<Known> {
        let bytes = length.checked_sub(4).filter(|_| length <= ANSWER_BYTES);
        let bytes = bytes.filter(|bytes| *bytes > 0 && bytes.is_multiple_of(8));
        let count = bytes.ok_or_else(|| Fault::new(fault::nbd::LENGTH))? / 8;
        let number: U32 = self.inbox.take(wire)?;
        if number.get() != context {
            return Err(Fault::new(fault::nbd::EXTENTS));
        }
        let (mut at, mut extents) = (start, Vec::<Extent>::new());
        let mut left = count;
        while left > 0 && extents.len() < KEPT {
            let raw: RawDescriptor = self.inbox.take(wire)?;
            left = left.saturating_sub(1);
            let end = at.checked_add(raw.length.get().into());
            let end = end
                .filter(|end| *end > at)
                .ok_or_else(|| Fault::new(fault::nbd::EXTENTS))?;
            at = end;
            let data = raw.state.get() & STATE_ZERO == 0;
            match extents.last_mut() {
                Some(last) if last.data == data => last.end = end,
                _ => extents.push(Extent { end, data }),
            }
        }
        self.inbox.skip(
            wire,
            u64::from(left).saturating_mul(from_usize(size_of::<RawDescriptor>())),
        )?;
        Ok(Known { start, extents })
    }
}

/// Whether that is the reply that is due.
fn due(asked: u64, cookie: u64) -> Result<()> {
    if asked == cookie {
        return Ok(());
    }
    Err(Fault::new(fault::nbd::COOKIE))
}
