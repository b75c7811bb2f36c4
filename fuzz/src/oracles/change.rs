//! Verbs that change an image in place: what they must keep is kept, and what was sound stays sound.

use std::collections::BTreeMap;

use instar_abi::job::{
    Amend, BitmapAction, Bounds, Change, ChangeBitmaps, ChangeImage, Check, Compact, NewSize, NewSnapshot,
    Preallocation, Resize, Source, Verb,
};
use instar_abi::report::{Checked, Failure};
use instar_abi::{FileFacts, Format, ImageText, Report, Slot};
use instar_testkit::Content;

use super::image::same_disk;
use crate::jobs::{KEY, read, run};
use crate::memory::Memory;
use crate::{Case, Dice, keys};

/// Disks that are looked at.
const BOUNDS: Bounds = Bounds {
    chain_depth: 8,
    virtual_size: 64 << 20,
    amplification: 0,
    untrusted: false,
    archives: true,
};

/// Bytes that changes may add to a file. Ours: far more than they do to such small disks.
const BEHIND: u64 = 16 << 20;

/// Changes of one case.
const CHANGES: u64 = 4;

/// Changes the image of a case a few times.
///
/// # Panics
/// If a rule is broken.
pub fn judge(input: &[u8]) {
    let case = Case::decode(input);
    let mut dice = case.dice();
    let Some(format) = detected(&case) else { return };
    let mut image = Image {
        format,
        content: case.files[0].clone(),
        beside: case.files[1].clone(),
    };
    let mut kept = BTreeMap::new();
    for _ in 0..=dice.below(CHANGES) {
        step(&mut image, &mut kept, &mut dice);
    }
}

/// An image between two changes.
struct Image {
    format: Format,
    content: Content,
    beside: Content,
}

/// What is to be done.
enum Step {
    Snapshot(Vec<u8>),
    Apply(Vec<u8>),
    Delete(Vec<u8>),
    Resize(u64),
    Amend(Box<Amend>),
    Bitmap(Vec<u8>, BitmapAction),
    Compact(Compact),
}

fn step(image: &mut Image, kept: &mut BTreeMap<Vec<u8>, Content>, dice: &mut Dice) {
    let before = image.disk();
    let sound = image.sound() == Some(true) && !image.counts_behind();
    let step = chosen(before.as_ref().map_or(0, Content::len), dice);
    let outcome = image.change(&step);
    let Ok(before) = before else { return };
    // What an image that is not sound shows may change with anything.
    if !sound {
        return;
    }
    let after = image
        .disk()
        .unwrap_or_else(|failure| panic!("{outcome:?}, and then {failure:?}"));
    assert_eq!(image.sound(), Some(true), "no longer sound after {outcome:?}");
    match (&step, &outcome) {
        (Step::Resize(size), Ok(())) => resized(&before, &after, *size),
        (Step::Apply(name), Ok(())) => {
            if let Some(kept) = kept.get(name) {
                assert!(same_disk(kept, &after), "a snapshot shows another disk");
            }
        }
        _ => assert!(
            same_disk(&before, &after),
            "the disk has changed, and {outcome:?}"
        ),
    }
    match (step, outcome) {
        (Step::Snapshot(name), Ok(())) => {
            kept.entry(name).or_insert(after);
        }
        (Step::Delete(name), Ok(())) => {
            kept.remove(&name);
        }
        _ => {}
    }
}

fn chosen(size: u64, dice: &mut Dice) -> Step {
    let name = vec![b'a' + dice.below(2) as u8];
    match dice.below(9) {
        0 => Step::Snapshot(name),
        1 => Step::Apply(name),
        2 => Step::Delete(name),
        3 => Step::Resize(size.saturating_add(512 * dice.scaled(14))),
        4 => Step::Resize(size.saturating_sub(512 * dice.scaled(14))),
        5 => Step::Amend(Box::new(Amend {
            compat: dice
                .one_in(2)
                .then(|| dice.of(&[b"0.10".as_slice(), b"1.1"]).to_vec()),
            lazy_refcounts: dice.one_in(3).then(|| dice.one_in(2)),
            refcount_bits: dice.one_in(3).then(|| 1 << dice.below(7)),
            ..Amend::default()
        })),
        6 => Step::Compact(Compact {
            trim: dice.one_in(2),
            shorten: !dice.one_in(4),
        }),
        _ => {
            let actions = [
                BitmapAction::Add(0),
                BitmapAction::Add(512),
                BitmapAction::Remove,
                BitmapAction::Clear,
                BitmapAction::Enable,
                BitmapAction::Disable,
                BitmapAction::Merge(b"a".into()),
            ];
            let action = actions.into_iter().nth(dice.index(7)).unwrap();
            Step::Bitmap(name, action)
        }
    }
}

/// What both have is the same, and what is new is zero.
fn resized(before: &Content, after: &Content, size: u64) {
    assert!(after.len() >= size, "{} bytes, not {size}", after.len());
    let mut expected = before.clone();
    expected.set_length(size.min(before.len()));
    let mut shown = after.clone();
    shown.set_length(expected.len());
    assert!(same_disk(&expected, &shown), "a new size changed the disk");
    if after.len() > before.len() {
        expected.set_length(after.len());
        assert!(same_disk(&expected, after), "what is new is not zero");
    }
}

impl Image {
    fn source(&self) -> Source {
        let mut source = Source::new(Slot(0), Some(self.format));
        if self.format == Format::Luks && keys::are_cheap(&self.content) {
            source.key = Some(ImageText::new(KEY));
        }
        source
    }

    fn files(&self, memory: &Memory, changes: bool) -> Vec<FileFacts> {
        let image = match changes {
            true => memory.existing(&self.content),
            false => memory.source(&self.content),
        };
        let mut files = vec![image];
        if !self.beside.is_empty() {
            files.push(memory.source(&self.beside));
        }
        files
    }

    fn disk(&self) -> Result<Content, Failure> {
        let memory = Memory::default();
        let files = self.files(&memory, false);
        read(&memory, &files, self.source(), BOUNDS)
    }

    /// Whether a check finds nothing; none: the format has none.
    fn sound(&self) -> Option<bool> {
        if self.format == Format::Raw {
            return Some(true);
        }
        let memory = Memory::default();
        let files = self.files(&memory, false);
        let check = Check {
            source: self.source(),
            repair: None,
        };
        let ran = run(&memory, &files, Verb::Check(check), BOUNDS);
        ran.reports.iter().find_map(|report| match report {
            Report::Checked(_, said) => Some(is_sound(said)),
            _ => None,
        })
    }

    /// Whether clusters are counted behind the end of the file, where a check does not look. They are leaks as soon as a change makes the
    /// file longer, with the reference tool as well.
    fn counts_behind(&self) -> bool {
        if self.format != Format::Qcow2 {
            return false;
        }
        let mut content = self.content.clone();
        content.set_length(content.len() + BEHIND);
        let longer = Self {
            format: self.format,
            content,
            beside: self.beside.clone(),
        };
        longer.sound() != Some(true)
    }

    fn change(&mut self, step: &Step) -> Result<(), Failure> {
        let memory = Memory::default();
        let files = self.files(&memory, true);
        let image = self.source();
        let change = |change| {
            Verb::Change(ChangeImage {
                image: image.clone(),
                change,
            })
        };
        let verb = match step {
            Step::Snapshot(name) => change(Change::CreateSnapshot(NewSnapshot {
                name: name.clone(),
                seconds: 1,
                nanoseconds: 0,
            })),
            Step::Apply(name) => change(Change::ApplySnapshot(name.clone())),
            Step::Delete(name) => change(Change::DeleteSnapshot(name.clone())),
            Step::Resize(size) => change(Change::Resize(Resize {
                size: NewSize::Exactly(*size),
                preallocation: Preallocation::Off,
                shrink: true,
                apart: Vec::new(),
            })),
            Step::Amend(amend) => change(Change::Amend(Some(Amend::clone(amend)))),
            Step::Compact(wanted) => change(Change::Compact(*wanted)),
            Step::Bitmap(name, action) => Verb::Bitmaps(ChangeBitmaps {
                image: image.clone(),
                name: name.clone(),
                actions: vec![action.clone()],
                from: None,
            }),
        };
        let end = run(&memory, &files, verb, BOUNDS).end;
        self.content = memory.content(Slot(0));
        end.map(|_| ())
    }
}

const fn is_sound(said: &Checked) -> bool {
    said.check_errors == 0 && said.corruptions == 0 && said.leaks == 0
}

/// What the image of a case is taken for.
fn detected(case: &Case) -> Option<Format> {
    let memory = Memory::default();
    let files = [memory.source(&case.files[0])];
    let info = instar_abi::job::Info {
        source: Source::new(Slot(0), None),
        backing_chain: false,
    };
    let ran = run(&memory, &files, Verb::Info(info), BOUNDS);
    ran.reports.iter().find_map(|report| match report {
        Report::Info(info) => Some(info.format),
        _ => None,
    })
}
