//! Images that are cut off or changed.

use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Format, Sound, Sum, Tally, walk};

/// Cuts the file at every structure, a byte beside it, and at every 512 bytes of metadata: refused or read.
///
/// # Panics
/// If anything else comes of it; if a file shorter than `least` is read, or the whole is refused.
pub fn survives_cuts(format: &Format, sound: &Sound) -> Tally {
    let victim = Victim::new(sound);
    let length = victim.bytes.len() as u64;
    let mut cuts: Vec<u64> = sound
        .edges
        .iter()
        .flat_map(|edge| [edge.saturating_sub(1), *edge, edge + 1])
        .chain(sound.metadata.iter().flat_map(|range| range.clone().step_by(512)))
        .chain(0..16)
        .chain([length - 1, length - length.min(512), length - length.min(513)])
        .filter(|cut| *cut < length)
        .collect();
    cuts.sort_unstable();
    cuts.dedup();
    walk(format, &sound.image).unwrap_or_else(|fault| panic!("{}: {fault:?}", sound.name));
    let mut tally = Tally::default();
    // From the end on, so that the rest of the file need not be written again.
    for cut in cuts.into_iter().rev() {
        victim.file.set_len(cut).unwrap();
        let was_read = victim.look(format, sound, &format!("cut at {cut} of {length}"));
        assert!(
            !was_read || cut >= sound.least,
            "{}: cut at {cut} of {length}, and read",
            sound.name
        );
        tally.count(was_read);
    }
    victim.restore();
    walk(format, &sound.image).unwrap_or_else(|fault| panic!("{}: {fault:?}", sound.name));
    tally
}

/// Flips every bit of every field, changes every byte of every table, replaces every word of both by what words should
/// not be: refused or read. Where a checksum tells, both with the old one and with the right one.
///
/// # Panics
/// If anything else comes of it.
pub fn survives_changes(format: &Format, sound: &Sound) -> Tally {
    let victim = Victim::new(sound);
    let mut tally = Tally::default();
    let bits = sound
        .fields
        .iter()
        .cloned()
        .flatten()
        .flat_map(|at| (0..8).map(move |bit| (at, Change::Flip(1 << bit))));
    let bytes = sound
        .tables
        .iter()
        .cloned()
        .flatten()
        .flat_map(|at| [0x01, 0x80, 0xff].map(|flip| (at, Change::Flip(flip))));
    let words = sound
        .fields
        .iter()
        .chain(&sound.tables)
        .cloned()
        .flat_map(replacements);
    for (at, change) in bits.chain(bytes).chain(words) {
        let old = victim.range(at..at + change.length());
        let new = change.of(old);
        if new == old {
            continue;
        }
        victim.write(at, &new);
        tally.count(victim.look(format, sound, &format!("{change:?} at {at}")));
        if let Some(sum) = sound.sums.iter().find(|sum| sum.covers(at, change.length())) {
            let mut whole = victim.range(sum.of.clone()).to_vec();
            put(&mut whole, at - sum.of.start, &new);
            put(&mut whole, sum.at - sum.of.start, &[0; 4]);
            victim.write(sum.at, &(sum.value)(&whole));
            tally.count(victim.look(format, sound, &format!("{change:?} at {at}, with its checksum")));
            victim.write(sum.at, victim.range(sum.at..sum.at + 4));
        }
        victim.write(at, old);
    }
    walk(format, &sound.image).unwrap_or_else(|fault| panic!("{}: {fault:?}", sound.name));
    tally
}

/// How bytes are damaged.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Flips bits of one byte.
    Flip(u8),
    /// Overwrites four bytes.
    Word([u8; 4]),
    /// Overwrites eight bytes.
    Long([u8; 8]),
}

impl Change {
    fn length(self) -> u64 {
        match self {
            Self::Flip(_) => 1,
            Self::Word(_) => 4,
            Self::Long(_) => 8,
        }
    }

    fn of(self, old: &[u8]) -> Vec<u8> {
        match self {
            Self::Flip(bits) => old.iter().map(|byte| byte ^ bits).collect(),
            Self::Word(word) => word.to_vec(),
            Self::Long(long) => long.to_vec(),
        }
    }
}

/// Values that are not a length, count or offset in any sound image, in either byte order.
fn replacements(range: Range<u64>) -> impl Iterator<Item = (u64, Change)> {
    let words = [0, u32::MAX, i32::MAX as u32, 1 << 31, 1, 0xffff_fe00];
    let longs = [0, u64::MAX, i64::MAX as u64, 1 << 63, 1, 1 << 62, !511];
    let words = words
        .into_iter()
        .flat_map(|word: u32| [word.to_le_bytes(), word.to_be_bytes()]);
    let longs = longs
        .into_iter()
        .flat_map(|long: u64| [long.to_le_bytes(), long.to_be_bytes()]);
    let changes: Vec<Change> = words.map(Change::Word).chain(longs.map(Change::Long)).collect();
    let end = range.end;
    range.step_by(4).flat_map(move |at| {
        changes
            .clone()
            .into_iter()
            .filter(move |change| at + change.length() <= end)
            .map(move |change| (at, change))
    })
}

impl Sum {
    /// Makes it right.
    pub(super) fn renew(&self, bytes: &mut [u8]) {
        put(bytes, self.at, &[0; 4]);
        let sum = (self.value)(&bytes[self.of.start as usize..self.of.end as usize]);
        put(bytes, self.at, &sum);
    }

    /// Whether it covers what is changed, and is not itself what is changed.
    fn covers(&self, at: u64, length: u64) -> bool {
        self.of.start <= at && at + length <= self.of.end && (at + length <= self.at || self.at + 4 <= at)
    }
}

/// The file that suffers.
struct Victim {
    path: PathBuf,
    file: File,
    bytes: Vec<u8>,
}

impl Victim {
    fn new(sound: &Sound) -> Self {
        let path = sound.victim.as_ref().unwrap_or(&sound.image).clone();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        Self { path, file, bytes }
    }

    fn range(&self, range: Range<u64>) -> &[u8] {
        &self.bytes[range.start as usize..range.end as usize]
    }

    fn write(&self, at: u64, bytes: &[u8]) {
        self.file.write_all_at(bytes, at).unwrap();
    }

    fn restore(&self) {
        let path: &Path = &self.path;
        std::fs::write(path, &self.bytes).unwrap();
    }

    /// Whether the image is read; says what was done to it if the driver panics or breaks its word.
    fn look(&self, format: &Format, sound: &Sound, what: &str) -> bool {
        let looked = std::panic::catch_unwind(|| walk(format, &sound.image).is_ok());
        looked.unwrap_or_else(|_| panic!("{}: {what}", sound.name))
    }
}

fn put(bytes: &mut [u8], at: u64, new: &[u8]) {
    bytes[at as usize..][..new.len()].copy_from_slice(new);
}
