//! Carrying out one request.

use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::time::Duration;

use instar_abi::request::{DETAIL_BUSY, DETAIL_CALLED_DMG, GuestRange};
use instar_abi::{CompareRange, CopyRange, FileKind, Request, Role, Slot};
use instar_memory::{GuestMemory, Violation};
use rustix::fs::{Advice, fadvise};
use rustix::io::Errno;

use crate::buffer::Buffer;
use crate::compare::Compare;
use crate::copy::{Copy, sharable};
use crate::file::{Failure, OpenFile, Outcome, to_usize};
use crate::serve::{Engine, outside};
use crate::{extents, resize, stream, zero};

/// What a request that was carried out says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) value: u64,
    pub(crate) detail: u32,
    pub(crate) extra: u64,
}

impl Answer {
    /// Only a number.
    pub(crate) fn counted(value: u64) -> Self {
        Self {
            value,
            ..Self::default()
        }
    }
}

/// A request ended the guest or failed.
pub(crate) enum Refusal {
    Failed(Failure),
    Broken(Violation),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self::Broken(violation)
    }
}

impl<M: Deref<Target = GuestMemory> + Send + Sync> Engine<M> {
    /// Carries out `request`. Its ranges are in bounds, its slots exist.
    pub(crate) fn carry_out(&self, request: &Request, buffer: &mut Buffer) -> Result<Answer, Refusal> {
        self.stop.check()?;
        match *request {
            Request::Open { namer, role, name } => self.open(namer, role, name),
            Request::Report { bytes } => self.report(bytes).map(|()| Answer::default()),
            Request::Progress { done, total } => {
                self.sink.progress(done, total);
                Ok(Answer::default())
            }
            Request::Wait { word, expected } => self.wait(word, expected).map(|()| Answer::default()),
            Request::Wake { word } => {
                self.memory.futex_wake(word.start, u32::MAX).map_err(outside)?;
                Ok(Answer::default())
            }
            // The batch ends before it comes here.
            Request::Exit => Ok(Answer::default()),
            Request::Copy(copy) => self.copy(copy, buffer),
            Request::Compare(compare) => self.compare(compare, buffer),
            _ => self.on_file(request, buffer),
        }
    }

    fn on_file(&self, request: &Request, buffer: &mut Buffer) -> Result<Answer, Refusal> {
        let (memory, stop) = (&*self.memory, &self.stop);
        match *request {
            Request::Read { slot, offset, into } => {
                let file = self.readable(slot, offset, into.length)?;
                counted(file.read(memory, offset, into, buffer))
            }
            Request::Write { slot, offset, from } => {
                done(self.file(slot)?.write(memory, offset, from, buffer))
            }
            Request::Zero {
                slot,
                offset,
                length,
                how,
            } => done(zero::zero(self.file(slot)?, offset, length, how, stop)),
            Request::Discard { slot, offset, length } => {
                done(zero::discard(self.file(slot)?, offset, length, stop))
            }
            Request::Extents {
                slot,
                offset,
                length,
                into,
            } => counted(extents::extents(
                self.file(slot)?,
                memory,
                offset,
                length,
                into,
                stop,
            )),
            Request::Resize {
                slot,
                length,
                preallocate,
            } => done(resize::resize(self.file(slot)?, length, preallocate, stop)),
            Request::Flush { slot } => done(self.file(slot)?.flush(stop)),
            Request::Allocated { slot } => counted(self.file(slot)?.allocated()),
            Request::Sharable { source, target } => {
                let sharable = sharable(self.file(source)?, self.file(target)?, stop);
                counted(sharable.map(u64::from))
            }
            Request::Receive { slot, into } => counted(stream::receive(self.file(slot)?, memory, into, stop)),
            Request::Send { slot, from } => done(stream::send(self.file(slot)?, memory, from, stop)),
            Request::Advise { slot, offset, length } => done(advise(self.file(slot)?, offset, length)),
            _ => Err(Violation::Other("a request of an unknown kind").into()),
        }
    }

    fn copy(&self, asked: CopyRange, buffer: &mut Buffer) -> Result<Answer, Refusal> {
        let source = self.readable(asked.source, asked.source_offset, asked.length)?;
        let copy = Copy::new(source, self.file(asked.target)?, asked);
        let (value, extra) = copy.carry_out(buffer, &self.stop)?;
        Ok(Answer {
            value,
            extra,
            ..Answer::default()
        })
    }

    fn compare(&self, asked: CompareRange, buffer: &mut Buffer) -> Result<Answer, Refusal> {
        let length = asked.length;
        let readable = |(slot, offset)| Ok::<_, Refusal>((self.readable(slot, offset, length)?, offset));
        let compare = Compare {
            one: readable((asked.slot, asked.offset))?,
            other: asked.other.map(readable).transpose()?,
            length,
        };
        counted(compare.carry_out(buffer, &self.stop))
    }

    /// A file of which these bytes may be read.
    fn readable(&self, slot: Slot, offset: u64, length: u64) -> Result<&OpenFile, Refusal> {
        let file = self.file(slot)?;
        file.readable_to(offset.saturating_add(length))?;
        Ok(file)
    }

    fn open(&self, by: Slot, role: Role, name: GuestRange) -> Result<Answer, Refusal> {
        let text = self.text(name)?;
        let namer = self.file(by)?;
        let facts = self.files.gate.open(&self.files.slots, namer, role, &text)?;
        if by.0 < facts.slot.0 {
            // The first name stays. A file never got its name from one that was opened after it.
            let _ = self.file(facts.slot)?.state.named.set((by, text));
        }
        Ok(Answer {
            value: facts.slot.0.into(),
            detail: kind_number(facts.kind)
                | if facts.busy { DETAIL_BUSY } else { 0 }
                | if facts.called_dmg { DETAIL_CALLED_DMG } else { 0 },
            extra: facts.size,
        })
    }

    fn report(&self, range: GuestRange) -> Result<(), Refusal> {
        let count = self.reports.fetch_add(1, Ordering::Relaxed);
        let before = self.report_bytes.fetch_add(range.length, Ordering::Relaxed);
        if count >= self.limits.count || before.saturating_add(range.length) > self.limits.bytes {
            return Err(Violation::TooManyReports.into());
        }
        let text = self.text(range)?;
        Ok(self.sink.report(&self.files, text)?)
    }

    /// Bytes of the guest's, at most [`instar_abi::limits::REPORT_BYTES`].
    fn text(&self, range: GuestRange) -> Result<Vec<u8>, Violation> {
        let mut text = vec![0; to_usize(range.length)];
        self.memory.read(range.start, &mut text).map_err(outside)?;
        Ok(text)
    }

    /// Sleeps in short turns, so that a stop is seen; returns when the word has changed or somebody woke us.
    fn wait(&self, word: GuestRange, expected: u32) -> Result<(), Refusal> {
        let memory = &*self.memory;
        memory
            .futex_wait(word.start, expected, Some(WAIT))
            .map_err(outside)?;
        self.stop.check()?;
        Ok(())
    }
}

fn counted(outcome: Outcome<u64>) -> Result<Answer, Refusal> {
    Ok(Answer::counted(outcome?))
}

fn done(outcome: Outcome<()>) -> Result<Answer, Refusal> {
    counted(outcome.map(|()| 0))
}

/// The lowest byte of `RawResult::detail` of Open.
const fn kind_number(kind: FileKind) -> u32 {
    match kind {
        FileKind::Regular => 0,
        FileKind::Fresh => 1,
        FileKind::Block => 2,
        // The gate opens none.
        FileKind::Stream => 3,
    }
}

fn advise(file: &OpenFile, offset: u64, length: u64) -> Outcome<()> {
    let length = std::num::NonZeroU64::new(length.min(ADVISE));
    // A hint: what becomes of it matters to nobody.
    let _: Result<(), Errno> = fadvise(&file.fd, offset, length, Advice::WillNeed);
    Ok(())
}

/// One turn of sleep in Wait. Ours: half of what a stop may take.
const WAIT: Duration = Duration::from_millis(50);
/// Bytes that one Advise reads ahead. Ours: what a hostile guest can make us read in vain, once a request.
const ADVISE: u64 = 32 << 20;
