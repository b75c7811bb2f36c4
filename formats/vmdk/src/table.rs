//! From an offset in a sparse extent to a place in its file, by grain directory and grain tables.

use alloc::vec;
use alloc::vec::Vec;

use instar_disk::{
    Action, Codec, Encoded, Fault, File, Io, Kind, Mapping, Result, TableReader, Walked, Work, align_up,
    fault, from_usize, to_usize,
};

use crate::header::{Form, Packing, Sparse};
use crate::raw::{GTE_ZEROED, RawGrainMarker, SECTOR};

/// Grain tables that one question looks into at most. Ours: an empty terabyte is then a few hundred questions, and a table
/// whose entries are scattered costs no more than this many reads.
const STEPS: usize = 32;
/// Markers read in one batch. Ours: one doorbell for 16 MiB of disk.
const MARKERS: u64 = 256;
/// Bytes of a grain marker.
const MARKER_BYTES: u64 = 12;

/// seSparse: what the upper half of an allocated directory entry is.
const SE_TABLE: u64 = 0x1000_0000;
/// seSparse: bytes of a grain table.
const SE_TABLE_BYTES: u64 = 64 * SECTOR;

/// The tables of one extent, through bounded caches.
pub(crate) struct Tables<'h> {
    file: File<'h>,
    sparse: Sparse,
    directory: TableReader,
    grains: TableReader,
    markers: Markers,
    walked: Walked,
}

/// Lengths of compressed grains that follow one another.
#[derive(Default)]
struct Markers {
    first: u64,
    sizes: Vec<u32>,
}

/// What a grain table entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Entry {
    Unallocated,
    Zeroed,
    At(u64),
}

/// What is wrong with an extent, and at which of its bytes.
pub(crate) enum Verdict {
    Nothing,
    /// A grain behind the file's end.
    PastEnd(u64),
    /// A table that cannot be followed.
    Unreadable(u64),
}

impl<'h> Tables<'h> {
    pub(crate) fn new(file: File<'h>, sparse: Sparse) -> Self {
        let bytes = sparse.tables.saturating_mul(sparse.entry_bytes());
        Self {
            file,
            sparse,
            directory: TableReader::new(sparse.directory, bytes),
            grains: TableReader::new(0, file.size()),
            markers: Markers::default(),
            walked: Walked::new(),
        }
    }

    /// What directory and tables have taken so far.
    pub(crate) const fn work(&self) -> Work {
        let read = self
            .directory
            .bytes_read()
            .saturating_add(self.grains.bytes_read());
        self.walked.work().and(Work { read, shared: 0 })
    }

    /// What is at `offset` of the extent, and for how long.
    pub(crate) fn map(&mut self, offset: u64) -> Result<Mapping> {
        let mut run = self.piece(offset)?;
        for _ in 1..STEPS {
            let next = offset.saturating_add(run.length);
            if next >= self.sparse.capacity {
                break;
            }
            // What is wrong with the next piece is said when it is asked for.
            match self.piece(next) {
                Ok(piece) if follows(&run, &piece) => run.length = run.length.saturating_add(piece.length),
                _ => break,
            }
        }
        Ok(run)
    }

    /// Looks at every entry of every table, up to the first that is wrong. `judge` is told what that has taken, table by table.
    pub(crate) fn look(&mut self, judge: &mut dyn FnMut(Work) -> Result<()>) -> Result<Verdict> {
        let span = self.sparse.table_span().max(1);
        let mut number = 0_u64;
        while number.saturating_mul(span) < self.sparse.capacity {
            let start = number.saturating_mul(span);
            let table = match self.table(number) {
                Ok(Ok(table)) => table,
                Ok(Err(absent)) => {
                    number = number.saturating_add(absent.max(1));
                    continue;
                }
                Err(fault) => return unreadable(fault, start),
            };
            judge(self.work())?;
            let grains = self.grains_in_table(number);
            let mut index = 0_u64;
            while index < grains {
                let at = start.saturating_add(index.saturating_mul(self.sparse.grain));
                match self.sound(table, index, grains.saturating_sub(index)) {
                    Ok((0, false)) => return Ok(Verdict::Unreadable(at)),
                    Ok((sound, past_end)) => {
                        index = index.saturating_add(sound);
                        if past_end {
                            let more = sound.saturating_mul(self.sparse.grain);
                            return Ok(Verdict::PastEnd(at.saturating_add(more)));
                        }
                    }
                    Err(fault) => return unreadable(fault, at),
                }
            }
            number = number.saturating_add(1);
        }
        Ok(Verdict::Nothing)
    }

    /// How many entries from `index` on can be followed, as far as one page has them, and whether the next is a grain past the
    /// file's end.
    fn sound(&mut self, table: u64, index: u64, count: u64) -> Result<(u64, bool)> {
        let (form, size) = (self.sparse.form, self.file.size());
        let mut sound = 0_u64;
        for entry in self.entries(table, index, count)? {
            match decode(form, entry) {
                Some(Entry::At(place)) if place >= size => return Ok((sound, true)),
                Some(_) => sound = sound.saturating_add(1),
                None => break,
            }
        }
        Ok((sound, false))
    }

    /// The run at `offset` as far as one table, or one page of it, shows it.
    fn piece(&mut self, offset: u64) -> Result<Mapping> {
        let span = self.sparse.table_span();
        let number = offset.checked_div(span).unwrap_or_default();
        let left = self.sparse.capacity.saturating_sub(offset);
        let start = number.saturating_mul(span);
        let table = match self.table(number)? {
            Ok(table) => table,
            Err(absent) => {
                let end = start.saturating_add(absent.saturating_mul(span));
                return Ok(Mapping {
                    length: end.saturating_sub(offset).min(left),
                    kind: Kind::Unallocated,
                });
            }
        };
        let within_table = offset.saturating_sub(start);
        let index = within_table.checked_div(self.sparse.grain).unwrap_or_default();
        let within = within_table.saturating_sub(index.saturating_mul(self.sparse.grain));
        let grains = self.grains_in_table(number);
        let rest = grains.saturating_sub(index);
        let (first, count) = self.alike(table, index, rest)?;
        let first_grain = offset.saturating_sub(within);
        let kind = match (first, self.sparse.packing) {
            (Entry::At(at), packing @ (Packing::Bare | Packing::Marked)) => {
                let range = (table, index, rest);
                return self.packed(at, packing, first_grain, within, range);
            }
            (Entry::Unallocated, _) => Kind::Unallocated,
            (Entry::Zeroed, _) => Kind::Zero { at: None },
            (Entry::At(at), Packing::Plain) => {
                self.inside(at, first_grain)?;
                Kind::Data {
                    slot: self.file.slot(),
                    offset: at.saturating_add(within),
                }
            }
        };
        let length = count.saturating_mul(self.sparse.grain).saturating_sub(within);
        Ok(Mapping {
            length: length.min(left),
            kind,
        })
    }

    /// Where grain table `number` is; or how many tables from there on do not exist.
    fn table(&mut self, number: u64) -> Result<core::result::Result<u64, u64>> {
        let file = self.file;
        let bytes = self.sparse.entry_bytes();
        let read = |at, into: &mut [u8]| file.read_exact(at, into);
        let page = self.directory.from(number.saturating_mul(bytes), read)?;
        let mut entries = page.chunks_exact(to_usize(bytes)?).map(little_endian);
        let place = match (self.sparse.form, entries.next().unwrap_or_default()) {
            (_, 0) => {
                let more = entries.take_while(|entry| *entry == 0).count();
                return Ok(Err(from_usize(more).saturating_add(1)));
            }
            (Form::Hosted { .. }, sector) => sector.saturating_mul(SECTOR),
            (Form::SeSparse { tables, .. }, entry) => {
                if entry >> 32 != SE_TABLE {
                    let at = self.sparse.directory.saturating_add(number.saturating_mul(bytes));
                    return Err(self.fault(Fault::new(fault::vmdk::SE_SPARSE_ENTRY).with([entry, at])));
                }
                let index = entry & u64::from(u32::MAX);
                tables.saturating_add(index.saturating_mul(SE_TABLE_BYTES))
            }
        };
        if place < self.sparse.floor {
            let numbers = [place, self.sparse.floor];
            return Err(self.fault(Fault::new(fault::vmdk::TABLE_IN_METADATA).with(numbers)));
        }
        let grains = self.grains_in_table(number);
        let length = grains.saturating_mul(bytes);
        if place.saturating_add(length) > file.size() {
            return Err(self.past_end(place, grains));
        }
        self.walked.enter(number, place, length);
        Ok(Ok(place))
    }

    /// Entries of table `number` that stand for something: the last table is not used up.
    fn grains_in_table(&self, number: u64) -> u64 {
        let start = number.saturating_mul(self.sparse.table_span());
        let left = self.sparse.capacity.saturating_sub(start);
        left.div_ceil(self.sparse.grain.max(1)).min(self.sparse.entries)
    }

    /// Entries from `index` on as they stand, at most `count`, as many as one page has.
    fn entries(&mut self, table: u64, index: u64, count: u64) -> Result<impl Iterator<Item = u64>> {
        let file = self.file;
        let bytes = self.sparse.entry_bytes();
        let read = |at, into: &mut [u8]| file.read_exact(at, into);
        let start = table.saturating_add(index.saturating_mul(bytes));
        let page = self.grains.from(start, read)?;
        let raw = page.chunks_exact(to_usize(bytes)?).take(to_usize(count)?);
        Ok(raw.map(little_endian))
    }

    /// The entry at `index`, and how many entries from there on continue it, itself counted. Of `rest` entries no more is looked
    /// at than the run is long.
    fn alike(&mut self, table: u64, index: u64, rest: u64) -> Result<(Entry, u64)> {
        let (form, grain, size) = (self.sparse.form, self.sparse.grain, self.file.size());
        let bytes = self.sparse.entry_bytes();
        let mut entries = self.entries(table, index, rest)?;
        let Some(raw) = entries.next() else {
            drop(entries);
            return Err(self.past_end(table, index.saturating_add(rest)));
        };
        let Some(first) = decode(form, raw) else {
            drop(entries);
            let at = table.saturating_add(index.saturating_mul(bytes));
            return Err(self.fault(Fault::new(fault::vmdk::SE_SPARSE_ENTRY).with([raw, at])));
        };
        let mut expected = first;
        let mut count = 1_u64;
        for raw in entries {
            if let Entry::At(at) = expected {
                let next = at.saturating_add(grain);
                if next >= size {
                    break;
                }
                expected = Entry::At(next);
            }
            if decode(form, raw) != Some(expected) {
                break;
            }
            count = count.saturating_add(1);
        }
        Ok((first, count))
    }

    /// One compressed grain. `grain` is its offset in the extent, `range` its table, its index in that and how many entries
    /// the table has from there on.
    fn packed(
        &mut self,
        at: u64,
        packing: Packing,
        grain: u64,
        within: u64,
        range: (u64, u64, u64),
    ) -> Result<Mapping> {
        self.inside(at, grain)?;
        let size = self.file.size();
        let (offset, stored, least) = if packing == Packing::Marked {
            let stored = self.marked(grain, range)?;
            // Twice the grain is what qemu-img reads of one; a sound stream is never that long.
            let limit = self.sparse.grain.saturating_mul(2).saturating_sub(MARKER_BYTES);
            let offset = at.saturating_add(MARKER_BYTES);
            if offset >= size {
                return Err(self.grain_past_end(at, grain));
            }
            if stored == 0 || stored > limit {
                let numbers = [stored, limit, at];
                return Err(self.fault(Fault::new(fault::vmdk::GRAIN_LENGTH).with(numbers)));
            }
            (offset, stored, stored)
        } else {
            (at, self.sparse.grain.min(size.saturating_sub(at)), 1)
        };
        if offset.saturating_add(stored) > align_up(size, SECTOR)? {
            return Err(self.grain_past_end(at, grain));
        }
        let unit = self.sparse.grain.min(self.sparse.capacity.saturating_sub(grain));
        let narrow =
            |value: u64| u32::try_from(value).map_err(|_| Fault::new(fault::core::OVERFLOW).with([value]));
        Ok(Mapping {
            length: unit.saturating_sub(within),
            kind: Kind::Encoded(Encoded {
                codec: Codec::Zlib,
                slot: self.file.slot(),
                offset,
                stored: narrow(stored.min(size.saturating_sub(offset)))?,
                least: narrow(least.min(size.saturating_sub(offset)))?,
                unit: narrow(unit)?,
                within: narrow(within)?,
            }),
        })
    }

    /// Bytes of the stream of the grain at `grain`, by its marker; the markers of the grains behind it are fetched along.
    fn marked(&mut self, grain: u64, (table, index, rest): (u64, u64, u64)) -> Result<u64> {
        let number = grain.checked_div(self.sparse.grain).unwrap_or_default();
        let known = |markers: &Markers| {
            let index = to_usize(number.checked_sub(markers.first)?).ok()?;
            markers.sizes.get(index).copied()
        };
        if let Some(size) = known(&self.markers) {
            return Ok(size.into());
        }
        self.markers.sizes.clear();
        self.markers.first = number;
        let slot = self.file.slot();
        let form = self.sparse.form;
        let entries = self.entries(table, index, rest.min(MARKERS))?;
        let entries: Vec<_> = entries.map_while(|entry| decode(form, entry)).collect();
        let mut bytes = vec![[0_u8; size_of::<RawGrainMarker>()]; entries.len()];
        let mut batch = Vec::with_capacity(entries.len());
        for (entry, into) in entries.iter().zip(&mut bytes) {
            if let Entry::At(offset) = *entry
                && offset < self.file.size()
            {
                batch.push(Io::new(Action::Read { slot, offset, into }));
            }
        }
        self.file.host().all(&mut batch)?;
        self.markers.sizes.extend(bytes.iter().map(|bytes| {
            let marker: RawGrainMarker = zerocopy::transmute!(*bytes);
            marker.size.get()
        }));
        Ok(known(&self.markers).unwrap_or_default().into())
    }

    /// A grain starts behind the metadata and before the file's end. qemu-img's `check` calls anything else corrupt; its
    /// `convert` makes zeros of it.
    fn inside(&self, at: u64, grain: u64) -> Result<()> {
        if at < self.sparse.floor {
            let numbers = [at, self.sparse.floor];
            return Err(self.fault(Fault::new(fault::vmdk::GRAIN_IN_METADATA).with(numbers)));
        }
        if at >= self.file.size() {
            return Err(self.grain_past_end(at, grain));
        }
        Ok(())
    }

    fn grain_past_end(&self, at: u64, grain: u64) -> Fault {
        self.fault(Fault::new(fault::vmdk::GRAIN_PAST_END).with([at, self.file.size(), grain]))
    }

    fn past_end(&self, table: u64, grains: u64) -> Fault {
        let numbers = [
            table,
            grains.saturating_mul(self.sparse.entry_bytes()),
            self.file.size(),
        ];
        self.fault(Fault::new(fault::vmdk::TABLE_PAST_END).with(numbers))
    }

    fn fault(&self, fault: Fault) -> Fault {
        fault.in_file(self.file.slot())
    }
}

impl Sparse {
    /// Bytes of a table entry.
    const fn entry_bytes(&self) -> u64 {
        match self.form {
            Form::Hosted { .. } => 4,
            Form::SeSparse { .. } => 8,
        }
    }
}

/// What is wrong with tables is a finding; what is wrong with the host is not.
fn unreadable(fault: Fault, offset: u64) -> Result<Verdict> {
    if fault.code == fault::core::IO {
        return Err(fault);
    }
    Ok(Verdict::Unreadable(offset))
}

/// Whether `next`, which starts where `run` ends, is more of the same.
fn follows(run: &Mapping, next: &Mapping) -> bool {
    match (run.kind, next.kind) {
        (Kind::Unallocated, Kind::Unallocated) => true,
        (Kind::Zero { at: None }, Kind::Zero { at: None }) => true,
        (
            Kind::Data { slot, offset },
            Kind::Data {
                slot: next_slot,
                offset: next_offset,
            },
        ) => slot == next_slot && offset.checked_add(run.length) == Some(next_offset),
        _ => false,
    }
}

fn decode(form: Form, entry: u64) -> Option<Entry> {
    match form {
        Form::Hosted { zeroed } => Some(match entry {
            0 => Entry::Unallocated,
            one if zeroed && one == u64::from(GTE_ZEROED) => Entry::Zeroed,
            sector => Entry::At(sector.saturating_mul(SECTOR)),
        }),
        Form::SeSparse { grains, .. } => match entry >> 60 {
            0 if entry == 0 => Some(Entry::Unallocated),
            // Unmapped by the guest, and zero.
            1 | 2 => Some(Entry::Zeroed),
            3 => {
                let high = (entry & 0x0000_ffff_ffff_ffff) << 12;
                let index = high | ((entry >> 48) & 0xfff);
                Some(Entry::At(grains.saturating_add(index.saturating_mul(8 * SECTOR))))
            }
            _ => None,
        },
    }
}

fn little_endian(bytes: &[u8]) -> u64 {
    let mut word = [0_u8; 8];
    for (to, from) in word.iter_mut().zip(bytes) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}
