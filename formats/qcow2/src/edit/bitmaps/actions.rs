//! Actions on bitmaps, before anything is written.

use alloc::vec::Vec;

use instar_disk::fault::bitmap as faults;
use instar_disk::job::BitmapAction;
use instar_disk::report::Bitmap;
use instar_disk::{Fault, ImageText, Result, bitmap_bytes, from_usize, is_granularity};

use super::sources::Other;
use crate::bitmaps::directory::Entry;
use crate::header::Header;
use crate::raw::{RawBitmapEntry, limit};

/// The bitmaps as they are to be, in order.
pub(super) struct Model {
    pub(super) held: Vec<Held>,
    /// Of the disk, in bytes.
    size: u64,
    version: u32,
    cluster: u64,
}

pub(super) struct Held {
    pub(super) shown: Bitmap,
    /// Its bits are those of all of these.
    pub(super) inputs: Vec<Input>,
    /// Which of the stored bitmaps it was.
    stored: Option<usize>,
}

/// Bits that stand somewhere: the number of a bitmap there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// In the image that is changed.
    Own(usize),
    /// In the other image.
    Other(usize),
}

impl Held {
    /// Which of the stored bitmaps has its bits already.
    pub(super) fn kept(&self) -> Option<usize> {
        match self.inputs.as_slice() {
            [Input::Own(only)] if self.stored == Some(*only) => self.stored,
            _ => None,
        }
    }
}

impl Model {
    /// What is stored, nothing changed yet.
    pub(super) fn of(header: &Header, stored: &[Entry]) -> Self {
        let held = stored.iter().enumerate().map(|(number, entry)| Held {
            shown: entry.shown.clone(),
            inputs: [Input::Own(number)].into(),
            stored: Some(number),
        });
        Self {
            held: held.collect(),
            size: header.virtual_size(),
            version: header.version,
            cluster: header.cluster_size(),
        }
    }

    /// Whether nothing has changed.
    pub(super) fn is_as_stored(&self, stored: &[Entry]) -> bool {
        self.held.len() == stored.len()
            && (0..)
                .zip(&self.held)
                .zip(stored)
                .all(|((number, held), entry)| held.kept() == Some(number) && held.shown == entry.shown)
    }

    /// The bitmaps that record from now on, or do not, if nothing else has changed.
    pub(super) fn switched<'s>(&self, stored: &'s [Entry]) -> Option<Vec<(bool, &'s Entry)>> {
        let mut changed = Vec::new();
        if self.held.len() != stored.len() {
            return None;
        }
        for ((number, held), entry) in (0..).zip(&self.held).zip(stored) {
            let auto = held.shown.auto;
            let same = Bitmap {
                auto,
                ..entry.shown.clone()
            };
            if held.kept() != Some(number) || held.shown != same {
                return None;
            }
            if auto != entry.shown.auto {
                changed.push((auto, entry));
            }
        }
        Some(changed)
    }

    /// Carries out one action on the bitmap called `name`.
    ///
    /// # Errors
    /// What speaks against it.
    pub(super) fn act(
        &mut self,
        action: &BitmapAction,
        name: &[u8],
        other: Option<&Other<'_>>,
    ) -> Result<()> {
        match action {
            BitmapAction::Add(granularity) => self.add(name, *granularity),
            BitmapAction::Remove => {
                let number = self.find(name)?;
                self.held.remove(number);
                Ok(())
            }
            BitmapAction::RemoveAll => {
                self.held.clear();
                Ok(())
            }
            BitmapAction::Clear => {
                self.usable(name)?.inputs.clear();
                Ok(())
            }
            BitmapAction::Enable => {
                self.usable(name)?.shown.auto = true;
                Ok(())
            }
            BitmapAction::Disable => {
                self.usable(name)?.shown.auto = false;
                Ok(())
            }
            BitmapAction::Merge(source) => self.merge(name, source, other),
        }
    }

    fn add(&mut self, name: &[u8], granularity: u64) -> Result<()> {
        if name.is_empty() {
            return Err(Fault::new(faults::NO_NAME));
        }
        if !is_granularity(granularity) {
            return Err(Fault::new(faults::GRANULARITY).with([granularity]));
        }
        if self.find(name).is_ok() {
            return Err(Fault::new(faults::EXISTS).named(name));
        }
        let granularity = match granularity {
            0 => self.cluster.clamp(DEFAULT_MIN, DEFAULT_MAX),
            given => given,
        };
        let bytes = bitmap_bytes(self.size, granularity);
        let in_table = u64::from(limit::BITMAP_TABLE_ENTRIES).saturating_mul(self.cluster);
        let others = self.held.iter().map(|held| listed(held.shown.name.as_bytes()));
        let directory = others.fold(listed(name), u64::saturating_add);
        let wrong = if self.version < 3 {
            Fault::new(faults::VERSION)
        } else if name.len() > usize::from(limit::BITMAP_NAME) {
            Fault::new(faults::NAME_LONG).with([u64::from(limit::BITMAP_NAME)])
        } else if bytes > limit::BITMAP_BYTES.min(in_table) {
            Fault::new(faults::TOO_LARGE).with([bytes])
        } else if from_usize(self.held.len()) >= u64::from(limit::BITMAPS) {
            Fault::new(faults::TOO_MANY)
        } else if directory > limit::BITMAP_DIRECTORY_BYTES {
            Fault::new(faults::DIRECTORY_FULL)
        } else if bytes == 0 {
            Fault::new(faults::NO_DISK)
        } else {
            self.held.push(Held {
                shown: Bitmap {
                    name: ImageText::new(name),
                    granularity,
                    in_use: false,
                    auto: true,
                },
                inputs: Vec::new(),
                stored: None,
            });
            return Ok(());
        };
        Err(wrong)
    }

    fn merge(&mut self, name: &[u8], source: &[u8], other: Option<&Other<'_>>) -> Result<()> {
        let target = self.find(name)?;
        let missing = || Fault::new(faults::MISSING).named(source);
        let inconsistent = |name: &[u8]| Fault::new(faults::INCONSISTENT).named(name);
        let inputs = match other {
            Some(other) => {
                let number = other.find(source).ok_or_else(missing)?;
                if other.is_inconsistent(number) {
                    return Err(inconsistent(source));
                }
                if other.size != self.size {
                    return Err(Fault::new(faults::SIZES).with([self.size, other.size]));
                }
                [Input::Other(number)].into()
            }
            None => {
                let found = self.held.get(self.find(source)?).ok_or_else(missing)?;
                if found.shown.in_use {
                    return Err(inconsistent(source));
                }
                found.inputs.clone()
            }
        };
        let held = self.held.get_mut(target).ok_or_else(missing)?;
        if held.shown.in_use {
            return Err(inconsistent(name));
        }
        for input in inputs {
            if !held.inputs.contains(&input) {
                held.inputs.push(input);
            }
        }
        Ok(())
    }

    fn find(&self, name: &[u8]) -> Result<usize> {
        let mut all = self.held.iter();
        let found = all.position(|held| held.shown.name.as_bytes() == name);
        found.ok_or_else(|| Fault::new(faults::MISSING).named(name))
    }

    fn usable(&mut self, name: &[u8]) -> Result<&mut Held> {
        let number = self.find(name)?;
        let found = self.held.get_mut(number).filter(|held| !held.shown.in_use);
        found.ok_or_else(|| Fault::new(faults::INCONSISTENT).named(name))
    }
}

/// Bytes of the directory entry of a bitmap called so.
fn listed(name: &[u8]) -> u64 {
    let bytes = size_of::<RawBitmapEntry>().saturating_add(name.len());
    from_usize(bytes.next_multiple_of(8))
}

/// Bytes that a bit of a new bitmap stands for: those of a cluster, between these. qemu's.
const DEFAULT_MIN: u64 = 4 << 10;
const DEFAULT_MAX: u64 = 64 << 10;
