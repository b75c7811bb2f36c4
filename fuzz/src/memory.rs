//! A [`Host`] whose files are in memory, sparse, and counted.

use std::sync::atomic::AtomicU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use instar_abi::Report;
use instar_disk::{
    Action, CompareRange, CopyRange, Extent, Fault, FileFacts, FileKind, Host, Io, IoError, Result, Role,
    Slot, fault,
};
use instar_testkit::Content;

/// Bytes that one file may come to hold: the disk is full then. Ours.
const FULL: u64 = 48 << 20;

/// Requests of one run. Ours: what the account of a run allows is a quarter of a million answers, of which each may read tables.
const REQUESTS: u64 = 4 << 20;

/// Bytes read and written in one run. Ours: the account allows a gigabyte of tables, and data that is stored here.
const BYTES: u64 = 4 << 30;

/// Bytes that are copied and compared at a time.
const STEP: u64 = 64 << 10;

/// Linux: no such file or directory; bad file descriptor; no space left on device.
const ENOENT: u64 = 2;
const EBADF: u32 = 9;
const ENOSPC: u32 = 28;
const ESPIPE: u32 = 29;

/// Files by slot, and what was reported.
#[derive(Debug, Default)]
pub struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    files: Vec<(Content, FileFacts)>,
    reports: Vec<Report>,
    requests: u64,
    bytes: u64,
}

impl Memory {
    /// Adds a file that is read.
    pub fn source(&self, content: &Content) -> FileFacts {
        self.add(content, FileKind::Regular, false)
    }

    /// Adds a file that is changed.
    pub fn existing(&self, content: &Content) -> FileFacts {
        self.add(content, FileKind::Regular, true)
    }

    /// Adds a new file.
    pub fn fresh(&self) -> FileFacts {
        self.add(&Content::default(), FileKind::Fresh, true)
    }

    /// What a file holds.
    #[must_use]
    pub fn content(&self, slot: Slot) -> Content {
        self.state()
            .files
            .get(slot.0 as usize)
            .map(|(content, _)| content.clone())
            .unwrap_or_default()
    }

    /// Everything reported so far; forgets it.
    #[must_use]
    pub fn take_reports(&self) -> Vec<Report> {
        std::mem::take(&mut self.state().reports)
    }

    fn add(&self, content: &Content, kind: FileKind, writable: bool) -> FileFacts {
        let mut state = self.state();
        let facts = FileFacts {
            slot: Slot(state.files.len() as u32),
            size: content.len(),
            kind,
            writable,
            busy: false,
            called_dmg: false,
        };
        state.files.push((content.clone(), facts));
        facts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host for Memory {
    fn submit(&self, batch: &mut [Io<'_>]) {
        let mut state = self.state();
        for io in batch {
            io.outcome = match io.action.is_in_reach() {
                true => state.carry_out(&mut io.action).map_err(IoError),
                false => Err(IoError::OUT_OF_REACH),
            };
            if io.outcome.is_err() {
                return;
            }
        }
    }

    /// Whatever the name, it is the first file that nothing has opened for writing and that is not the namer.
    fn open(&self, namer: Slot, _: Role, _: &[u8]) -> Result<FileFacts> {
        let state = self.state();
        let beside = state
            .files
            .iter()
            .find(|(_, facts)| facts.slot > namer && !facts.writable);
        beside
            .map(|(_, facts)| *facts)
            .ok_or_else(|| Fault::new(fault::core::IO).with([ENOENT]).in_file(namer))
    }

    fn lanes(&self) -> usize {
        1
    }

    fn parallel(&self, work: &(dyn Fn(usize) + Sync)) {
        work(0);
    }

    fn wait(&self, _: &AtomicU32, _: u32) {}

    fn wake(&self, _: &AtomicU32) {}

    fn report(&self, report: &Report) {
        self.state().reports.push(report.clone());
    }

    fn progress(&self, done: u64, total: u64) {
        assert!(done <= total, "progress of {done} in {total}");
    }
}

impl State {
    fn carry_out(&mut self, action: &mut Action<'_>) -> std::result::Result<u64, u32> {
        self.requests += 1;
        assert!(self.requests <= REQUESTS, "more than {REQUESTS} requests");
        match action {
            Action::Read { slot, offset, into } => {
                self.count(into.len() as u64);
                let file = self.file(*slot)?;
                file.read(*offset, into);
                Ok(file.len().saturating_sub(*offset).min(into.len() as u64))
            }
            Action::Write { slot, offset, from } => {
                self.count(from.len() as u64);
                self.room(*slot)?.write(*offset, from);
                Ok(from.len() as u64)
            }
            Action::Copy(copy) => self.copy(copy),
            Action::Zero {
                slot, offset, length, ..
            } => {
                let file = self.room(*slot)?;
                file.zero(*offset, *length);
                file.set_length(file.len().max(offset.saturating_add(*length)));
                Ok(0)
            }
            Action::Discard { slot, offset, length } => {
                let file = self.room(*slot)?;
                let end = file.len().min(offset.saturating_add(*length));
                while let Some(range) = file.data(*offset).filter(|range| range.start < end) {
                    *offset = range.end.min(end);
                    file.fill(range.start, *offset - range.start, 0xd1);
                }
                Ok(0)
            }
            Action::Flush { .. } | Action::Advise { .. } => Ok(0),
            Action::Extents {
                slot,
                offset,
                length,
                into,
            } => Ok(extents(self.file(*slot)?, *offset, *length, into)),
            Action::Resize { slot, length, .. } => {
                self.room(*slot)?.set_length(*length);
                Ok(0)
            }
            Action::Compare(compare) => self.compare(compare),
            Action::Allocated { slot } => self.file(*slot).map(|file| file.stored()),
            Action::Sharable { .. } => Ok(0),
            Action::Receive { .. } | Action::Send { .. } => Err(ESPIPE),
        }
    }

    fn count(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        assert!(self.bytes <= BYTES, "more than {BYTES} bytes read and written");
    }

    fn file(&self, slot: Slot) -> std::result::Result<&Content, u32> {
        let file = self.files.get(slot.0 as usize);
        file.map(|(content, _)| content).ok_or(EBADF)
    }

    /// A file that is changed, while there is room on the disk.
    fn room(&mut self, slot: Slot) -> std::result::Result<&mut Content, u32> {
        let (content, facts) = self.files.get_mut(slot.0 as usize).ok_or(EBADF)?;
        assert!(facts.writable, "a change of {slot:?}, which is only read");
        if content.stored() > FULL {
            return Err(ENOSPC);
        }
        Ok(content)
    }

    /// Holes stay holes, which the rule for zeros allows.
    fn copy(&mut self, copy: &CopyRange) -> std::result::Result<u64, u32> {
        let (from, end) = (copy.source_offset, copy.source_offset + copy.length);
        let target = self.room(copy.target)?;
        if !copy.target_is_zero {
            target.zero(copy.target_offset, copy.length);
        }
        let reach = copy.target_offset + copy.length;
        if copy.sparse.is_none() || !copy.target_is_zero {
            target.set_length(target.len().max(reach));
        }
        let (mut at, mut written) = (from, 0);
        while let Some(range) = self.file(copy.source)?.data(at).filter(|range| range.start < end) {
            let length = (range.end.min(end) - range.start).min(STEP);
            let mut bytes = vec![0; length as usize];
            self.file(copy.source)?.read(range.start, &mut bytes);
            self.count(length);
            let to = copy.target_offset + (range.start - from);
            self.room(copy.target)?.write(to, &bytes);
            written += length;
            at = range.start + length;
        }
        Ok(written)
    }

    fn compare(&mut self, compare: &CompareRange) -> std::result::Result<u64, u32> {
        let one = self.file(compare.slot)?;
        let two = match compare.other {
            Some((slot, at)) => Some((self.file(slot)?, at)),
            None => None,
        };
        let mut same = 0;
        while same < compare.length {
            let next = one
                .data(compare.offset + same)
                .map(|range| range.start - compare.offset);
            let other = two.and_then(|(file, at)| file.data(at + same).map(|range| range.start - at));
            // Where neither has data, both are zero.
            same = match (next, other) {
                (None, None) => return Ok(compare.length),
                (Some(one), Some(two)) => one.min(two),
                (Some(one), None) | (None, Some(one)) => one,
            };
            if same >= compare.length {
                break;
            }
            let step = (compare.length - same).min(STEP) as usize;
            let (mut a, mut b) = (vec![0; step], vec![0; step]);
            one.read(compare.offset + same, &mut a);
            if let Some((file, at)) = two {
                file.read(at + same, &mut b);
            }
            let equal = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
            same += equal as u64;
            if equal < step {
                return Ok(same);
            }
        }
        Ok(compare.length)
    }
}

/// Fills `into` with runs of data and holes; gives how many.
fn extents(file: &Content, offset: u64, length: u64, into: &mut [Extent]) -> u64 {
    let end = file.len().min(offset.saturating_add(length));
    let (mut at, mut count) = (offset, 0);
    for extent in into {
        if at >= end {
            break;
        }
        let data = file
            .data(at)
            .map_or(end..end, |range| range.start.min(end)..range.end.min(end));
        let (stop, is_data) = if data.start > at {
            (data.start, false)
        } else {
            (data.end, true)
        };
        *extent = Extent {
            length: stop - at,
            data: is_data,
        };
        count += 1;
        at = stop;
    }
    count
}
