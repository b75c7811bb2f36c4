//! Anything, taken for an image of a format: every reading verb ends, and what they say of it agrees.

use instar_abi::job::{
    Algorithm, Bounds, Check, Checksum, Compare, Create, Dd, Info, Map, Measure, Qcow2Create, Repair, Source,
    Verb,
};
use instar_abi::report::{Checked, Compared, Done, Failure, MapRun};
use instar_abi::{FileFacts, Format, ImageText, Report, Slot};
use instar_testkit::Content;

use crate::jobs::{KEY, Ran, raw, read, run};
use crate::memory::Memory;
use crate::{Case, Dice, keys};

/// Bytes of a run of the map that are looked at.
const SAMPLE: u64 = 64 << 10;

/// Disks that are usually read. Ours: larger ones take too long to be read often.
const USUAL: u64 = 8 << 20;

/// Puts a case to every verb that reads images of `format`.
///
/// # Panics
/// If a rule is broken.
pub fn judge(format: Format, input: &[u8]) {
    judge_case(format, &Case::decode(input));
}

/// A descriptor of a VMDK: plain text, with something beside it that its extents may be.
///
/// # Panics
/// If a rule is broken.
pub fn judge_descriptor(text: &[u8]) {
    let beside: Vec<u8> = (0..8192_u32).map(|at| (at / 512) as u8).collect();
    judge_case(Format::Vmdk, &Case::of(&[text, &beside]));
}

fn judge_case(format: Format, case: &Case) {
    let mut dice = case.dice();
    let look = Look::new(format, case, &mut dice);
    look.describe();
    let disk = look.disk();
    let map = look.map(0, None);
    if let (Ok(disk), Ok(map)) = (&disk, &map) {
        look.agree(disk, map);
        look.part_of_the_map(map, disk.len(), &mut dice);
    }
    match dice.below(6) {
        0 => look.window(disk.as_ref().ok(), &mut dice),
        1 => look.same(disk.as_ref().ok()),
        2 => look.sums(disk.as_ref().ok()),
        3 => look.listed(),
        4 => look.twice_checked(),
        _ => look.repaired(case, disk.as_ref().ok()),
    }
}

/// An image, and the files that it may name.
struct Look {
    memory: Memory,
    files: Vec<FileFacts>,
    source: Source,
    bounds: Bounds,
}

impl Look {
    fn new(format: Format, case: &Case, dice: &mut Dice) -> Self {
        let usual = Bounds {
            virtual_size: USUAL,
            ..Bounds::default()
        };
        let look = Self {
            memory: Memory::default(),
            files: Vec::new(),
            source: source(format, case),
            bounds: if dice.one_in(64) { Bounds::default() } else { usual },
        };
        look.over(case)
    }

    /// The same look at other files.
    fn over(&self, case: &Case) -> Self {
        let memory = Memory::default();
        Self {
            files: present(case).map(|content| memory.source(content)).collect(),
            memory,
            source: self.source.clone(),
            bounds: self.bounds,
        }
    }

    fn run(&self, verb: Verb) -> Ran {
        run(&self.memory, &self.files, verb, self.bounds)
    }

    /// `info`, told the format and not.
    fn describe(&self) {
        for format in [self.source.format, None] {
            let source = Source {
                format,
                key: None,
                ..self.source.clone()
            };
            let ran = self.run(Verb::Info(Info {
                source,
                backing_chain: false,
            }));
            let said = ran.reports.iter().find_map(|report| match report {
                Report::Info(info) => Some(info),
                _ => None,
            });
            assert_eq!(ran.end.is_ok(), said.is_some(), "{ran:?}");
            if let Some(info) = said {
                assert!(format.is_none_or(|format| format == info.format), "{info:?}");
                assert!(info.virtual_size <= i64::MAX.unsigned_abs(), "{info:?}");
            }
        }
    }

    fn disk(&self) -> Result<Content, Failure> {
        read(&self.memory, &self.files, self.source.clone(), self.bounds)
    }

    /// The map from `start` on: no gap, no overlap, nothing empty.
    fn map(&self, start: u64, length: Option<u64>) -> Result<Vec<MapRun>, Failure> {
        let ran = self.run(Verb::Map(Map {
            source: self.source.clone(),
            start,
            length,
            placed_only: false,
        }));
        let mut runs = Vec::new();
        for report in ran.reports {
            if let Report::Map(more) = report {
                runs.extend(more);
            }
        }
        let mut at = start;
        for run in &runs {
            assert_eq!(run.start, at, "the map has a gap or an overlap: {run:?}");
            assert!(run.length > 0 || runs.len() == 1, "{run:?}");
            at += run.length;
        }
        ran.end.map(|_| runs)
    }

    /// The map covers the disk; what it calls zero is zero, and what has a place is there.
    fn agree(&self, disk: &Content, map: &[MapRun]) {
        let end = map.last().map_or(0, |run| run.start + run.length);
        assert_eq!(end, disk.len(), "the map ends elsewhere than the disk");
        for run in map {
            let mut bytes = vec![0; run.length.min(SAMPLE) as usize];
            disk.read(run.start, &mut bytes);
            if run.zero {
                assert!(bytes.iter().all(|byte| *byte == 0), "not zero: {run:?}");
            }
            if let (true, false, Some((slot, at))) = (run.data, run.zero || run.compressed, run.place) {
                let mut there = vec![0; bytes.len()];
                self.memory.content(slot).read(at, &mut there);
                assert!(bytes == there || self.source.key.is_some(), "not there: {run:?}");
            }
        }
    }

    /// A map of a part is that part of the map.
    fn part_of_the_map(&self, map: &[MapRun], size: u64, dice: &mut Dice) {
        let start = dice.below(size.max(1));
        let length = 1 + dice.below((size - start).max(1));
        let Ok(part) = self.map(start, Some(length)) else {
            return;
        };
        let end = part.last().map_or(start, |run| run.start + run.length);
        assert_eq!(end, size.min(start + length), "of {length} bytes from {start}");
        for run in part.iter().filter(|run| run.length > 0) {
            let whole = map.iter().find(|whole| whole.start + whole.length > run.start);
            let same = |whole: &&MapRun| {
                (whole.present, whole.zero, whole.data, whole.depth)
                    == (run.present, run.zero, run.data, run.depth)
            };
            assert!(
                whole.filter(same).is_some(),
                "{run:?} in a part, {whole:?} in the whole"
            );
        }
    }

    /// What `dd` reads is the same part of the whole.
    fn window(&self, disk: Option<&Content>, dice: &mut Dice) {
        let target = self.memory.fresh();
        let block_size = 1 + dice.scaled(20);
        let size = disk.map_or(USUAL, Content::len);
        let skip = dice.below(size / block_size + 3);
        let count = (!dice.one_in(4)).then(|| dice.below(size / block_size + 3));
        let dd = Dd {
            source: self.source.clone(),
            target: raw(target.slot),
            block_size,
            count,
            skip,
            sent_to: None,
        };
        let files = [self.files.as_slice(), &[target]].concat();
        let ran = run(&self.memory, &files, Verb::Dd(dd), self.bounds);
        let (Some(disk), Ok(_)) = (disk, ran.end) else {
            return;
        };
        let part = self.memory.content(target.slot);
        let start = skip * block_size;
        let end = count.map_or(disk.len(), |count| disk.len().min(count * block_size));
        let length = end.saturating_sub(start);
        assert_eq!(
            part.len(),
            length.next_multiple_of(512),
            "{count:?} blocks of {block_size} from {skip}"
        );
        assert!(same_bytes(&part, 0, disk, start, length), "another window");
    }

    /// The image is identical with the raw image of its disk.
    fn same(&self, disk: Option<&Content>) {
        let Some(disk) = disk else { return };
        let raw = self.memory.source(disk);
        let compare = Compare {
            left: self.source.clone(),
            right: Source::new(raw.slot, Some(Format::Raw)),
            strict: false,
        };
        let files = [self.files.as_slice(), &[raw]].concat();
        let ran = run(&self.memory, &files, Verb::Compare(compare), self.bounds);
        let said = ran.reports.iter().rev().find_map(|report| match report {
            Report::Compared(compared) => Some(*compared),
            _ => None,
        });
        assert!(said.is_none_or(|said| said == Compared::Identical), "{ran:?}");
    }

    /// So are their checksums.
    fn sums(&self, disk: Option<&Content>) {
        let Some(disk) = disk else { return };
        let raw = self.memory.source(disk);
        let sum = |source, files: &[FileFacts]| {
            let algorithm = Algorithm::Blake3;
            let verb = Verb::Checksum(Checksum { source, algorithm });
            let ran = run(&self.memory, files, verb, self.bounds);
            ran.reports.iter().find_map(|report| match report {
                Report::Checksum(sum) => Some(*sum),
                _ => None,
            })
        };
        let ours = sum(self.source.clone(), &self.files);
        let files = [self.files.as_slice(), &[raw]].concat();
        let plain = sum(Source::new(raw.slot, Some(Format::Raw)), &files);
        assert!(ours.is_none() || ours == plain, "the checksum is another one");
    }

    /// The verbs that list what an image has; they only have to end.
    fn listed(&self) {
        let source = Source {
            key: None,
            ..self.source.clone()
        };
        let _ = self.run(Verb::Snapshots(source.clone()));
        let _ = self.run(Verb::Safety(source.clone()));
        let _ = self.run(Verb::Measure(Measure {
            source: Some(self.source.clone()),
            size: 0,
            create: Create::Qcow2(Qcow2Create::default()),
            header_bytes: 0,
        }));
        let _ = self.run(Verb::Info(Info {
            source,
            backing_chain: true,
        }));
    }

    fn check(&self) -> (Vec<Report>, Result<Done, Failure>) {
        let ran = self.run(Verb::Check(Check {
            source: self.source.clone(),
            repair: None,
        }));
        (ran.reports, ran.end)
    }

    fn twice_checked(&self) {
        assert_eq!(self.check(), self.check(), "one check, and another");
    }

    /// What has been repaired is sound, and an image that was sound shows the same disk.
    fn repaired(&self, case: &Case, disk: Option<&Content>) {
        let before = checked(&self.check().0);
        let memory = Memory::default();
        let mut files: Vec<FileFacts> = Vec::new();
        for content in present(case) {
            files.push(match files.is_empty() {
                true => memory.existing(content),
                false => memory.source(content),
            });
        }
        let again = Self {
            memory,
            files,
            source: self.source.clone(),
            bounds: self.bounds,
        };
        let ran = again.run(Verb::Check(Check {
            source: self.source.clone(),
            repair: Some(Repair::All),
        }));
        let (Ok(_), Some(said)) = (&ran.end, checked(&ran.reports)) else {
            return;
        };
        // As the next run finds it.
        let mut case = case.clone();
        case.files[0] = again.memory.content(Slot(0));
        let again = self.over(&case);
        let after = checked(&again.check().0);
        // A Parallels disk is repaired pass by pass as by the reference tool, and one pass may cut off what another has looked at.
        let is_lasting = self.source.format != Some(Format::Parallels);
        if said.check_errors == 0 && said.corruptions == 0 && said.leaks == 0 && is_lasting {
            let sound =
                after.is_some_and(|after| (after.check_errors, after.corruptions, after.leaks) == (0, 0, 0));
            assert!(sound, "repaired: {said:?}; then: {after:?}");
        }
        let was_sound = before.is_some_and(|before| before.check_errors == 0 && before.corruptions == 0);
        if let (true, Some(disk)) = (was_sound, disk) {
            let shown = again.disk();
            assert!(
                shown.as_ref().is_ok_and(|shown| same_disk(shown, disk)),
                "the repair of a sound image changed its disk: {:?}",
                shown.err()
            );
        }
    }
}

/// The image of a case.
fn source(format: Format, case: &Case) -> Source {
    let mut source = Source::new(Slot(0), Some(format));
    if format == Format::Luks && keys::are_cheap(&case.files[0]) {
        source.key = Some(ImageText::new(KEY));
    }
    source
}

/// The image, and the files beside it that are there.
fn present(case: &Case) -> impl Iterator<Item = &Content> {
    let (image, beside) = case
        .files
        .split_first()
        .unwrap_or_else(|| unreachable!("a case has files"));
    core::iter::once(image).chain(beside.iter().filter(|file| !file.is_empty()))
}

/// What a check counted at last.
fn checked(reports: &[Report]) -> Option<Checked> {
    reports.iter().rev().find_map(|report| match report {
        Report::Checked(_, checked) => Some(*checked),
        _ => None,
    })
}

/// Whether two raw images are one disk.
#[must_use]
pub fn same_disk(one: &Content, two: &Content) -> bool {
    one.len() == two.len() && same_bytes(one, 0, two, 0, one.len())
}

/// Whether so many bytes are the same in both, wherever either has data.
fn same_bytes(one: &Content, at: u64, two: &Content, from: u64, length: u64) -> bool {
    let mut done = 0;
    while done < length {
        let next = one.data(at + done).map(|range| range.start - at);
        let other = two.data(from + done).map(|range| range.start - from);
        let Some(start) = next
            .into_iter()
            .chain(other)
            .min()
            .filter(|start| *start < length)
        else {
            return true;
        };
        let step = (length - start).min(SAMPLE) as usize;
        let (mut a, mut b) = (vec![0; step], vec![0; step]);
        one.read(at + start, &mut a);
        two.read(from + start, &mut b);
        if a != b {
            return false;
        }
        done = start + step as u64;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::seeds;

    /// The rules can be broken: a byte too much, in a cluster of data and in one that is not there.
    #[test]
    fn a_map_and_a_disk_that_disagree_are_a_finding() {
        let case = Case::decode(&seeds::images(Format::Qcow2)[0]);
        let look = Look::new(Format::Qcow2, &case, &mut case.dice());
        let (disk, map) = (look.disk().unwrap(), look.map(0, None).unwrap());
        look.agree(&disk, &map);
        for at in [600, 150_000] {
            let mut other = disk.clone();
            other.write(at, &[0xee]);
            assert!(!same_disk(&disk, &other));
            let judged = catch_unwind(AssertUnwindSafe(|| look.agree(&other, &map)));
            assert!(judged.is_err(), "byte {at}");
        }
    }
}
