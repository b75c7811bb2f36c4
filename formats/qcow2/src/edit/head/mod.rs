//! The first cluster: the header, its extensions and the backing file's name, as values that can be changed and written back.
//!
//! ```text
//!  0         header                    what this build does not know of it stays
//!            extensions, end mark      likewise
//!            backing file's name
//!            zeros
//! ```

mod steps;

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Fault, File, Result, fault, from_usize, to_usize};
use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::sector::narrow;
use crate::extensions::BitmapDirectory;
use crate::header::{Header, TableRange};
use crate::new::compose::{FEATURE_TABLE_ROOM, FEATURES, push_extension};
use crate::num::{internal, length, shr};
use crate::raw::{HEADER_V2, RawExtension, RawHeader, autoclear, compatible, extension, incompatible};

/// The first cluster as it is to be.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::edit) struct Head {
    /// Bytes of the cluster.
    cluster: usize,
    /// Bytes of the header proper.
    length: usize,
    /// The fields that this build knows, as many as fit that length; the rest is zero.
    raw: RawHeader,
    /// The fields behind them.
    more: Vec<u8>,
    extensions: Vec<(u32, Vec<u8>)>,
    /// Of the backing file.
    name: Vec<u8>,
}

impl Head {
    /// The first cluster of `file`, whose header has been judged.
    pub(in crate::edit) fn read(file: File<'_>, header: &Header) -> Result<Self> {
        let mut bytes = alloc::vec![0; to_usize(header.cluster_size())?];
        file.read_padded(0, &mut bytes)?;
        let mut head = Self::parse(&bytes)?;
        // Features that this build does not keep up: the specification has a writer clear them.
        let known = head.raw.autoclear_features.get() & (autoclear::BITMAPS | autoclear::DATA_FILE_RAW);
        head.raw.autoclear_features.set(known);
        Ok(head)
    }

    /// What `bytes` say, which are a whole cluster.
    fn parse(bytes: &[u8]) -> Result<Self> {
        let places = Places::of(bytes);
        let known = bytes.get(..places.header.end.min(size_of::<RawHeader>()));
        let known = known.ok_or_else(|| internal(line!()))?;
        let mut raw = RawHeader::new_zeroed();
        for (to, from) in raw.as_mut_bytes().iter_mut().zip(known) {
            *to = *from;
        }
        let of = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default().to_vec();
        let kept = places.extensions.iter().filter(|one| one.magic != FILLER);
        Ok(Self {
            cluster: bytes.len(),
            length: places.header.end,
            raw,
            more: of(&(known.len()..places.header.end)),
            extensions: kept.map(|one| (one.magic, of(&one.content))).collect(),
            name: of(&places.name),
        })
    }

    /// Becomes a header of another version, as the reference tool writes it. Version 3 begins without features; what only it has goes with
    /// it.
    pub(in crate::edit) fn set_version(&mut self, version: u32) {
        self.more.clear();
        self.raw.version.set(version);
        let length = if version < 3 {
            VERSION_2
        } else {
            size_of::<RawHeader>()
        };
        for byte in self.raw.as_mut_bytes().iter_mut().skip(VERSION_2) {
            *byte = 0;
        }
        self.length = length;
        self.set_extension(extension::FEATURE_TABLE, None);
        if version < 3 {
            self.set_extension(extension::BITMAPS, None);
            return;
        }
        self.raw.refcount_order.set(VERSION_2_ORDER);
        self.raw
            .header_length
            .set(u32::try_from(length).unwrap_or(u32::MAX));
        let used = self.extensions.iter().fold(length, |used, (_, content)| {
            let whole = content
                .len()
                .next_multiple_of(8)
                .saturating_add(size_of::<RawExtension>());
            used.saturating_add(whole)
        });
        if from_usize(self.cluster.saturating_sub(used)) >= FEATURE_TABLE_ROOM {
            self.set_extension(extension::FEATURE_TABLE, Some(FEATURES.as_bytes()));
        }
    }

    /// Another virtual size, in bytes.
    pub(in crate::edit) fn set_size(&mut self, size: u64) {
        self.raw.size.set(size);
    }

    /// Leads to another L1 table.
    pub(in crate::edit) fn set_l1(&mut self, l1: TableRange) -> Result<()> {
        self.raw.l1_size.set(narrow(l1.entries)?);
        self.raw.l1_table_offset.set(l1.offset);
        Ok(())
    }

    /// Leads to another directory of as many bitmaps.
    pub(in crate::edit) fn set_directory(&mut self, directory: BitmapDirectory) {
        let raw = directory.raw();
        self.set_extension(extension::BITMAPS, Some(raw.as_bytes()));
        self.set_bitmaps(true);
    }

    /// Leads to another snapshot table.
    pub(in crate::edit) fn set_snapshots(&mut self, snapshots: TableRange) -> Result<()> {
        self.raw.nb_snapshots.set(narrow(snapshots.entries)?);
        self.raw.snapshots_offset.set(snapshots.offset);
        Ok(())
    }

    /// Says how wide counts are: log2 of their bits. Version 2 has one width.
    pub(in crate::edit) fn set_refcount_order(&mut self, order: u32) {
        if self.raw.version.get() >= 3 {
            self.raw.refcount_order.set(order);
        }
    }

    /// Says that counts may be written late, or not.
    pub(in crate::edit) fn set_lazy_refcounts(&mut self, lazy: bool) {
        let bit = if lazy { compatible::LAZY_REFCOUNTS } else { 0 };
        let others = self.raw.compatible_features.get() & !compatible::LAZY_REFCOUNTS;
        self.raw.compatible_features.set(others | bit);
    }

    /// Says that the data file is a raw image, too, or not.
    pub(in crate::edit) fn set_data_file_raw(&mut self, raw: bool) {
        let bit = if raw { autoclear::DATA_FILE_RAW } else { 0 };
        let others = self.raw.autoclear_features.get() & !autoclear::DATA_FILE_RAW;
        self.raw.autoclear_features.set(others | bit);
    }

    /// Leads to another refcount table.
    pub(in crate::edit) fn set_refcount_table(&mut self, table: TableRange, cluster_bits: u32) -> Result<()> {
        let clusters = narrow(shr(table.entries, cluster_bits.saturating_sub(3)))?;
        self.raw.refcount_table_offset.set(table.offset);
        self.raw.refcount_table_clusters.set(clusters);
        Ok(())
    }

    /// Says that counts and flags may disagree, or that they do not. Version 2 cannot say it.
    pub(in crate::edit) fn set_dirty(&mut self, dirty: bool) {
        let bit = if dirty && self.raw.version.get() >= 3 {
            incompatible::DIRTY
        } else {
            0
        };
        let others = self.raw.incompatible_features.get() & !incompatible::DIRTY;
        self.raw.incompatible_features.set(others | bit);
    }

    /// Says that the bitmaps agree with the data, or that there are none that do.
    pub(in crate::edit) fn set_bitmaps(&mut self, good: bool) {
        let bit = if good { autoclear::BITMAPS } else { 0 };
        let others = self.raw.autoclear_features.get() & !autoclear::BITMAPS;
        self.raw.autoclear_features.set(others | bit);
    }

    /// The content of an extension, if there is one of that kind.
    #[cfg(test)]
    pub(in crate::edit) fn extension(&self, magic: u32) -> Option<&[u8]> {
        let found = self.extensions.iter().find(|(known, _)| *known == magic);
        found.map(|(_, content)| content.as_slice())
    }

    /// Names the layer below, or none, and says its format: where that stands, else in front of all other extensions.
    pub(in crate::edit) fn set_backing(&mut self, name: &[u8], format: &[u8]) {
        self.name = name.to_vec();
        let is_format = |(magic, _): &(u32, Vec<u8>)| *magic == extension::BACKING_FORMAT;
        let at = self.extensions.iter().position(is_format).unwrap_or(0);
        self.extensions.retain(|one| !is_format(one));
        if !format.is_empty() {
            self.extensions
                .insert(at, (extension::BACKING_FORMAT, format.to_vec()));
        }
    }

    /// Sets an extension where it stands, else behind all others; without content there is none afterwards.
    pub(in crate::edit) fn set_extension(&mut self, magic: u32, content: Option<&[u8]>) {
        let Some(content) = content else {
            self.extensions.retain(|(known, _)| *known != magic);
            return;
        };
        let mut known = self.extensions.iter_mut();
        match known.find(|(known, _)| *known == magic) {
            Some((_, old)) => *old = content.to_vec(),
            None => self.extensions.push((magic, content.to_vec())),
        }
    }

    /// The whole cluster.
    ///
    /// # Errors
    /// `HEADER_TOO_LONG`.
    fn compose(&self) -> Result<Vec<u8>> {
        let mut tail = Vec::new();
        for (magic, content) in &self.extensions {
            push_extension(&mut tail, *magic, content);
        }
        push_extension(&mut tail, extension::END, &[]);
        let mut raw = self.raw;
        let name_at = self.length.saturating_add(tail.len());
        let named = !self.name.is_empty();
        raw.backing_file_offset
            .set(if named { from_usize(name_at) } else { 0 });
        raw.backing_file_size
            .set(u32::try_from(self.name.len()).unwrap_or(u32::MAX));
        let fields = raw.as_bytes();
        let fields = fields.get(..self.length).unwrap_or(fields);
        let mut bytes = [fields, &self.more, &tail, &self.name].concat();
        if bytes.len() > self.cluster {
            let numbers = [length(&bytes), from_usize(self.cluster)];
            return Err(Fault::new(fault::qcow2_write::HEADER_TOO_LONG).with(numbers));
        }
        bytes.resize(self.cluster, 0);
        Ok(bytes)
    }

    /// Whether the first cluster of `file` can become this without a moment at which it is neither what it was nor this.
    ///
    /// # Errors
    /// `HEADER_NO_ROOM`, `HEADER_TOO_LONG`; the host's.
    pub(in crate::edit) fn judge(&self, file: File<'_>) -> Result<()> {
        self.steps(file)
            .map(|_| ())
            .map_err(|fault| fault.in_file(file.slot()))
    }

    /// Makes it the first cluster of `file`: one write is the moment, and what comes before and after it concerns nobody.
    pub(in crate::edit) fn write(&self, file: File<'_>) -> Result<()> {
        for group in self.steps(file)? {
            for (offset, bytes) in group {
                file.write(from_usize(offset), &bytes)?;
            }
            file.flush()?;
        }
        Ok(())
    }

    /// Writes what of it means nothing in the first cluster of `file` as it is: that can be there at any time. What follows need not wait
    /// for it by itself.
    pub(in crate::edit) fn write_ahead(&self, file: File<'_>) -> Result<()> {
        for (offset, bytes) in steps::ahead(&self.old(file)?, &self.compose()?) {
            file.write(from_usize(offset), &bytes)?;
        }
        Ok(())
    }

    /// The first cluster of `file` as it is.
    fn old(&self, file: File<'_>) -> Result<Vec<u8>> {
        let mut old = alloc::vec![0; self.cluster];
        file.read_padded(0, &mut old)?;
        Ok(old)
    }

    fn steps(&self, file: File<'_>) -> Result<Vec<steps::Group>> {
        steps::plan(&self.old(file)?, &self.compose()?)
            .ok_or_else(|| Fault::new(fault::qcow2_write::HEADER_NO_ROOM).with([from_usize(self.cluster)]))
    }
}

/// Where things are in a first cluster.
struct Places {
    /// The header proper.
    header: Range<usize>,
    extensions: Vec<Place>,
    /// The mark behind the last of them, if there is one.
    end: Range<usize>,
    /// The backing file's name.
    name: Range<usize>,
}

struct Place {
    magic: u32,
    /// All of it.
    whole: Range<usize>,
    content: Range<usize>,
}

impl Places {
    /// Of a cluster whose header has been judged. What does not fit is left out.
    fn of(bytes: &[u8]) -> Self {
        let raw = RawHeader::read_from_prefix(bytes).map_or_else(|_| RawHeader::new_zeroed(), |(raw, _)| raw);
        let index = |value: u64| to_usize(value).unwrap_or(usize::MAX).min(bytes.len());
        let header = match raw.version.get() {
            2 => HEADER_V2,
            _ => raw.header_length.get(),
        };
        let header = 0..index(u64::from(header));
        let name_at = index(raw.backing_file_offset.get());
        let name_bytes = if name_at == 0 {
            0
        } else {
            raw.backing_file_size.get()
        };
        let name_end = name_at
            .saturating_add(index(u64::from(name_bytes)))
            .min(bytes.len());
        let stop = if name_at == 0 { bytes.len() } else { name_at };
        let (extensions, end) = walk(bytes, header.end..stop);
        Self {
            header,
            extensions,
            end,
            name: name_at..name_end,
        }
    }

    /// The bytes that mean something.
    fn live(&self) -> impl Iterator<Item = Range<usize>> {
        let extensions = self.extensions.iter().map(|one| match one.magic {
            FILLER => one.whole.start..one.content.start,
            _ => one.whole.clone(),
        });
        let others = [self.header.clone(), self.end.clone(), self.name.clone()];
        extensions.chain(others)
    }

    /// Everything behind this means nothing.
    fn used(&self) -> usize {
        let ends = self.extensions.iter().map(|one| one.whole.end);
        let last = ends.max().unwrap_or(0);
        last.max(self.header.end).max(self.end.end).max(self.name.end)
    }
}

/// The extensions in `area`, and their end mark.
fn walk(bytes: &[u8], area: Range<usize>) -> (Vec<Place>, Range<usize>) {
    let mut all = Vec::new();
    let mut start = area.start;
    loop {
        let rest = bytes.get(start..area.end).unwrap_or_default();
        let Ok((raw, rest)) = RawExtension::read_from_prefix(rest) else {
            return (all, start..start);
        };
        let content = start.saturating_add(size_of::<RawExtension>());
        if raw.magic.get() == extension::END {
            return (all, start..content);
        }
        let bytes = usize::try_from(raw.length.get()).unwrap_or(usize::MAX);
        if bytes > rest.len() {
            return (all, start..start);
        }
        let end = content.saturating_add(bytes);
        let next = content.saturating_add(bytes.next_multiple_of(8));
        all.push(Place {
            magic: raw.magic.get(),
            whole: start..next.min(area.end),
            content: content..end,
        });
        start = next;
    }
}

/// Bytes of a version 2 header.
const VERSION_2: usize = 72;
/// log2 of the bits of a count in version 2.
const VERSION_2_ORDER: u32 = 4;
const _: () = assert!(core::mem::offset_of!(RawHeader, incompatible_features) == VERSION_2);
/// An extension that says nothing, and leads over what is being replaced to what counts. Ours: readers pass over what they do not
/// know.
const FILLER: u32 = 0x696e_7374;
