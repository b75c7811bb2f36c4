//! [`Host`] over the mailbox: actions become requests, results become outcomes.

use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use instar_abi::fault::core as faults;
use instar_abi::layout::{HEAP, STACKS};
use instar_abi::limits::{BATCH, REPORT_BYTES, TRANSFER};
use instar_abi::report::{Failure, Stage};
use instar_abi::request::{
    DETAIL_BUSY, DETAIL_CALLED_DMG, ExtentRecord, Op, Preallocate, ZERO_MAY_UNMAP, ZeroHow, status,
};
use instar_abi::{Fault, FileFacts, FileKind, RawRequest, RawResult, Report, Role, Slot, encode};
use instar_disk::{Action, Extent, Host, Io, IoError};

use super::doorbell::{self, Mailbox};
use super::{crew, entry, last};

/// The host, as every lane sees it. Its state lies in the mailboxes.
pub(super) struct Client;

/// Steps of progress that are worth a request.
const STEPS: u64 = 2000;

/// Progress that is sent with the next batch: done and total, both 0 if there is none.
static PROGRESS: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];
/// The step last sent.
static STEP_SENT: AtomicU64 = AtomicU64::new(0);

impl Client {
    /// The end. The last report said how it went.
    pub(super) fn exit(&self) -> ! {
        send(RawRequest {
            op: Op::EXIT.0,
            ..RawRequest::default()
        });
        last::fault()
    }
}

impl Host for Client {
    fn submit(&self, batch: &mut [Io<'_>]) {
        for io in batch.iter_mut() {
            io.outcome = Err(IoError::CANCELLED);
        }
        let mut rest = batch;
        while let Some(first) = rest.first_mut() {
            if !first.action.is_in_reach() {
                // An offset from an image, which the host would take for a broken contract.
                first.outcome = Err(IoError::OUT_OF_REACH);
                return;
            }
            if is_long(&first.action) {
                transfer_long(first);
                if first.outcome.is_err() {
                    return;
                }
                rest = &mut rest[1..];
                continue;
            }
            // One place is kept for progress.
            let simple = |io: &&Io<'_>| !is_long(&io.action) && io.action.is_in_reach();
            let together = rest.iter().take_while(simple).count();
            let (now, later) = rest.split_at_mut(together.min(BATCH - 1));
            exchange(now);
            if now.iter().any(|io| io.outcome.is_err()) {
                return;
            }
            rest = later;
        }
    }

    fn open(&self, namer: Slot, role: Role, name: &[u8]) -> instar_disk::Result<FileFacts> {
        let heard = name.to_vec();
        let (address, length) = place(&heard);
        let result = send(RawRequest {
            op: Op::OPEN.0,
            flags: role.number(),
            slot: namer.0,
            address,
            length,
            ..RawRequest::default()
        });
        let code = match result.status {
            status::OK => {
                return Ok(FileFacts {
                    slot: Slot(u32::try_from(result.value).unwrap_or(u32::MAX)),
                    size: result.extra,
                    kind: if result.detail & !(DETAIL_BUSY | DETAIL_CALLED_DMG) == 2 {
                        FileKind::Block
                    } else {
                        FileKind::Regular
                    },
                    writable: false,
                    busy: result.detail & DETAIL_BUSY != 0,
                    called_dmg: result.detail & DETAIL_CALLED_DMG != 0,
                });
            }
            status::REFUSED_UNTRUSTED => faults::REFUSED_UNTRUSTED,
            status::REFUSED_OUTSIDE => faults::REFUSED_OUTSIDE,
            status::REFUSED_NAME => faults::REFUSED_NAME,
            status::REFUSED_KIND => faults::REFUSED_KIND,
            status::REFUSED_COUNT => faults::REFUSED_COUNT,
            status::REFUSED_LOCK => faults::REFUSED_LOCK,
            status::REFUSED_TARGET => faults::REFUSED_TARGET,
            _ => faults::IO,
        };
        Err(Fault::new(code)
            .with([u64::from(result.status)])
            .named(name)
            .in_file(namer))
    }

    fn lanes(&self) -> usize {
        entry::lanes() as usize
    }

    fn parallel(&self, work: &(dyn Fn(usize) + Sync)) {
        crew::parallel(work);
    }

    fn wait(&self, word: &AtomicU32, expected: u32) {
        doorbell::wait(word, expected);
    }

    fn wake(&self, word: &AtomicU32) {
        doorbell::wake(word);
    }

    fn report(&self, report: &Report) {
        let bytes = match encode(report) {
            Ok(bytes) if bytes.len() <= REPORT_BYTES => bytes,
            // What an image makes us say is longer than anyone would read.
            refused => {
                let length = refused.map_or(0, |bytes| bytes.len() as u64);
                let fault = Fault::new(faults::TABLE_LIMIT).with([length, REPORT_BYTES as u64]);
                let stage = Stage::Other;
                encode(&Report::Failed(Failure { stage, fault })).unwrap_or_default()
            }
        };
        let (address, length) = place(&bytes);
        send(RawRequest {
            op: Op::REPORT.0,
            address,
            length,
            ..RawRequest::default()
        });
    }

    fn progress(&self, done: u64, total: u64) {
        let step = done / (total / STEPS).max(1);
        if STEP_SENT.swap(step, Ordering::Relaxed) == step && done < total {
            return;
        }
        PROGRESS[0].store(done, Ordering::Relaxed);
        PROGRESS[1].store(total, Ordering::Relaxed);
        if done >= total {
            exchange(&mut []);
        }
    }
}

/// One batch, one doorbell; at most `BATCH - 1` actions, none of them long.
fn exchange(batch: &mut [Io<'_>]) {
    // Everything that allocates comes before the mailbox is touched.
    let mut records: Vec<Vec<ExtentRecord>> = batch
        .iter()
        .filter_map(|io| match &io.action {
            Action::Extents { into, .. } => Some(vec![ExtentRecord { length: 0, data: 0 }; into.len()]),
            _ => None,
        })
        .collect();
    let constants: Vec<Vec<u8>> = batch
        .iter()
        .filter_map(|io| match &io.action {
            Action::Write { from, .. } | Action::Send { from, .. } if is_constant(from) => {
                Some(from.to_vec())
            }
            _ => None,
        })
        .collect();
    let mut mailbox = Mailbox::mine();
    let before = usize::from(put_progress(&mut mailbox));
    let mut copies = constants.iter();
    let mut tables = records.iter_mut();
    for (index, io) in batch.iter_mut().enumerate() {
        let table = match io.action {
            Action::Extents { .. } => tables.next().map_or(&mut [][..], Vec::as_mut_slice),
            _ => &mut [],
        };
        let mut request = raw(&mut io.action, table);
        if let Action::Write { from, .. } | Action::Send { from, .. } = &io.action
            && is_constant(from)
            && let Some(copy) = copies.next()
        {
            (request.address, request.length) = place(copy);
        }
        mailbox.put(before + index, request);
    }
    if before + batch.len() == 0 {
        return;
    }
    mailbox.ring(before + batch.len());
    let mut tables = records.iter();
    for (index, io) in batch.iter_mut().enumerate() {
        let result = mailbox.result(before + index);
        io.outcome = outcome(result);
        io.shared = result.extra;
        if let Action::Extents { into, .. } = &mut io.action {
            let table = tables.next().map_or(&[][..], Vec::as_slice);
            let filled = usize::try_from(result.value).unwrap_or(usize::MAX);
            for (to, from) in into.iter_mut().zip(table).take(filled) {
                *to = Extent {
                    length: from.length,
                    data: from.data != 0,
                };
            }
        }
    }
}

/// One request that is no [`Action`].
fn send(request: RawRequest) -> RawResult {
    let mut mailbox = Mailbox::mine();
    mailbox.put(0, request);
    mailbox.ring(1);
    mailbox.result(0)
}

fn put_progress(mailbox: &mut Mailbox) -> bool {
    let total = PROGRESS[1].swap(0, Ordering::Relaxed);
    if total == 0 {
        return false;
    }
    mailbox.put(
        0,
        RawRequest {
            op: Op::PROGRESS.0,
            offset: PROGRESS[0].load(Ordering::Relaxed),
            length: total,
            ..RawRequest::default()
        },
    );
    true
}

const fn outcome(result: RawResult) -> Result<u64, IoError> {
    match result.status {
        status::OK => Ok(result.value),
        other => Err(IoError(other)),
    }
}

/// Longer than one request may be.
const fn is_long(action: &Action<'_>) -> bool {
    match action {
        Action::Read { into, .. } => into.len() as u64 > TRANSFER,
        Action::Write { from, .. } | Action::Send { from, .. } => from.len() as u64 > TRANSFER,
        _ => false,
    }
}

/// A read or write in several requests.
fn transfer_long(io: &mut Io<'_>) {
    let mut done = 0_u64;
    match &mut io.action {
        Action::Read { slot, offset, into } => {
            for piece in into.chunks_mut(TRANSFER as usize) {
                let wanted = piece.len() as u64;
                let mut part = [Io::new(Action::Read {
                    slot: *slot,
                    offset: offset.saturating_add(done),
                    into: piece,
                })];
                exchange(&mut part);
                let [part] = part;
                io.outcome = part.outcome.map(|moved| done.saturating_add(moved));
                match part.outcome {
                    Ok(moved) if moved == wanted => done = done.saturating_add(moved),
                    _ => return,
                }
            }
        }
        Action::Write { slot, offset, from } => {
            for piece in from.chunks(TRANSFER as usize) {
                let mut part = [Io::new(Action::Write {
                    slot: *slot,
                    offset: offset.saturating_add(done),
                    from: piece,
                })];
                exchange(&mut part);
                let [part] = part;
                done = done.saturating_add(piece.len() as u64);
                io.outcome = part.outcome.map(|_| done);
                if part.outcome.is_err() {
                    return;
                }
            }
        }
        Action::Send { slot, from } => {
            for piece in from.chunks(TRANSFER as usize) {
                let mut part = [Io::new(Action::Send {
                    slot: *slot,
                    from: piece,
                })];
                exchange(&mut part);
                let [part] = part;
                io.outcome = part.outcome;
                if part.outcome.is_err() {
                    return;
                }
            }
        }
        _ => {}
    }
}

/// Whether a buffer lies in the image itself, where the host does not read.
fn is_constant(buffer: &[u8]) -> bool {
    !buffer.is_empty() && (buffer.as_ptr().expose_provenance() as u64) < STACKS
}

/// Address and length of a buffer. An empty one may lie anywhere, so it gets an address that the host accepts.
fn place<T>(buffer: &[T]) -> (u64, u64) {
    let length = size_of_val(buffer) as u64;
    let address = if length == 0 {
        HEAP
    } else {
        buffer.as_ptr().expose_provenance() as u64
    };
    (address, length)
}

/// The same for a buffer that the host fills.
fn place_mut<T>(buffer: &mut [T]) -> (u64, u64) {
    buffer.as_mut_ptr().expose_provenance();
    place(buffer)
}

/// The action as a request; `table` takes the records of Extents.
fn raw(action: &mut Action<'_>, table: &mut [ExtentRecord]) -> RawRequest {
    match action {
        Action::Read { slot, offset, into } => {
            let (address, length) = place_mut(into);
            let base = simple(Op::READ, *slot, *offset, length);
            RawRequest { address, ..base }
        }
        Action::Write { slot, offset, from } => {
            let (address, length) = place(from);
            let base = simple(Op::WRITE, *slot, *offset, length);
            RawRequest { address, ..base }
        }
        Action::Zero {
            slot,
            offset,
            length,
            how,
        } => RawRequest {
            flags: flag(*how == ZeroHow::MayUnmap, ZERO_MAY_UNMAP),
            ..simple(Op::ZERO, *slot, *offset, *length)
        },
        Action::Discard { slot, offset, length } => simple(Op::DISCARD, *slot, *offset, *length),
        Action::Advise { slot, offset, length } => simple(Op::ADVISE, *slot, *offset, *length),
        Action::Extents {
            slot, offset, length, ..
        } => {
            let (address, extra) = place_mut(table);
            let base = simple(Op::EXTENTS, *slot, *offset, *length);
            RawRequest {
                address,
                extra,
                ..base
            }
        }
        Action::Resize {
            slot,
            length,
            preallocate,
        } => RawRequest {
            flags: match preallocate {
                Preallocate::Off => 0,
                Preallocate::Falloc => 1,
                Preallocate::Full => 2,
            },
            ..simple(Op::RESIZE, *slot, 0, *length)
        },
        Action::Flush { slot } => simple(Op::FLUSH, *slot, 0, 0),
        Action::Allocated { slot } => simple(Op::ALLOCATED, *slot, 0, 0),
        Action::Sharable { source, target } => RawRequest {
            other: target.0,
            ..simple(Op::SHARABLE, *source, 0, 0)
        },
        Action::Receive { slot, into } => {
            // What is longer than a transfer is received in part, as any of it may be.
            let most = into.len().min(TRANSFER as usize);
            let (address, length) = place_mut(into.get_mut(..most).unwrap_or_default());
            let base = simple(Op::RECEIVE, *slot, 0, length);
            RawRequest { address, ..base }
        }
        Action::Send { slot, from } => {
            let (address, length) = place(from);
            let base = simple(Op::SEND, *slot, 0, length);
            RawRequest { address, ..base }
        }
        Action::Copy(copy) => copy.to_raw(),
        Action::Compare(compare) => compare.to_raw(),
    }
}

fn simple(operation: Op, slot: Slot, offset: u64, length: u64) -> RawRequest {
    RawRequest {
        op: operation.0,
        slot: slot.0,
        offset,
        length,
        ..RawRequest::default()
    }
}

fn flag(set: bool, bit: u32) -> u32 {
    if set { bit } else { 0 }
}
