//! Another layer below: its name and format, which stand in the first cluster.
//!
//! ```text
//!  sector 0                                     │ sectors 1 …
//!  header │ format │ other extensions … │ end     …  │ old name │ new name │
//!    └── the one write                                           └── written before, where nothing that counts stands
//! ```
//!
//! Where the name is and which format it has must change in one sector. So the extension with the format has to stand in the first one,
//! and whatever else moves has to be there, too. There are three ways, of which the first that works is taken:
//!
//! 1. The format first, then all other extensions: as the reference tool writes them.
//! 2. The format where it stands; what is too much room is filled with extensions that say nothing: a format of no bytes.
//! 3. The format in place of the last entries of the feature name table, which nobody needs.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::fault::qcow2_write as faults;
use instar_disk::job::NewBacking;
use instar_disk::{Fault, File, Result, align_up, fault, from_usize, to_usize};
use zerocopy::FromBytes;

use super::sector::KEPT_UP;
use crate::extensions::Walk;
use crate::header::Header;
use crate::new::compose::push_extension;
use crate::num::{add, internal, length};
use crate::pieces::Pieces;
use crate::raw::{RawExtension, RawFeatureName, RawHeader, extension, limit};

/// Names another layer below, or none.
///
/// # Errors
/// As [`judge`]; the host's.
pub(super) fn switch(file: File<'_>, header: &Header, new: &NewBacking) -> Result<()> {
    let old = First::read(file, header)?;
    let to = old
        .with(header, new)
        .map_err(|fault| fault.in_file(file.slot()))?;
    let sector = to_usize(SECTOR)?;
    for range in old.differing(&to) {
        let bytes = to.bytes.get(range.clone()).ok_or_else(|| internal(line!()))?;
        if range.start >= sector {
            file.write(from_usize(range.start), bytes)?;
        }
    }
    file.flush()?;
    let first = to.bytes.get(..sector).ok_or_else(|| internal(line!()))?;
    file.write(0, first)?;
    file.flush()?;
    // What the old state left behind is nobody's any more.
    let clean = to.cleaned()?;
    for range in to.differing(&clean) {
        let bytes = clean.bytes.get(range.clone()).ok_or_else(|| internal(line!()))?;
        file.write(from_usize(range.start), bytes)?;
    }
    file.flush()
}

/// Whether that can be done.
///
/// # Errors
/// `BACKING_FORMAT_MISSING`, `HEADER_FULL`; a name too long or a layer below raw data: `EINVAL`. The host's.
pub(super) fn judge(file: File<'_>, header: &Header, new: &NewBacking) -> Result<()> {
    let judged = First::read(file, header)?.with(header, new);
    judged.map(|_| ()).map_err(|fault| fault.in_file(file.slot()))
}

/// What of the first cluster counts, and what stands behind that.
struct First {
    /// From the beginning of the file, whole sectors.
    bytes: Vec<u8>,
    cluster: u64,
    /// Where the extensions begin.
    area: usize,
    /// Extensions, their padding included, in order; without the end mark.
    parts: Vec<Part>,
    /// Where the end mark ends, or would.
    end: usize,
    /// Where the name is.
    name: Range<usize>,
}

struct Part {
    magic: u32,
    place: Range<usize>,
}

impl First {
    fn read(file: File<'_>, header: &Header) -> Result<Self> {
        let cluster = header.cluster_size();
        let mut head = Pieces::new(file);
        let fields: RawHeader = head.value(0)?;
        let name_at = fields.backing_file_offset.get();
        let name_end = match name_at {
            0 => 0,
            at => add(at, u64::from(fields.backing_file_size.get()))?,
        };
        let area_end = if name_at == 0 { cluster } else { name_at };
        let area = u64::from(header.header_length);
        let (mut parts, mut walk) = (Vec::new(), Walk(area..area_end));
        let mut at = to_usize(area)?;
        while let Some(found) = walk.next(&mut head)? {
            let end = to_usize(walk.0.start)?;
            parts.push(Part {
                magic: found.magic,
                place: at..end,
            });
            at = end;
        }
        let end = at.saturating_add(END);
        let used = from_usize(end).max(name_end).max(SECTOR);
        let mut bytes = alloc::vec![0; to_usize(align_up(used, SECTOR)?)?];
        file.read_padded(0, &mut bytes)?;
        Ok(Self {
            bytes,
            cluster,
            area: to_usize(area)?,
            parts,
            end,
            name: to_usize(name_at)?..to_usize(name_end)?,
        })
    }

    /// The same with another layer below.
    fn with(&self, header: &Header, new: &NewBacking) -> Result<Self> {
        let invalid = || Fault::new(fault::core::IO).with([EINVAL]);
        let (name, format) = match (&new.name, &new.format) {
            (None, _) => (&[][..], &[][..]),
            (Some(_), None) => return Err(Fault::new(faults::BACKING_FORMAT_MISSING)),
            (Some(name), Some(format)) => (name.as_slice(), format.as_slice()),
        };
        let raw_data = header.features.data_file() && header.features.data_file_raw();
        let long = length(name) > limit::BACKING_NAME || length(format) > u64::from(limit::BACKING_FORMAT);
        if long || raw_data && !name.is_empty() {
            return Err(invalid());
        }
        let ways = [
            self.in_front(format),
            self.in_place(format),
            self.in_names(format),
        ];
        let mut made = ways.into_iter().flatten().flat_map(|chain| {
            let end = self.area.saturating_add(chain.len());
            // In front of the old name, or behind it.
            [end, end.max(self.name.end)].map(|place| self.composed(&chain, name, place))
        });
        made.find_map(|made| made.ok().filter(|made| self.leads_to(made)))
            .ok_or_else(|| Fault::new(faults::HEADER_FULL))
    }

    /// The extensions with the format in front.
    fn in_front(&self, format: &[u8]) -> Option<Vec<u8>> {
        let mut chain = Vec::new();
        if !format.is_empty() {
            push_extension(&mut chain, extension::BACKING_FORMAT, format);
        }
        for part in &self.parts {
            if part.magic != extension::BACKING_FORMAT {
                chain.extend_from_slice(self.bytes.get(part.place.clone())?);
            }
        }
        push_extension(&mut chain, extension::END, &[]);
        Some(chain)
    }

    /// The extensions with the format where it stands.
    fn in_place(&self, format: &[u8]) -> Option<Vec<u8>> {
        let is_format = |part: &Part| part.magic == extension::BACKING_FORMAT;
        let first = self.parts.iter().position(is_format)?;
        let run = self.parts.iter().skip(first).take_while(|part| is_format(part));
        let count = run.clone().count();
        let place = run.fold(None, |place: Option<Range<usize>>, part| {
            let start = place.map_or(part.place.start, |place| place.start);
            Some(start..part.place.end)
        })?;
        let behind = self.parts.iter().skip(first.saturating_add(count));
        if behind.clone().any(is_format) {
            return None;
        }
        let mut chain = self.bytes.get(self.area..place.start)?.to_vec();
        push_filled(&mut chain, format, place.len())?;
        for part in behind {
            chain.extend_from_slice(self.bytes.get(part.place.clone())?);
        }
        push_extension(&mut chain, extension::END, &[]);
        Some(chain)
    }

    /// The extensions with the format in place of some feature names.
    fn in_names(&self, format: &[u8]) -> Option<Vec<u8>> {
        if self
            .parts
            .iter()
            .any(|part| part.magic == extension::BACKING_FORMAT)
        {
            return None;
        }
        let mut chain = Vec::new();
        let mut put = false;
        for part in &self.parts {
            let bytes = self.bytes.get(part.place.clone())?;
            if put || part.magic != extension::FEATURE_TABLE {
                chain.extend_from_slice(bytes);
                continue;
            }
            let (_, names) = bytes.split_at_checked(size_of::<RawExtension>())?;
            let entry = size_of::<RawFeatureName>();
            let lost = filled_bytes(format).div_ceil(entry);
            let kept = names.len().checked_div(entry)?.checked_sub(lost)?;
            let kept = names.get(..kept.checked_mul(entry)?)?;
            push_filled(&mut chain, format, names.len().checked_sub(kept.len())?)?;
            push_extension(&mut chain, extension::FEATURE_TABLE, kept);
            put = true;
        }
        push_extension(&mut chain, extension::END, &[]);
        put.then_some(chain)
    }

    /// The first cluster with these extensions and the name at `place`. What else stands there stays.
    fn composed(&self, chain: &[u8], name: &[u8], place: usize) -> Result<Self> {
        let end = self.area.saturating_add(chain.len());
        let name_end = place.saturating_add(name.len());
        let used = if name.is_empty() { end } else { name_end };
        if from_usize(used) > self.cluster {
            return Err(Fault::new(faults::HEADER_FULL));
        }
        let mut bytes = self.bytes.clone();
        let whole = to_usize(align_up(from_usize(used), SECTOR)?)?;
        bytes.resize(bytes.len().max(whole), 0);
        let mut put = |at: usize, content: &[u8]| -> Result<()> {
            let to = bytes.get_mut(at..at.saturating_add(content.len()));
            to.ok_or_else(|| internal(line!()))?.copy_from_slice(content);
            Ok(())
        };
        put(self.area, chain)?;
        if !name.is_empty() {
            put(place, name)?;
        }
        let (fields, _) = RawHeader::mut_from_prefix(&mut bytes).map_err(|_| internal(line!()))?;
        let (offset, size) = match name.is_empty() {
            true => (0, 0),
            false => (place, name.len()),
        };
        fields.backing_file_offset.set(from_usize(offset));
        let size = u32::try_from(size).map_err(|_| internal(line!()))?;
        fields.backing_file_size.set(size);
        if fields.version.get() >= 3 {
            let known = fields.autoclear_features.get() & KEPT_UP;
            fields.autoclear_features.set(known);
        }
        Ok(Self {
            bytes,
            cluster: self.cluster,
            area: self.area,
            parts: Vec::new(),
            end,
            name: if name.is_empty() { 0..0 } else { place..name_end },
        })
    }

    /// Whether the first sector alone makes `to` of this: nothing that counts now is changed behind it.
    fn leads_to(&self, to: &Self) -> bool {
        let behind_first = |range: &Range<usize>| range.start.max(FIRST)..range.end;
        let used = [behind_first(&(0..self.end)), behind_first(&self.name)];
        used.into_iter().filter(|range| !range.is_empty()).all(|range| {
            let (old, new) = (self.bytes.get(range.clone()), to.bytes.get(range));
            old.is_some() && old == new
        })
    }

    /// Where `to` differs: whole sectors.
    fn differing(&self, to: &Self) -> Vec<Range<usize>> {
        let mut all = Vec::new();
        let mut at = 0_usize;
        for sector in to.bytes.chunks(FIRST) {
            let end = at.saturating_add(sector.len());
            if self.bytes.get(at..end) != Some(sector) {
                all.push(at..end);
            }
            at = end;
        }
        all
    }

    /// Without what does not count any more.
    fn cleaned(&self) -> Result<Self> {
        let mut bytes = alloc::vec![0; self.bytes.len()];
        for range in [0..self.end, self.name.clone()] {
            let from = self.bytes.get(range.clone()).ok_or_else(|| internal(line!()))?;
            let to = bytes.get_mut(range).ok_or_else(|| internal(line!()))?;
            to.copy_from_slice(from);
        }
        Ok(Self {
            bytes,
            parts: Vec::new(),
            name: self.name.clone(),
            ..*self
        })
    }
}

/// Adds the format as extensions of `room` bytes in all; none if that is too little.
fn push_filled(chain: &mut Vec<u8>, format: &[u8], room: usize) -> Option<()> {
    let spare = room.checked_sub(filled_bytes(format))?;
    if !spare.is_multiple_of(END) {
        return None;
    }
    for _ in 0..spare.checked_div(END)? {
        push_extension(chain, extension::BACKING_FORMAT, &[]);
    }
    // The last one counts.
    if !format.is_empty() {
        push_extension(chain, extension::BACKING_FORMAT, format);
    }
    Some(())
}

/// Bytes of the extension that says the format; none for none.
fn filled_bytes(format: &[u8]) -> usize {
    match format.len() {
        0 => 0,
        length => length.next_multiple_of(8).saturating_add(END),
    }
}

/// Bytes that a disk writes as one.
const SECTOR: u64 = 512;
/// The same, as bytes are counted in memory.
const FIRST: usize = 512;
/// Bytes of an extension without content, such as the end mark.
const END: usize = size_of::<RawExtension>();
/// Linux's number for "Invalid argument".
const EINVAL: u64 = 22;
