//! A connection to an export, and the requests whose replies have no data.

use alloc::collections::VecDeque;
use alloc::vec;

use instar_disk::{Fault, Result, align_down, align_up, fault, from_usize, to_usize};
use zerocopy::IntoBytes;

use crate::export::Export;
use crate::extents::Known;
use crate::handshake;
use crate::raw::{REQUEST, RawRequest, command};
use crate::reads::Read;
use crate::replies::{Head, refused};
use crate::wire::{Inbox, Wire};

/// Requests that wait for their replies at once. Ours: servers take sixteen.
pub(crate) const WINDOW: usize = 8;
/// Bytes of a request that is one of several. Ours: long enough for the server's disk, short enough that the window is never all that the
/// memory of a server holds.
pub(crate) const PIECE: u64 = 2 << 20;
/// Chunks of one reply. Ours: twice the sectors of a piece.
pub(crate) const CHUNKS: u32 = 8192;
/// Bytes of a request that moves no data. Ours: a length has 32 bits.
const RANGE: u64 = 1 << 30;

/// A connection to an export.
#[derive(Debug)]
pub struct Connection {
    pub(crate) export: Export,
    pub(crate) inbox: Inbox,
    /// The next request's.
    pub(crate) cookie: u64,
    /// Why it cannot be used any more.
    broken: Option<Fault>,
    /// What is known of where data is.
    pub(crate) known: Known,
}

/// A request whose reply has no data.
pub(crate) struct Command<'a> {
    pub(crate) command: u16,
    pub(crate) flags: u16,
    pub(crate) offset: u64,
    pub(crate) length: u64,
    pub(crate) data: &'a [u8],
}

impl Connection {
    /// Negotiates the export of that name.
    ///
    /// # Errors
    /// What the server says, or what is wrong with how it says it.
    pub fn open(wire: &mut dyn Wire, name: &[u8]) -> Result<Self> {
        let mut inbox = Inbox::new();
        let export = handshake::negotiate(wire, &mut inbox, name)?;
        Ok(Self {
            export,
            inbox,
            cookie: 1,
            broken: None,
            known: Known::default(),
        })
    }

    /// What the server says of the disk.
    #[must_use]
    pub const fn export(&self) -> &Export {
        &self.export
    }

    /// Writes all of `from`.
    pub fn write(&mut self, wire: &mut dyn Wire, offset: u64, from: &[u8]) -> Result<()> {
        self.known.forget();
        let blocks = self.export.blocks();
        let end = offset.saturating_add(from_usize(from.len()));
        if offset.is_multiple_of(blocks.minimum)
            && (end.is_multiple_of(blocks.minimum) || end == self.export.size())
        {
            let most = to_usize(PIECE.min(blocks.maximum))?;
            let starts = (0..).step_by(most).map(|done| offset.saturating_add(done));
            let pieces = from.chunks(most).zip(starts);
            return self.carry_out(
                wire,
                pieces.map(|(data, offset)| Command {
                    command: command::WRITE,
                    flags: 0,
                    offset,
                    length: from_usize(data.len()),
                    data,
                }),
            );
        }
        // The blocks at its ends are written as they are around it.
        let start = align_down(offset, blocks.minimum);
        let whole = align_up(end, blocks.minimum)?.min(self.export.size());
        let mut patched = vec![0; to_usize(whole.saturating_sub(start))?];
        let mut read = [Read::new(start, &mut patched)];
        self.read(wire, &mut read, &mut || {});
        let [read] = read;
        read.outcome?;
        let at = to_usize(offset.saturating_sub(start))?;
        for (to, from) in patched.iter_mut().skip(at).zip(from) {
            *to = *from;
        }
        self.write(wire, start, &patched)
    }

    /// Makes a range read as zeros; a hole will do, if `may_unmap`.
    pub fn zero(&mut self, wire: &mut dyn Wire, offset: u64, length: u64, may_unmap: bool) -> Result<()> {
        self.known.forget();
        let whole = self.inner(offset, length);
        if !self.export.zeroes() || whole.is_empty() {
            return self.write_zeros(wire, offset, length);
        }
        let end = offset.saturating_add(length);
        self.write_zeros(wire, offset, whole.start.saturating_sub(offset))?;
        self.write_zeros(wire, whole.end, end.saturating_sub(whole.end))?;
        let flags = if may_unmap { 0 } else { command::NO_HOLE };
        self.over(wire, command::WRITE_ZEROES, flags, whole)
    }

    /// Gives space back.
    pub fn discard(&mut self, wire: &mut dyn Wire, offset: u64, length: u64) -> Result<()> {
        self.known.forget();
        let whole = self.inner(offset, length);
        if !self.export.trims() || whole.is_empty() {
            return Ok(());
        }
        self.over(wire, command::TRIM, 0, whole)
    }

    /// What was written is on stable storage, as far as the server knows of one.
    pub fn flush(&mut self, wire: &mut dyn Wire) -> Result<()> {
        if !self.export.flushes() {
            return Ok(());
        }
        self.over(wire, command::FLUSH, 0, 0..0)
    }

    /// Tells the server that nothing more comes.
    pub fn close(&mut self, wire: &mut dyn Wire) -> Result<()> {
        self.guarded(|connection| {
            connection
                .request(wire, command::DISCONNECT, 0, 0, 0, &[])
                .map(|_| ())
        })
    }

    /// The blocks that lie in the range as a whole.
    fn inner(&self, offset: u64, length: u64) -> core::ops::Range<u64> {
        let minimum = self.export.blocks().minimum;
        let end = offset.saturating_add(length);
        let last = if end == self.export.size() {
            end
        } else {
            align_down(end, minimum)
        };
        let first = align_up(offset, minimum).unwrap_or(last);
        first..last.max(first)
    }

    fn write_zeros(&mut self, wire: &mut dyn Wire, offset: u64, length: u64) -> Result<()> {
        let zeros = vec![0; to_usize(length.min(PIECE))?];
        let mut done = 0;
        while done < length {
            let step = length.saturating_sub(done).min(PIECE);
            let piece = zeros.get(..to_usize(step)?).unwrap_or_default();
            self.write(wire, offset.saturating_add(done), piece)?;
            done = done.saturating_add(step);
        }
        Ok(())
    }

    /// One command over a range, in as many requests as it takes.
    fn over(
        &mut self,
        wire: &mut dyn Wire,
        command: u16,
        flags: u16,
        range: core::ops::Range<u64>,
    ) -> Result<()> {
        let length = range.end.saturating_sub(range.start);
        let count = length.div_ceil(RANGE).max(1);
        self.carry_out(
            wire,
            (0..count).map(|number| {
                let done = number.saturating_mul(RANGE);
                Command {
                    command,
                    flags,
                    offset: range.start.saturating_add(done),
                    length: length.saturating_sub(done).min(RANGE),
                    data: &[],
                }
            }),
        )
    }

    /// Makes all the requests, several before the first reply.
    ///
    /// # Errors
    /// The first that failed.
    pub(crate) fn carry_out<'a>(
        &mut self,
        wire: &mut dyn Wire,
        commands: impl Iterator<Item = Command<'a>>,
    ) -> Result<()> {
        let mut commands = commands.fuse();
        let refusal = self.guarded(|connection| {
            let mut waiting = VecDeque::new();
            let mut refusal = None;
            loop {
                while waiting.len() < WINDOW && refusal.is_none() {
                    let Some(next) = commands.next() else { break };
                    let Command {
                        command,
                        flags,
                        offset,
                        length,
                        data,
                    } = next;
                    let cookie = connection.request(wire, command, flags, offset, length, data)?;
                    waiting.push_back(cookie);
                }
                if waiting.is_empty() {
                    return Ok(refusal);
                }
                refusal = connection.answered(wire, &mut waiting)?.or(refusal);
            }
        })?;
        refusal.map_or(Ok(()), |errno| Err(refused(errno)))
    }

    /// Waits for the end of one of the replies that are due; its errno, if that failed.
    fn answered(&mut self, wire: &mut dyn Wire, waiting: &mut VecDeque<u64>) -> Result<Option<u64>> {
        let mut errno = None;
        for _ in 0..CHUNKS {
            let (cookie, done) = match self.head(wire)? {
                Head::Simple { cookie, failed } => {
                    errno = failed.or(errno);
                    (cookie, true)
                }
                Head::Chunk {
                    cookie,
                    kind,
                    length,
                    done,
                } => {
                    errno = self.plain_chunk(wire, kind, length, done)?.or(errno);
                    (cookie, done)
                }
            };
            let at = waiting.iter().position(|due| *due == cookie);
            let at = at.ok_or_else(|| Fault::new(fault::nbd::COOKIE))?;
            if done {
                waiting.remove(at);
                return Ok(errno);
            }
        }
        Err(Fault::new(fault::nbd::CHUNKS))
    }

    /// Makes a request; gives its cookie.
    pub(crate) fn request(
        &mut self,
        wire: &mut dyn Wire,
        command: u16,
        flags: u16,
        offset: u64,
        length: u64,
        data: &[u8],
    ) -> Result<u64> {
        let cookie = self.cookie;
        self.cookie = cookie.wrapping_add(1);
        let length = u32::try_from(length).map_err(|_| Fault::new(fault::core::OVERFLOW).with([length]))?;
        let head = RawRequest {
            magic: REQUEST.into(),
            flags: flags.into(),
            command: command.into(),
            cookie: cookie.into(),
            offset: offset.into(),
            length: length.into(),
        };
        wire.send(head.as_bytes())?;
        if !data.is_empty() {
            wire.send(data)?;
        }
        Ok(cookie)
    }

    /// Does what an unbroken connection is for; what breaks it is the answer from then on.
    pub(crate) fn guarded<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if let Some(fault) = &self.broken {
            return Err(fault.clone());
        }
        let done = work(self);
        if let Err(fault) = &done {
            self.broken = Some(fault.clone());
        }
        done
    }
}
