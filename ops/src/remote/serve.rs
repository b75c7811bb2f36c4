//! A batch of which some is for servers.

use alloc::vec;
use alloc::vec::Vec;

use instar_disk::{
    Action, CompareRange, Extent, Fault, Io, IoError, Result, Slot, ZeroHow, errno, fault, from_usize,
    to_usize,
};
use instar_nbd::Read;

use super::line::Line;
use super::{Disk, Remote};
use crate::within::again;

/// The outcome of a request.
type Done = core::result::Result<u64, IoError>;

/// Bytes of each side that are compared at a time. Ours.
const COMPARED: u64 = 1 << 20;

impl Remote<'_> {
    /// Carries out a batch, in order as far as anything depends on it.
    pub(super) fn carry_out(&self, batch: &mut [Io<'_>]) {
        for io in batch.iter_mut() {
            io.outcome = Err(IoError::CANCELLED);
        }
        let mut rest = batch;
        while !rest.is_empty() {
            let together = rest.iter().take_while(|io| self.is_simple(&io.action)).count();
            let (now, behind) = rest.split_at_mut(together);
            self.together(now);
            if now.iter().any(|io| io.outcome.is_err()) {
                return;
            }
            let Some((next, behind)) = behind.split_first_mut() else {
                return;
            };
            next.outcome = self.alone(&mut next.action);
            if next.outcome.is_err() {
                return;
            }
            rest = behind;
        }
    }

    /// Whether it is for the host, or a read of an export.
    fn is_simple(&self, action: &Action<'_>) -> bool {
        match action {
            Action::Read { .. } => action.is_in_reach(),
            // Of the connection itself.
            Action::Receive { .. } | Action::Send { .. } => true,
            _ => {
                let (slot, other) = action.slots();
                self.disk(slot).is_none() && other.is_none_or(|other| self.disk(other).is_none())
            }
        }
    }

    /// Reads of exports, and anything for the host, which is done meanwhile.
    fn together(&self, batch: &mut [Io<'_>]) {
        let mut local: Vec<(usize, Io<'_>)> = Vec::new();
        let mut reads: Vec<(usize, &Disk, Read<'_>, u64)> = Vec::new();
        for (at, io) in batch.iter_mut().enumerate() {
            let action = again(&mut io.action);
            match action {
                Action::Read { slot, offset, into } => match self.disk(slot) {
                    Some(disk) => {
                        let room = to_usize(disk.size.saturating_sub(offset)).unwrap_or(usize::MAX);
                        let length = room.min(into.len());
                        let into = into.get_mut(..length).unwrap_or_default();
                        reads.push((at, disk, Read::new(offset, into), from_usize(length)));
                    }
                    None => local.push((at, Io::new(Action::Read { slot, offset, into }))),
                },
                other => local.push((at, Io::new(other))),
            }
        }
        let (numbers, mut local): (Vec<usize>, Vec<Io<'_>>) = local.into_iter().unzip();
        let mut sent = false;
        let mut meanwhile = || {
            if !core::mem::replace(&mut sent, true) && !local.is_empty() {
                self.host.submit(&mut local);
            }
        };
        let mut done: Vec<(usize, Done, u64)> = Vec::new();
        for disk in &self.disks {
            let of_disk = |read: &(usize, &Disk, Read<'_>, u64)| read.1.slot == disk.slot;
            let (mine, others): (Vec<_>, Vec<_>) = reads.into_iter().partition(of_disk);
            reads = others;
            if mine.is_empty() {
                continue;
            }
            let mut places = Vec::new();
            let mut asked = Vec::new();
            for (at, _, read, length) in mine {
                places.push((at, length));
                asked.push(read);
            }
            let mut line = Line::new(self.host, disk.slot);
            disk.connection.with(self.host, |connection| {
                connection.read(&mut line, &mut asked, &mut meanwhile);
            });
            for ((at, length), read) in places.into_iter().zip(asked) {
                done.push((at, read.outcome.map(|()| length).map_err(|fault| said(&fault)), 0));
            }
        }
        meanwhile();
        done.extend(
            numbers
                .into_iter()
                .zip(&local)
                .map(|(at, io)| (at, io.outcome, io.shared)),
        );
        drop(local);
        done.sort_unstable_by_key(|(at, ..)| *at);
        for (io, (_, outcome, shared)) in batch.iter_mut().zip(done) {
            io.outcome = outcome;
            io.shared = shared;
            if outcome.is_err() {
                // Those behind it count as not done.
                return;
            }
        }
    }

    /// Anything else that has to do with an export.
    fn alone(&self, action: &mut Action<'_>) -> Done {
        if !action.is_in_reach() {
            return Err(IoError::OUT_OF_REACH);
        }
        match action {
            Action::Compare(compare) => self.compare(compare),
            // What a verb would have the host do, it does itself with what is remote.
            Action::Copy(_) => Err(refused(errno::EOPNOTSUPP)),
            Action::Sharable { .. } => Ok(0),
            _ => {
                let (slot, _) = action.slots();
                let disk = self.disk(slot).ok_or_else(|| refused(errno::EINVAL))?;
                self.on_disk(disk, action).map_err(|fault| said(&fault))
            }
        }
    }

    fn on_disk(&self, disk: &Disk, action: &mut Action<'_>) -> Result<u64> {
        let mut line = Line::new(self.host, disk.slot);
        let mut with = |work: &mut dyn FnMut(&mut instar_nbd::Connection, &mut Line<'_>) -> Result<()>| {
            disk.connection
                .with(self.host, |connection| work(connection, &mut line))
        };
        match action {
            Action::Write { offset, from, .. } => {
                disk.changes(*offset, from_usize(from.len()))?;
                with(&mut |connection, line| connection.write(line, *offset, from))?;
                Ok(from_usize(from.len()))
            }
            Action::Zero {
                offset, length, how, ..
            } => {
                disk.changes(*offset, *length)?;
                let unmap = *how == ZeroHow::MayUnmap;
                with(&mut |connection, line| connection.zero(line, *offset, *length, unmap))?;
                Ok(0)
            }
            Action::Discard { offset, length, .. } => {
                disk.changes(*offset, *length)?;
                with(&mut |connection, line| connection.discard(line, *offset, *length))?;
                Ok(0)
            }
            Action::Extents {
                offset, length, into, ..
            } => {
                let mut filled = 0;
                if *offset < disk.size && *length > 0 {
                    with(&mut |connection, line| {
                        let mut rooms = into.iter_mut();
                        connection.extents(line, *offset, *length, |length, data| match rooms.next() {
                            Some(room) => {
                                *room = Extent { length, data };
                                filled = u64::saturating_add(filled, 1);
                                true
                            }
                            None => false,
                        })
                    })?;
                }
                Ok(filled)
            }
            Action::Flush { .. } => {
                if !disk.read_only {
                    with(&mut |connection, line| connection.flush(line))?;
                }
                Ok(0)
            }
            // As of a device: it is large enough, or there is no space.
            Action::Resize { length, .. } => {
                disk.changes(0, *length)?;
                Ok(0)
            }
            // Servers do not say how much they store.
            Action::Allocated { .. } => Ok(disk.size),
            Action::Advise { .. } => Ok(0),
            _ => Err(Fault::new(fault::core::IO).with([errno::EINVAL])),
        }
    }

    /// How many bytes are the same, from the start; what lies past an end reads as zeros.
    fn compare(&self, asked: &CompareRange) -> Done {
        let mut same = 0;
        while same < asked.length {
            let step = asked.length.saturating_sub(same).min(COMPARED);
            let one = self.bytes(asked.slot, asked.offset.saturating_add(same), step)?;
            let other = match asked.other {
                Some((slot, offset)) => self.bytes(slot, offset.saturating_add(same), step)?,
                None => vec![0; one.len()],
            };
            let alike = one.iter().zip(&other).take_while(|(one, other)| one == other);
            let count = if one == other { one.len() } else { alike.count() };
            same = same.saturating_add(from_usize(count));
            if count < one.len() {
                break;
            }
        }
        Ok(same)
    }

    fn bytes(&self, slot: Slot, offset: u64, length: u64) -> core::result::Result<Vec<u8>, IoError> {
        let length = to_usize(length).map_err(|fault| said(&fault))?;
        let mut bytes = vec![0; length];
        let mut io = [Io::new(Action::Read {
            slot,
            offset,
            into: &mut bytes,
        })];
        self.carry_out(&mut io);
        let [io] = io;
        io.outcome?;
        Ok(bytes)
    }
}

impl Disk {
    /// The right to change these bytes.
    fn changes(&self, offset: u64, length: u64) -> Result<()> {
        if self.read_only {
            return Err(Fault::new(fault::nbd::READ_ONLY));
        }
        if offset.saturating_add(length) > self.size {
            return Err(Fault::new(fault::core::IO).with([errno::ENOSPC]));
        }
        Ok(())
    }
}

/// A fault as the outcome of a request: the errno of the host or of the server, or a code that has no numbers.
fn said(fault: &Fault) -> IoError {
    let [errno, ..] = fault.numbers;
    match (fault.code, u32::try_from(errno)) {
        (fault::core::IO, Ok(errno)) => IoError(errno),
        (fault::core::IO, Err(_)) => IoError::OUT_OF_REACH,
        (code, _) => IoError(code.0.into()),
    }
}

fn refused(errno: u64) -> IoError {
    IoError(u32::try_from(errno).unwrap_or(u32::MAX))
}
