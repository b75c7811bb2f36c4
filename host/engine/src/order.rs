//! The order in which a batch is carried out, where it does not matter to the guest.
//!
//! The kernel lets one thread at a time write to a file, and the others spin. A lane that comes with bytes to write and bytes to read
//! reads first if another lane is writing: lanes take turns, and nobody waits.

use instar_abi::Request;

use crate::file::OpenFile;
use crate::slots::Slots;

/// Bytes whose writing is worth a turn. Ours: a twentieth of a millisecond.
const MUCH: u64 = 256 << 10;

/// A batch that first writes much to one file and then only reads from others.
#[derive(Debug)]
pub(crate) struct WritesThenReads<'a> {
    pub(crate) target: &'a OpenFile,
    /// Requests that write.
    pub(crate) writes: usize,
}

/// Whether a batch is of that kind.
pub(crate) fn writes_then_reads(
    slots: &Slots,
    requests: impl Iterator<Item = Request> + Clone,
) -> Option<WritesThenReads<'_>> {
    let Request::Write { slot: first, .. } = requests.clone().next()? else {
        return None;
    };
    let target = slots.get(first)?;
    let (mut writes, mut length, mut reading) = (0_usize, 0_u64, false);
    for request in requests {
        match request {
            Request::Write { slot, from, .. } if slot == first && !reading => {
                writes += 1;
                length = length.saturating_add(from.length);
            }
            Request::Read { slot, .. } if slots.get(slot)?.identity != target.identity => reading = true,
            _ => return None,
        }
    }
    (length >= MUCH).then_some(WritesThenReads { target, writes })
}
