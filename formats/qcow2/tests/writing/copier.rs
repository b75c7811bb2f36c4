//! Plays the engine: asks a target for places, writes there, and believes nothing that the target says of them.

use std::collections::HashMap;
use std::ops::Range;

use instar_codecs::Encoder;
use instar_disk::{Action, File, Host, Io, Placement, Slot, Target};
use instar_testkit::Native;

/// What becomes of a range of guest bytes.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Written plain, in pieces of at most this many bytes.
    Data(Range<u64>, u64),
    Zero(Range<u64>),
    /// Written as units are: encoded where that makes them smaller.
    Units(Range<u64>),
}

/// Carries out steps on a target.
pub(crate) struct Copier<'h> {
    host: &'h Native,
    /// File ranges handed out so far.
    taken: HashMap<u32, Vec<Range<u64>>>,
    /// Whether places may be handed out again: an existing image is overwritten.
    overwrites: bool,
    pub(crate) fresh: u64,
    pub(crate) stale: u64,
    pub(crate) encoded: u64,
}

impl<'h> Copier<'h> {
    pub(crate) fn new(host: &'h Native, overwrites: bool) -> Self {
        Self {
            host,
            taken: HashMap::new(),
            overwrites,
            fresh: 0,
            stale: 0,
            encoded: 0,
        }
    }

    /// Carries out `steps`, the bytes of which are in `disk`.
    pub(crate) fn run(&mut self, target: &mut dyn Target, steps: &[Step], disk: &[u8]) {
        for step in steps {
            match step {
                Step::Data(range, piece) => self.data(target, range.clone(), *piece, disk),
                Step::Zero(range) => {
                    target.zero(range.start, range.end - range.start).unwrap();
                }
                Step::Units(range) => self.units(target, range.clone(), disk),
            }
        }
    }

    fn data(&mut self, target: &mut dyn Target, range: Range<u64>, piece: u64, disk: &[u8]) {
        let mut at = range.start;
        while at < range.end {
            let length = piece.min(range.end - at);
            let bytes = &disk[at as usize..(at + length) as usize];
            if let Some(slot) = target.plain() {
                self.write(slot, at, bytes);
                at += length;
                continue;
            }
            let placed = target.allocate(at, length).unwrap();
            assert!(placed.length > 0 && placed.length <= length, "{placed:?}");
            assert!(placed.length == length || placed.length.is_multiple_of(target.unit()));
            self.note(&placed);
            self.write(placed.slot, placed.offset, &bytes[..placed.length as usize]);
            at += placed.length;
        }
    }

    fn units(&mut self, target: &mut dyn Target, range: Range<u64>, disk: &[u8]) {
        let encoding = target.encoding().unwrap();
        assert_eq!(encoding.unit, target.unit());
        let mut encoder = Encoder::new(encoding.codec, encoding.window_bits).unwrap();
        let mut stream = vec![0; encoding.unit as usize];
        let mut at = range.start;
        while at < range.end {
            let length = encoding.unit.min(range.end - at);
            let mut unit = disk[at as usize..(at + length) as usize].to_vec();
            unit.resize(encoding.unit as usize, 0);
            match encoder.encode(&unit, &mut stream) {
                Some(stored) if (stored as u64) < encoding.unit => {
                    let placed = target.allocate_encoded(at, stored as u64).unwrap();
                    assert_eq!(placed.length, stored as u64);
                    self.note(&placed);
                    self.write(placed.slot, placed.offset, &stream[..stored]);
                    self.encoded += 1;
                }
                _ => self.data(target, at..at + length, length, disk),
            }
            at += length;
        }
    }

    /// No place is handed out twice, and those that are said to read as zero do.
    fn note(&mut self, placed: &Placement) {
        let range = placed.offset..placed.offset + placed.length;
        let taken = self.taken.entry(placed.slot.0).or_default();
        assert!(
            self.overwrites || taken.iter().all(|r| r.end <= range.start || range.end <= r.start),
            "{range:?} is handed out twice"
        );
        match taken.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => taken.push(range),
        }
        if placed.fresh {
            self.fresh += placed.length;
            let mut now = vec![0xaa; placed.length as usize];
            let mut io = [Io::new(Action::Read {
                slot: placed.slot,
                offset: placed.offset,
                into: &mut now,
            })];
            self.host.submit(&mut io);
            let [io] = io;
            let read = io.outcome.unwrap() as usize;
            assert!(now[..read].iter().all(|b| *b == 0), "{placed:?} is not fresh");
        } else {
            self.stale += placed.length;
        }
    }

    fn write(&self, slot: Slot, offset: u64, from: &[u8]) {
        let mut io = [Io::new(Action::Write { slot, offset, from })];
        self.host.submit(&mut io);
        let [io] = io;
        io.outcome.unwrap();
    }
}

/// Bytes that tell where they belong: no two 16-byte pieces of the disk are alike. `range` starts on one.
pub(crate) fn pattern(disk: &mut [u8], range: Range<u64>) {
    let pieces = disk[range.start as usize..range.end as usize].chunks_mut(16);
    for (number, bytes) in (range.start / 16..).zip(pieces) {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17) | 1;
        let piece = u128::from(number) | u128::from(mixed) << 64;
        bytes.copy_from_slice(&piece.to_le_bytes()[..bytes.len()]);
    }
}

/// Bytes that no compressor makes smaller.
pub(crate) fn noise(disk: &mut [u8], range: Range<u64>) {
    let mut state = range.start.wrapping_mul(0x2545_f491_4f6c_dd1d) | 1;
    for bytes in disk[range.start as usize..range.end as usize].chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let piece = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        bytes.copy_from_slice(&piece.to_le_bytes()[..bytes.len()]);
    }
}

/// The file behind `facts`, taken for a block device.
pub(crate) fn as_device<'h>(host: &'h Native, facts: instar_disk::FileFacts) -> File<'h> {
    File::new(
        host,
        instar_disk::FileFacts {
            kind: instar_disk::FileKind::Block,
            ..facts
        },
    )
}
