//! From one first cluster to another, so that at each moment it is the one or the other.
//!
//! A disk writes a sector as one, and the first cluster has many. What means nothing before the moment is written before it, what
//! means nothing after it is written after it, and one sector is the moment. Where that cannot be, the new extensions stand for a
//! while behind everything else:
//!
//! ```text
//!  old     │header│ extensions │name│                                    │
//!  between │header│→ filler ────────────────→│ new extensions │new name  │     header and filler: one sector, the moment
//!  new     │header│ new extensions │new name│                            │     likewise, and nothing changes by it
//! ```

use alloc::vec::Vec;
use core::ops::Range;

use zerocopy::IntoBytes;

use super::{FILLER, Places};
use crate::raw::{RawExtension, RawHeader, autoclear, extension};

/// What is written together; a flush follows.
pub(super) type Group = Vec<(usize, Vec<u8>)>;

/// The ways from `old` to `new`; none if there is no room for any.
pub(super) fn plan(old: &[u8], new: &[u8]) -> Option<Vec<Group>> {
    let at_once = Some(Vec::new());
    let through = |between: Option<Vec<u8>>| between.map(|between| alloc::vec![between]);
    [
        at_once,
        through(bits_first(old, new)),
        through(bits_last(old, new)),
        through(aside(old, new)),
    ]
    .into_iter()
    .flatten()
    .find_map(|between| all(old, &between, new))
}

/// What of the way means nothing in `old`, wherever it is on the way: its first group, if that is such.
pub(super) fn ahead(old: &[u8], new: &[u8]) -> Group {
    let first = plan(old, new).and_then(|groups| groups.into_iter().next());
    let live: Vec<Range<usize>> = Places::of(old).live().collect();
    let means_nothing = |(at, bytes): &(usize, Vec<u8>)| {
        let all = *at..at.saturating_add(bytes.len());
        live.iter().all(|range| {
            let part = range.start.max(all.start)..range.end.min(all.end);
            let within = part.start.saturating_sub(*at)..part.end.saturating_sub(*at);
            part.is_empty() || old.get(part) == bytes.get(within)
        })
    };
    first
        .filter(|group| group.iter().all(means_nothing))
        .unwrap_or_default()
}

/// The groups of a way over these states.
fn all(old: &[u8], between: &[Vec<u8>], new: &[u8]) -> Option<Vec<Group>> {
    let mut groups = Vec::new();
    let mut from = old;
    for to in between.iter().map(Vec::as_slice).chain([new]) {
        groups.extend(single(from, to)?);
        from = to;
    }
    Some(groups)
}

/// The groups that make `old` `new` if one sector can be the moment.
fn single(old: &[u8], new: &[u8]) -> Option<Vec<Group>> {
    let live = |bytes| Places::of(bytes).live().collect::<Vec<_>>();
    let (live_old, live_new) = (live(old), live(new));
    let same_in = |live: &[Range<usize>], sector: &Range<usize>| {
        live.iter().all(|range| {
            let part = range.start.max(sector.start)..range.end.min(sector.end);
            part.is_empty() || old.get(part.clone()) == new.get(part)
        })
    };
    let (mut before, mut moment, mut after) = (Vec::new(), Vec::new(), Vec::new());
    let mut start = 0;
    while start < new.len() {
        let sector = start..start.saturating_add(SECTOR).min(new.len());
        start = sector.end;
        if old.get(sector.clone()) == new.get(sector.clone()) {
            continue;
        }
        let group = if same_in(&live_old, &sector) {
            &mut before
        } else if same_in(&live_new, &sector) {
            &mut after
        } else {
            &mut moment
        };
        group.push(sector);
    }
    if moment.len() > 1 {
        return None;
    }
    let groups = [before, moment, after]
        .into_iter()
        .filter(|group| !group.is_empty());
    Some(groups.map(|group| joined(&group, new)).collect())
}

/// The bytes of these sectors, those that follow one another as one.
fn joined(sectors: &[Range<usize>], new: &[u8]) -> Group {
    let mut group: Group = Vec::new();
    for sector in sectors {
        let bytes = new.get(sector.clone()).unwrap_or_default();
        match group.last_mut() {
            Some((at, known)) if at.saturating_add(known.len()) == sector.start => {
                known.extend_from_slice(bytes);
            }
            _ => group.push((sector.start, bytes.to_vec())),
        }
    }
    group
}

/// `old`, its bitmaps called good if those of `new` are: where there are none, the bit means nothing.
fn bits_first(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    if has_bitmaps(old) {
        return None;
    }
    with_bit_of(old, new)
}

/// `new`, its bitmaps called good only if those of `old` are: likewise, or they are not called good yet.
fn bits_last(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let good = header(old)?.autoclear_features.get() & autoclear::BITMAPS != 0;
    if has_bitmaps(new) && good {
        return None;
    }
    with_bit_of(new, old)
}

fn has_bitmaps(bytes: &[u8]) -> bool {
    let places = Places::of(bytes);
    places
        .extensions
        .iter()
        .any(|one| one.magic == extension::BITMAPS)
}

/// `bytes` with the bit of `other` that calls bitmaps good, where both have it.
fn with_bit_of(bytes: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let (mut raw, other) = (header(bytes)?, header(other)?);
    if raw.version.get() < 3 || other.version.get() < 3 {
        return None;
    }
    let bit = other.autoclear_features.get() & autoclear::BITMAPS;
    let others = raw.autoclear_features.get() & !autoclear::BITMAPS;
    raw.autoclear_features.set(others | bit);
    let end = Places::of(bytes).header.end.min(size_of::<RawHeader>());
    let mut bytes = bytes.to_vec();
    bytes.get_mut(..end)?.copy_from_slice(raw.as_bytes().get(..end)?);
    Some(bytes)
}

fn header(bytes: &[u8]) -> Option<RawHeader> {
    zerocopy::FromBytes::read_from_prefix(bytes)
        .ok()
        .map(|(raw, _)| raw)
}

/// The state in between: the header of `new`, and all that follows it behind what `old` and `new` use.
fn aside(old: &[u8], new: &[u8]) -> Option<Vec<u8>> {
    let (old_places, new_places) = (Places::of(old), Places::of(new));
    let head = new_places.header.end;
    let filler_end = head.checked_add(size_of::<RawExtension>())?;
    if filler_end > SECTOR {
        return None;
    }
    let free = old_places.used().max(new_places.used());
    // The filler is a multiple of 8 long, whatever the header is.
    let start = free.next_multiple_of(SECTOR).checked_add(head % 8)?;
    let tail = new.get(head..new_places.used())?;
    let mut bytes = old.to_vec();
    bytes.get_mut(..head)?.copy_from_slice(new.get(..head)?);
    let mut raw = header(new)?;
    let name_at = usize::try_from(raw.backing_file_offset.get()).ok()?;
    if name_at != 0 {
        let moved = name_at.checked_sub(head)?.checked_add(start)?;
        raw.backing_file_offset.set(u64::try_from(moved).ok()?);
    }
    let fields = head.min(size_of::<RawHeader>());
    bytes
        .get_mut(..fields)?
        .copy_from_slice(raw.as_bytes().get(..fields)?);
    let filler = RawExtension {
        magic: FILLER.into(),
        length: u32::try_from(start.checked_sub(filler_end)?).ok()?.into(),
    };
    bytes
        .get_mut(head..filler_end)?
        .copy_from_slice(filler.as_bytes());
    let stop = start.checked_add(tail.len())?;
    bytes.get_mut(start..stop)?.copy_from_slice(tail);
    bytes.get_mut(stop..)?.fill(0);
    Some(bytes)
}

/// Bytes that every disk writes as one.
const SECTOR: usize = 512;

#[cfg(test)]
mod tests;
