//! What carries the bytes, and what came that has not been looked at.

use alloc::vec;
use alloc::vec::Vec;

use instar_disk::{Fault, Result, fault, from_usize, to_usize};
use zerocopy::{FromBytes, IntoBytes};

/// A connection, as bytes in order.
pub trait Wire {
    /// Sends all of it.
    fn send(&mut self, bytes: &[u8]) -> Result<()>;

    /// The next bytes, as soon as there are some: how many; 0 when the connection has ended.
    fn receive(&mut self, into: &mut [u8]) -> Result<usize>;
}

/// Bytes that came with others. Heads of replies are small, and each receipt costs a doorbell.
#[derive(Debug)]
pub(crate) struct Inbox {
    bytes: Vec<u8>,
    at: usize,
    end: usize,
}

/// Bytes that are asked for when a head is wanted. Ours.
const ROOM: usize = 4096;

impl Inbox {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0; ROOM],
            at: 0,
            end: 0,
        }
    }

    /// Fills `into`.
    ///
    /// # Errors
    /// `ENDED` when the connection ends first.
    pub(crate) fn fill(&mut self, wire: &mut dyn Wire, into: &mut [u8]) -> Result<()> {
        let mut done = 0_usize;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let waiting = self.bytes.get(self.at..self.end).unwrap_or_default();
            let moved = if !waiting.is_empty() {
                let count = waiting.len().min(rest.len());
                for (to, from) in rest.iter_mut().zip(waiting) {
                    *to = *from;
                }
                self.at = self.at.saturating_add(count);
                count
            } else if rest.len() >= ROOM {
                some(wire.receive(rest)?)?.min(rest.len())
            } else {
                self.end = some(wire.receive(&mut self.bytes)?)?.min(ROOM);
                self.at = 0;
                0
            };
            done = done.saturating_add(moved);
        }
        Ok(())
    }

    /// The next structure.
    pub(crate) fn take<T: FromBytes + IntoBytes>(&mut self, wire: &mut dyn Wire) -> Result<T> {
        let mut taken = T::new_zeroed();
        self.fill(wire, taken.as_mut_bytes())?;
        Ok(taken)
    }

    /// Goes past so many bytes.
    pub(crate) fn skip(&mut self, wire: &mut dyn Wire, length: u64) -> Result<()> {
        let mut left = length;
        let mut into = [0; 512];
        while left > 0 {
            let step = left.min(from_usize(into.len()));
            let piece = into.get_mut(..to_usize(step)?).unwrap_or_default();
            self.fill(wire, piece)?;
            left = left.saturating_sub(step);
        }
        Ok(())
    }
}

fn some(received: usize) -> Result<usize> {
    match received {
        0 => Err(Fault::new(fault::nbd::ENDED)),
        some => Ok(some),
    }
}
