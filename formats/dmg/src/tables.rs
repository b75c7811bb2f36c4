//! Block tables: where they are found, and what they say.

use alloc::format;
use alloc::vec::Vec;

use instar_disk::fault::dmg as faults;
use instar_disk::{Fault, File, Result, fault, from_usize, limits, to_usize};
use zerocopy::FromBytes;

use crate::base64;
use crate::chunks::{Chunk, Chunks, Content};
use crate::header::{Header, SECTOR, Tables};
use crate::raw::{self, RawEntry, RawTable, TABLE};

/// Sectors of a chunk that is not zeros, and bytes that it has in the file; qemu-img's limits.
const SECTORS_MAX: u64 = 131_072;
const LENGTH_MAX: u64 = 64 << 20;

/// All chunks that the tables of an image name.
///
/// # Errors
/// What is wrong with lists, tables and chunks.
pub(crate) fn read(file: &File<'_>, header: &Header) -> Result<Chunks> {
    let mut chunks = Chunks::default();
    let (Tables::List(offset, length) | Tables::Fork(offset, length)) = header.tables;
    let mut bytes = buffer(length)?;
    file.read_padded(offset, &mut bytes)?;
    chunks.read = length;
    match header.tables {
        Tables::List(..) => of_list(&mut bytes, header, &mut chunks)?,
        Tables::Fork(..) => of_fork(&bytes, header, &mut chunks)?,
    }
    if chunks.is_empty() {
        return Err(Fault::new(faults::NO_CHUNKS));
    }
    Ok(chunks)
}

/// Tries what stands between each `<data>` and `</data>`. A list ends at its first NUL.
fn of_list(list: &mut [u8], header: &Header, chunks: &mut Chunks) -> Result<()> {
    let end = position(list, &[0]).unwrap_or(list.len());
    let mut rest = list.get_mut(..end).unwrap_or_default();
    while let Some(start) = position(rest, OPENING) {
        let (_, data) = rest.split_at_mut(start.saturating_add(OPENING.len()));
        let length = position(data, CLOSING).ok_or_else(|| Fault::new(faults::LIST_END))?;
        let (data, more) = data.split_at_mut(length);
        table(base64::decode(data), header, chunks)?;
        rest = more;
    }
    Ok(())
}

/// Tries every piece of a resource fork: a length, and as many bytes.
fn of_fork(fork: &[u8], header: &Header, chunks: &mut Chunks) -> Result<()> {
    let damaged = || Fault::new(faults::FORK);
    let word = |at: usize| -> Result<usize> {
        let word = fork.get(at..).and_then(<[u8]>::first_chunk).ok_or_else(damaged)?;
        to_usize(u32::from_be_bytes(*word).into())
    };
    let (start, length) = (word(0)?, word(8)?);
    let end = start.saturating_add(length);
    let mut rest = fork.get(start..end).ok_or_else(damaged)?;
    if rest.is_empty() {
        return Err(damaged());
    }
    // Each turn uses up more than four bytes.
    while let Some((length, more)) = rest.split_first_chunk() {
        let length = to_usize(u32::from_be_bytes(*length).into())?;
        let piece = more.split_at_checked(length).filter(|_| length > 0);
        let (piece, more) = piece.ok_or_else(damaged)?;
        table(piece, header, chunks)?;
        rest = more;
    }
    rest.is_empty().then_some(()).ok_or_else(damaged)
}

/// Takes in the chunks of a block table. What is none is skipped, as by qemu-img: lists and forks hold other things, too.
fn table(bytes: &[u8], header: &Header, chunks: &mut Chunks) -> Result<()> {
    let Ok((table, rest)) = RawTable::ref_from_prefix(bytes) else {
        return Ok(());
    };
    if table.signature != TABLE || rest.len() < size_of::<RawEntry>() {
        return Ok(());
    }
    let entries = rest.chunks_exact(size_of::<RawEntry>());
    let (stated, found) = (u64::from(table.entries.get()), from_usize(entries.len()));
    if stated != found {
        return Err(Fault::new(faults::COUNT).with([stated, found]));
    }
    let data = header.data_offset.saturating_add(table.data_offset.get());
    for bytes in entries {
        let Ok(entry) = RawEntry::ref_from_bytes(bytes) else {
            continue;
        };
        if let Some(chunk) = chunk(entry, table.first_sector.get(), data, from_usize(chunks.len()))? {
            chunks.add(chunk)?;
        }
    }
    Ok(())
}

/// The chunk of an entry, if it is one.
fn chunk(entry: &RawEntry, first: u64, data: u64, number: u64) -> Result<Option<Chunk>> {
    let (kind, sectors, length) = (entry.kind.get(), entry.sectors.get(), entry.length.get());
    let content = match kind {
        raw::COMMENT | raw::TERMINATOR => return Ok(None),
        raw::ZERO | raw::IGNORE => Content::Zeros,
        raw::RAW => Content::Raw,
        raw::ADC => Content::Adc,
        raw::ZLIB => Content::Zlib,
        raw::BZIP2 => Content::Bzip2,
        raw::LZFSE => Content::Lzfse,
        raw::XZ => Content::Xz,
        other => Content::Unknown(other),
    };
    if content != Content::Zeros {
        if sectors > SECTORS_MAX {
            return Err(Fault::new(faults::SECTORS).with([sectors, number]));
        }
        if length > LENGTH_MAX {
            return Err(Fault::new(faults::LENGTH).with([length, number]));
        }
        if content == Content::Raw && length.div_ceil(SECTOR) != sectors {
            return Err(Fault::new(faults::RAW_LENGTH).with([length, number, sectors]));
        }
    }
    if sectors == 0 {
        return Ok(None);
    }
    let sector = first.checked_add(entry.sector.get());
    let end = sector.and_then(|sector| sector.checked_add(sectors));
    let offset = data.saturating_add(entry.offset.get());
    let (Some(sector), Some(end)) = (sector, end) else {
        return Err(Fault::new(faults::SECTOR).with([number]));
    };
    if content != Content::Zeros && offset.saturating_add(length) >= limits::FILE_END {
        return Err(Fault::new(faults::OFFSET).with([number, offset]));
    }
    Ok(Some(Chunk {
        content,
        sector,
        end,
        offset,
        // Zeros have none.
        length: u32::try_from(length).unwrap_or(u32::MAX),
    }))
}

fn buffer(bytes: u64) -> Result<Vec<u8>> {
    let length = to_usize(bytes)?;
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(length)
        .map_err(|_| Fault::new(fault::core::OUT_OF_MEMORY).with([bytes]))?;
    buffer.resize(length, 0);
    Ok(buffer)
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

/// The text of an unknown kind.
pub(crate) fn kind_text(kind: u32) -> alloc::string::String {
    format!("{kind:08x}")
}

const OPENING: &[u8] = b"<data>";
const CLOSING: &[u8] = b"</data>";
