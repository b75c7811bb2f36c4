//! A host that remembers what it wrote, and what a power cut can leave of it.
//!
//! ```text
//!  write  write  flush  write  zero  write  flush …
//!  └ durable ───────┘   └ pending: each may be there, not be there, or be there by halves ┘
//! ```
//!
//! What was flushed is there. Of what came after the last flush a disk may hold any part, in any order, torn between
//! sectors. [`Torn::states`] gives such states: every moment with all that was written so far, all but one write, and
//! random choices of sectors.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use instar_disk::{Action, Slot};

use super::Content;
use crate::{Native, Watch, Watched};

/// [`Native`], with a record of all changes.
pub type Torn = Watched<Record>;

/// All changes, in order.
#[derive(Debug, Default)]
pub struct Record(Mutex<Vec<(Slot, Event)>>);

/// A change of a file, or a flush.
#[derive(Clone, Debug)]
enum Event {
    Write(u64, Vec<u8>),
    Zero(u64, u64),
    Discard(u64, u64),
    Resize(u64),
    Flush,
}

/// The files after a power cut, by slot.
pub type State = BTreeMap<Slot, Content>;

impl Default for Torn {
    fn default() -> Self {
        Self {
            native: Native::new(1),
            watch: Record::default(),
        }
    }
}

impl Torn {
    /// Calls `judge` with each state that a power cut can leave of the files that held `before`, and with a word about it.
    /// The last state is that of a run without one. Gives how many there were.
    pub fn states(&self, before: &State, judge: &mut dyn FnMut(&State, &str)) -> usize {
        let record = self.watch.0.lock().unwrap();
        let mut durable = before.clone();
        let mut pending: BTreeMap<Slot, Vec<Event>> = BTreeMap::new();
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut count = 0;
        let mut tell = |state: &State, what: &str| {
            count += 1;
            judge(state, what);
        };
        for (number, (slot, event)) in record.iter().enumerate() {
            if !matches!(event, Event::Flush) {
                pending.entry(*slot).or_default().push(event.clone());
                let all = with(&durable, &pending, &mut |_, _| Some(u64::MAX));
                tell(
                    &all,
                    &format!("all up to change {number}, {}", event.words(*slot)),
                );
                continue;
            }
            for (file, events) in &pending {
                for missing in spread(events.len()) {
                    let state = with(&durable, &pending, &mut |at, event| {
                        (at != *file || event != missing).then_some(u64::MAX)
                    });
                    tell(
                        &state,
                        &format!("before flush {number}, without change {missing} of it"),
                    );
                    let torn = random.next();
                    let state = with(&durable, &pending, &mut |at, event| {
                        Some(if at == *file && event == missing {
                            torn
                        } else {
                            u64::MAX
                        })
                    });
                    tell(
                        &state,
                        &format!("before flush {number}, with change {missing} torn"),
                    );
                }
            }
            for turn in 0..RANDOM_STATES {
                let state = with(&durable, &pending, &mut |_, _| match random.next() % 4 {
                    0 => None,
                    1 => Some(u64::MAX),
                    _ => Some(random.next()),
                });
                tell(&state, &format!("before flush {number}, random choice {turn}"));
            }
            let flushed = pending.remove(slot).unwrap_or_default();
            let bytes = durable.entry(*slot).or_default();
            for event in &flushed {
                event.apply(bytes, u64::MAX);
            }
        }
        let end = with(&durable, &pending, &mut |_, _| Some(u64::MAX));
        tell(&end, "the end");
        crate::ledger::count("states that a power cut left", count);
        count
    }
}

impl Torn {
    /// Flushes that had something to flush: the turns of the disk that the changes took.
    pub fn flushes(&self) -> usize {
        let record = self.watch.0.lock().unwrap();
        let mut pending = BTreeSet::new();
        let mut count = 0;
        for (slot, event) in record.iter() {
            match event {
                Event::Flush => count += usize::from(pending.remove(slot)),
                // Nobody waits for that.
                Event::Discard(..) => {}
                _ => _ = pending.insert(*slot),
            }
        }
        count
    }
}

impl Watch for Record {
    fn after_on(&self, native: &Native, action: &Action<'_>) {
        let (slot, event) = match action {
            Action::Write { slot, offset, from } => (*slot, Event::Write(*offset, from.to_vec())),
            Action::Zero {
                slot, offset, length, ..
            } => (*slot, Event::Zero(*offset, *length)),
            Action::Discard { slot, offset, length } => (*slot, Event::Discard(*offset, *length)),
            Action::Resize { slot, length, .. } => (*slot, Event::Resize(*length)),
            Action::Flush { slot } => (*slot, Event::Flush),
            Action::Copy(copy) => {
                // What it wrote, holes included.
                let mut bytes = vec![0; copy.length as usize];
                native.read(copy.target, copy.target_offset, &mut bytes);
                (copy.target, Event::Write(copy.target_offset, bytes))
            }
            Action::Read { .. }
            | Action::Extents { .. }
            | Action::Advise { .. }
            | Action::Compare(_)
            | Action::Allocated { .. }
            | Action::Sharable { .. }
            | Action::Receive { .. }
            | Action::Send { .. } => return,
        };
        self.0.lock().unwrap().push((slot, event));
    }
}

/// `durable` and what `keep` lets through of what is pending: for each change nothing, or a mask of sectors.
fn with(
    durable: &State,
    pending: &BTreeMap<Slot, Vec<Event>>,
    keep: &mut dyn FnMut(Slot, usize) -> Option<u64>,
) -> State {
    let mut state = durable.clone();
    for (slot, events) in pending {
        let bytes = state.entry(*slot).or_default();
        for (number, event) in events.iter().enumerate() {
            if let Some(mask) = keep(*slot, number) {
                event.apply(bytes, mask);
            }
        }
    }
    state
}

impl Event {
    /// What it is, without its bytes.
    fn words(&self, slot: Slot) -> String {
        match self {
            Self::Write(offset, content) => format!("write {offset}+{} to {slot:?}", content.len()),
            Self::Zero(offset, length) => format!("zero {offset}+{length} of {slot:?}"),
            Self::Discard(offset, length) => format!("discard {offset}+{length} of {slot:?}"),
            Self::Resize(length) => format!("resize {slot:?} to {length}"),
            Self::Flush => format!("flush {slot:?}"),
        }
    }

    /// What becomes of a file of which those sectors are reached that have their bit in `mask`, over and over.
    fn apply(&self, content: &mut Content, mask: u64) {
        let (offset, length) = match self {
            Self::Write(offset, bytes) => (*offset, bytes.len() as u64),
            Self::Zero(offset, length) | Self::Discard(offset, length) => (*offset, *length),
            Self::Resize(length) => {
                if mask & 1 != 0 {
                    content.set_length(*length);
                }
                return;
            }
            Self::Flush => return,
        };
        let end = offset + length;
        if mask == u64::MAX && length > 0 {
            return self.apply_part(content, offset, offset, end);
        }
        let mut at = offset;
        while at < end {
            let next = (at / SECTOR + 1) * SECTOR;
            let next = next.min(end);
            if mask >> (at / SECTOR % 64) & 1 != 0 {
                self.apply_part(content, offset, at, next);
            }
            at = next;
        }
    }

    fn apply_part(&self, content: &mut Content, offset: u64, at: u64, end: u64) {
        match self {
            Self::Write(_, bytes) => {
                content.write(at, &bytes[(at - offset) as usize..(end - offset) as usize])
            }
            Self::Zero(..) => content.fill(at, end - at, 0),
            // Nothing comes into being behind the end of the file.
            _ => content.fill(at, end.min(content.len()).saturating_sub(at), GARBAGE),
        }
    }
}

/// Some of so many, spread evenly.
fn spread(count: usize) -> impl Iterator<Item = usize> {
    let step = count.div_ceil(SINGLE_STATES).max(1);
    (0..count).step_by(step)
}

/// The same numbers every time (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Bytes that a disk writes as one.
const SECTOR: u64 = 512;
/// The bytes in place of discarded ones.
const GARBAGE: u8 = 0xd1;
/// Changes before a flush that are left out or torn one by one.
const SINGLE_STATES: usize = 24;
/// Random choices before each flush.
const RANDOM_STATES: usize = 24;

#[cfg(test)]
mod tests {
    use instar_disk::File;

    use super::*;

    #[test]
    fn flushed_writes_survive_every_later_cut_and_others_may_be_lost() {
        let directory = crate::scratch();
        let path = directory.path().join("file");
        std::fs::write(&path, [0; 2048]).unwrap();
        let torn = Torn::default();
        let facts = torn.native.existing(&path);
        let file = File::new(&torn, facts);
        file.write(0, &[1; 512]).unwrap();
        file.flush().unwrap();
        file.write(512, &[2; 1024]).unwrap();
        file.write(1536, &[3; 512]).unwrap();
        file.flush().unwrap();
        let before = State::from([(facts.slot, vec![0; 2048].into())]);
        let (mut late, mut partial, mut last) = (0, 0, Vec::new());
        torn.states(&before, &mut |state, _| {
            let bytes = state[&facts.slot].bytes();
            if bytes[512..] != [0; 1536] {
                late += 1;
                assert_eq!(bytes[..512], [1; 512], "flushed, and not there");
            }
            if bytes[512..1024] != bytes[1024..1536] {
                partial += 1;
            }
            last = bytes;
        });
        assert!(late > 0);
        assert!(partial > 0, "no write was ever torn");
        assert_eq!(last, std::fs::read(&path).unwrap());
    }
}
