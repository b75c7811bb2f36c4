//! Bringing the bytes of a chunk together in a lane's buffer: reading what is plain, decoding and decrypting what is not.

use alloc::vec::Vec;

use instar_abi::report::{Failure, Stage};
use instar_codecs::Decoder;
use instar_disk::{
    Action, CopyRange, Encoded, Fault, Host, Io, IoError, Key, Result, Sealed, Slot, align_down, align_up,
    fault, from_usize, to_usize,
};

use super::plan::Piece;
use super::salvage;
use crate::keys::Keys;
use crate::located::Origin;
use crate::session::{At, Outcome, internal};

/// Encoded units nearer together in the file than this are read in one go.
const READ_GAP: u64 = 16 << 10;

/// Buffers up to this size grow by doubling. Ours.
const GENEROUS: usize = 8 << 20;

/// A stretch of the target, whole units, as it lies in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Offset in the target.
    pub(crate) target: u64,
    /// Where its bytes start in the buffer.
    pub(crate) at: usize,
    /// Its length in bytes.
    pub(crate) length: usize,
}

impl Span {
    /// Where it ends in the target.
    pub(super) fn end(&self) -> u64 {
        self.target.saturating_add(from_usize(self.length))
    }
}

/// Where in the buffer a byte of the target lies.
pub(super) fn place(spans: &[Span], target: u64) -> Option<usize> {
    let after = spans.partition_point(|span| span.target <= target);
    let span = spans.get(after.checked_sub(1)?)?;
    let within = usize::try_from(target.checked_sub(span.target)?).ok()?;
    (within < span.length).then(|| span.at.saturating_add(within))
}

/// A piece and its place in the buffer.
#[derive(Clone, Copy, Debug)]
struct Fill {
    at: usize,
    length: usize,
    target: u64,
    from: Origin,
}

/// A lane's tools for bringing bytes together, reused from chunk to chunk.
#[derive(Default)]
pub(crate) struct Assembler {
    fills: Vec<Fill>,
    reads: Vec<StoredRead>,
    /// Bytes of the buffer that this chunk uses.
    used: usize,
    stored: Vec<u8>,
    unit: Vec<u8>,
    decoder: Decoder,
    keys: Keys,
    /// Sectors that could not be read and were given up.
    lost: Vec<(Slot, u64)>,
}

/// One read of encoded bytes into `stored`.
#[derive(Clone, Copy, Debug)]
struct StoredRead {
    slot: Slot,
    offset: u64,
    end: u64,
    at: usize,
}

impl StoredRead {
    /// The key of their order.
    const fn place(&self) -> (Slot, u64) {
        (self.slot, self.offset)
    }
}

impl Assembler {
    /// One that decrypts what is sealed with these keys.
    pub(crate) fn new(keys: Keys) -> Self {
        Self {
            keys,
            ..Self::default()
        }
    }

    /// Lays the pieces that have data out in the buffer, in spans of whole units, and makes it large enough. Known zeros are
    /// laid out only if they are to be written.
    pub(crate) fn lay_out(
        &mut self,
        pieces: &[Piece],
        zeros_too: bool,
        unit: u64,
        spans: &mut Vec<Span>,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        self.fills.clear();
        spans.clear();
        let mut used = 0_usize;
        for piece in pieces
            .iter()
            .filter(|piece| zeros_too || piece.from != Origin::Zero)
        {
            let end = align_up(piece.target.saturating_add(piece.length), unit)?;
            let start = align_down(piece.target, unit);
            match spans.last_mut() {
                Some(last) if start <= last.target.saturating_add(from_usize(last.length)) => {
                    let length = to_usize(end.saturating_sub(last.target))?.max(last.length);
                    used = last.at.saturating_add(length);
                    last.length = length;
                }
                _ => {
                    let length = to_usize(end.saturating_sub(start))?;
                    spans.push(Span {
                        target: start,
                        at: used,
                        length,
                    });
                    used = used.saturating_add(length);
                }
            }
            let span = spans.last().ok_or_else(|| internal(line!()))?;
            let within = to_usize(piece.target.saturating_sub(span.target))?;
            let at = span.at.saturating_add(within);
            self.fills.push(Fill {
                at,
                length: to_usize(piece.length)?,
                target: piece.target,
                from: piece.from,
            });
        }
        self.used = used;
        grow(buffer, used)?;
        self.plan_stored()
    }

    /// Reads and decodes everything laid out into `buffer`, zero where nothing is. `first` goes out in the same batch, before
    /// the reads: what it says must be done either way. Gives the bytes that `first` shares with a source.
    pub(crate) fn fetch(
        &mut self,
        host: &dyn Host,
        salvage: bool,
        first: Vec<Io<'_>>,
        first_at: &[u64],
        buffer: &mut [u8],
    ) -> Outcome<u64> {
        let Self {
            fills,
            reads,
            stored,
            used,
            keys,
            lost,
            ..
        } = self;
        let buffer = buffer
            .get_mut(..*used)
            .ok_or_else(|| internal(line!()))
            .at(Stage::Other)?;
        let writes = first.len();
        let mut batch = first;
        gather(&mut batch, fills, keys, buffer).at(Stage::Other)?;
        let plain = batch.len();
        let mut rest = stored.as_mut_slice();
        for read in reads.iter() {
            let length = to_usize(read.end.saturating_sub(read.offset)).at(Stage::Other)?;
            let (into, after) = rest
                .split_at_mut_checked(length)
                .ok_or_else(|| internal(line!()))
                .at(Stage::Other)?;
            rest = after;
            batch.push(Io::new(Action::Read {
                slot: read.slot,
                offset: read.offset,
                into,
            }));
        }
        if !batch.is_empty() {
            *lost = salvage::submit(host, &mut batch, salvage);
        }
        if let Some((at, fault)) = blame(host, batch.iter().take(writes).zip(first_at)) {
            return Err(fault).at(Stage::Read(at));
        }
        settle(&mut batch, writes, plain, first_at, fills, keys)?;
        let first = batch.iter().take(writes);
        let shared = first.fold(0, |sum: u64, io| sum.saturating_add(io.shared));
        drop(batch);
        self.decode(host, salvage, buffer)?;
        Ok(shared)
    }

    /// Gives large buffers back.
    pub(super) fn trim(&mut self) {
        trim(&mut self.stored);
        trim(&mut self.unit);
    }

    /// Groups the encoded units into reads, in the order in which they lie in their files: a writer with many requests under way has
    /// put them down in another order than the disk's.
    fn plan_stored(&mut self) -> Result<()> {
        self.reads.clear();
        for fill in &self.fills {
            let (slot, offset, length) = match fill.from {
                Origin::Encoded(Encoded {
                    slot, offset, stored, ..
                }) => (slot, offset, u64::from(stored)),
                Origin::Sealed(sealed) if !fill.is_straight(&self.keys) => {
                    let (start, length) = whole_units(&self.keys, &sealed, fill.length)?;
                    (start.slot, start.offset, length)
                }
                _ => continue,
            };
            let end = offset
                .checked_add(length)
                .ok_or_else(|| Fault::new(fault::core::OVERFLOW))?;
            self.reads.push(StoredRead {
                slot,
                offset,
                end,
                at: 0,
            });
        }
        self.reads.sort_unstable_by_key(StoredRead::place);
        self.reads.dedup_by(|next, last| {
            let near = next.slot == last.slot && next.offset <= last.end.saturating_add(READ_GAP);
            if near {
                last.end = last.end.max(next.end);
            }
            near
        });
        let mut used = 0_usize;
        for read in &mut self.reads {
            read.at = used;
            used = used.saturating_add(to_usize(read.end.saturating_sub(read.offset))?);
        }
        grow(&mut self.stored, used)
    }

    fn decode(&mut self, host: &dyn Host, salvage: bool, buffer: &mut [u8]) -> Outcome<()> {
        let Self {
            fills,
            reads,
            stored,
            unit,
            decoder,
            keys,
            lost,
            ..
        } = self;
        let mut held = None;
        for fill in fills.iter() {
            if !matches!(fill.from, Origin::Encoded(_) | Origin::Sealed(_)) {
                continue;
            }
            let stage = Stage::Read(fill.target);
            let end = fill.at.saturating_add(fill.length);
            let into = buffer
                .get_mut(fill.at..end)
                .ok_or_else(|| internal(line!()))
                .at(stage)?;
            let encoded = match fill.from {
                Origin::Encoded(encoded) => encoded,
                Origin::Sealed(sealed) if fill.is_straight(keys) => {
                    let opened = key_of(keys, &sealed).and_then(|key| key.decrypt(sealed.position, into));
                    opened.at(stage)?;
                    salvage::blank(lost, &sealed, into);
                    continue;
                }
                Origin::Sealed(sealed) => {
                    held = None;
                    open_part(keys, &sealed, reads, stored, unit, into).at(stage)?;
                    salvage::blank(lost, &sealed, into);
                    continue;
                }
                Origin::Data { .. } | Origin::Zero => continue,
            };
            let stream = find(
                reads,
                stored,
                (encoded.slot, encoded.offset),
                u64::from(encoded.stored),
            )
            .ok_or_else(|| internal(line!()))
            .at(stage)?;
            match decode_one(decoder, &encoded, stream, unit, &mut held, into) {
                Err(fault) if salvage => {
                    into.fill(0);
                    salvage::warn(host, fill.target, fault);
                }
                decoded => decoded.at(stage)?,
            }
        }
        Ok(())
    }
}

/// Decodes a unit into `into`, by way of `unit` if only a part of it is wanted. `held` is the one that `unit` holds already: parts of
/// one unit often follow each other.
fn decode_one(
    decoder: &mut Decoder,
    encoded: &Encoded,
    stream: &[u8],
    unit: &mut Vec<u8>,
    held: &mut Option<Encoded>,
    into: &mut [u8],
) -> Result<()> {
    let bad = || {
        Fault::new(fault::core::BAD_COMPRESSED_DATA)
            .with([encoded.offset])
            .in_file(encoded.slot)
    };
    let size = to_usize(u64::from(encoded.unit))?;
    if encoded.within == 0 && into.len() == size {
        return decoder.decode(encoded.codec, stream, into).map_err(|_| bad());
    }
    grow(unit, size)?;
    let whole = unit.get_mut(..size).ok_or_else(|| internal(line!()))?;
    let start_of_it = Encoded {
        within: 0,
        ..*encoded
    };
    if *held != Some(start_of_it) {
        *held = None;
        decoder.decode(encoded.codec, stream, whole).map_err(|_| bad())?;
        *held = Some(start_of_it);
    }
    let start = to_usize(u64::from(encoded.within))?;
    let part = whole
        .get(start..start.saturating_add(into.len()))
        .ok_or_else(bad)?;
    into.copy_from_slice(part);
    Ok(())
}

impl Fill {
    /// Whether its sealed bytes are whole units of their cipher: these are decrypted where they are read to.
    fn is_straight(&self, keys: &Keys) -> bool {
        let Origin::Sealed(sealed) = self.from else {
            return false;
        };
        let unit = keys.of(sealed.slot).map_or(1, |key| key.unit());
        sealed.position.is_multiple_of(unit) && from_usize(self.length).is_multiple_of(unit)
    }
}

fn key_of<'k>(keys: &'k Keys, sealed: &Sealed) -> Result<&'k Key> {
    keys.of(sealed.slot).ok_or_else(|| internal(line!()))
}

/// The whole units of a cipher that `length` sealed bytes lie in: where they begin, and their length.
fn whole_units(keys: &Keys, sealed: &Sealed, length: usize) -> Result<(Sealed, u64)> {
    let unit = key_of(keys, sealed)?.unit();
    let position = align_down(sealed.position, unit);
    let before = sealed.position.saturating_sub(position);
    let start = Sealed {
        slot: sealed.slot,
        offset: sealed.offset.saturating_sub(before),
        position,
    };
    Ok((start, align_up(before.saturating_add(from_usize(length)), unit)?))
}

/// Decrypts the units that sealed bytes are parts of, by way of `unit`.
fn open_part(
    keys: &Keys,
    sealed: &Sealed,
    reads: &[StoredRead],
    stored: &[u8],
    unit: &mut Vec<u8>,
    into: &mut [u8],
) -> Result<()> {
    let (start, length) = whole_units(keys, sealed, into.len())?;
    let bytes = find(reads, stored, (start.slot, start.offset), length).ok_or_else(|| internal(line!()))?;
    grow(unit, bytes.len())?;
    let whole = unit.get_mut(..bytes.len()).ok_or_else(|| internal(line!()))?;
    whole.copy_from_slice(bytes);
    key_of(keys, sealed)?.decrypt(start.position, whole)?;
    let before = to_usize(sealed.position.saturating_sub(start.position))?;
    let part = whole.get(before..before.saturating_add(into.len()));
    into.copy_from_slice(part.ok_or_else(|| internal(line!()))?);
    Ok(())
}

/// The bytes at a place among those read.
fn find<'s>(reads: &[StoredRead], stored: &'s [u8], place: (Slot, u64), length: u64) -> Option<&'s [u8]> {
    let (slot, offset) = place;
    let end = offset.checked_add(length)?;
    let after = reads.partition_point(|read| read.place() <= place);
    let read = reads.get(after.checked_sub(1)?)?;
    if read.slot != slot || end > read.end {
        return None;
    }
    let start = read
        .at
        .checked_add(usize::try_from(offset.checked_sub(read.offset)?).ok()?)?;
    stored.get(start..start.checked_add(usize::try_from(length).ok()?)?)
}

/// Adds a read for each plain piece; bytes of the buffer that no piece fills become zero.
fn gather<'b>(batch: &mut Vec<Io<'b>>, fills: &[Fill], keys: &Keys, buffer: &'b mut [u8]) -> Result<()> {
    let mut rest = buffer;
    let mut position = 0_usize;
    for fill in fills {
        let gap = fill.at.saturating_sub(position);
        let (before, after) = rest.split_at_mut_checked(gap).ok_or_else(|| internal(line!()))?;
        before.fill(0);
        let (into, after) = after
            .split_at_mut_checked(fill.length)
            .ok_or_else(|| internal(line!()))?;
        rest = after;
        position = fill.at.saturating_add(fill.length);
        match fill.from {
            Origin::Data { slot, offset } => batch.push(Io::new(Action::Read { slot, offset, into })),
            Origin::Sealed(Sealed { slot, offset, .. }) if fill.is_straight(keys) => {
                batch.push(Io::new(Action::Read { slot, offset, into }));
            }
            Origin::Zero => into.fill(0),
            Origin::Encoded(_) | Origin::Sealed(_) => {}
        }
    }
    rest.fill(0);
    Ok(())
}

/// Where a copy on the host failed because its source cannot be read: at which byte of the target. The host does not say which
/// of the two files it was.
fn blame<'i, 'b: 'i>(
    host: &dyn Host,
    mut batch: impl Iterator<Item = (&'i Io<'b>, &'i u64)>,
) -> Option<(u64, Fault)> {
    let (io, at) = batch.find(|(io, _)| matches!(io.outcome, Err(error) if error != IoError::CANCELLED))?;
    let Action::Copy(CopyRange {
        source,
        source_offset,
        length,
        ..
    }) = io.action
    else {
        return None;
    };
    let mut piece = [0; PROBE];
    let mut done = 0_u64;
    while done < length {
        let wanted = to_usize(length.saturating_sub(done)).unwrap_or(PROBE).min(PROBE);
        let look = host.one(Action::Read {
            slot: source,
            offset: source_offset.saturating_add(done),
            into: piece.get_mut(..wanted)?,
        });
        if let Err(fault) = look {
            return Some((at.saturating_add(done), fault));
        }
        done = done.saturating_add(from_usize(wanted));
    }
    None
}

/// Bytes that are read at a time to find the place that cannot be read. Ours.
const PROBE: usize = 4096;

/// Turns outcomes into failures, and what a source file no longer has into zeros.
fn settle(
    batch: &mut [Io<'_>],
    writes: usize,
    plain: usize,
    first_at: &[u64],
    fills: &[Fill],
    keys: &Keys,
) -> Outcome<()> {
    let (first, reads) = batch.split_at_mut_checked(writes).unwrap_or((&mut [], &mut []));
    for (io, at) in first.iter().zip(first_at) {
        super::runs::check(io, Stage::Write(*at))?;
    }
    let data = fills
        .iter()
        .filter(|fill| matches!(fill.from, Origin::Data { .. }) || fill.is_straight(keys));
    let data_reads = plain.saturating_sub(writes);
    for (io, fill) in reads.iter_mut().zip(data).take(data_reads) {
        let Action::Read { slot, into, .. } = &mut io.action else {
            continue;
        };
        let read = io.outcome.map_err(|error| Failure {
            stage: Stage::Read(fill.target),
            fault: error.fault(*slot),
        })?;
        if let Some(missing) = into.get_mut(usize::try_from(read).unwrap_or(usize::MAX)..) {
            missing.fill(0);
        }
    }
    for io in reads.iter_mut().skip(data_reads) {
        let Action::Read { slot, into, .. } = &mut io.action else {
            continue;
        };
        let start = fills.first().map_or(0, |fill| fill.target);
        let read = io.outcome.map_err(|error| Failure {
            stage: Stage::Read(start),
            fault: error.fault(*slot),
        })?;
        if let Some(missing) = into.get_mut(usize::try_from(read).unwrap_or(usize::MAX)..) {
            missing.fill(0);
        }
    }
    Ok(())
}

/// The spans, in whole units, of what is written: parts of what is laid out in `all`.
pub(super) fn written(
    pieces: &[Piece],
    zeros_too: bool,
    unit: u64,
    all: &[Span],
    spans: &mut Vec<Span>,
) -> Result<()> {
    spans.clear();
    let wanted = |piece: &&Piece| !piece.look && (zeros_too || piece.from != Origin::Zero);
    for piece in pieces.iter().filter(wanted) {
        let start = align_down(piece.target, unit);
        let end = align_up(piece.target.saturating_add(piece.length), unit)?;
        match spans.last_mut() {
            Some(last) if start <= last.target.saturating_add(from_usize(last.length)) => {
                last.length = to_usize(end.saturating_sub(last.target))?.max(last.length);
            }
            _ => spans.push(Span {
                target: start,
                at: place(all, start).ok_or_else(|| internal(line!()))?,
                length: to_usize(end.saturating_sub(start))?,
            }),
        }
    }
    Ok(())
}

/// Gives the memory of a large buffer back. Small ones are kept for the next chunk.
pub(super) fn trim(buffer: &mut Vec<u8>) {
    if buffer.len() > GENEROUS {
        *buffer = Vec::new();
    }
}

/// Makes `buffer` exactly `length` bytes long without touching what it has already.
pub(super) fn grow(buffer: &mut Vec<u8>, length: usize) -> Result<()> {
    let missing = length.saturating_sub(buffer.len());
    // Room for more next time, unless it is much.
    let reserved = if length > GENEROUS {
        buffer.try_reserve_exact(missing)
    } else {
        buffer.try_reserve(missing)
    };
    if reserved.is_err() {
        return Err(Fault::new(fault::core::OUT_OF_MEMORY).with([from_usize(missing)]));
    }
    if length > buffer.len() {
        buffer.resize(length, 0);
    }
    Ok(())
}
