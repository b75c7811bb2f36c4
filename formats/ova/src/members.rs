//! The members of the archive.

use alloc::vec::Vec;

use instar_disk::fault::ova as faults;
use instar_disk::{Fault, File, Result, align_up, from_usize, to_usize};
use zerocopy::{FromZeros, IntoBytes};

use crate::header::{Header, Kind, text};
use crate::pax::Records;
use crate::raw::{BLOCK, RawHeader};

/// Headers that are read. Ours: a disk of 4 TiB in chunks of 1 GiB has as many.
pub(crate) const HEADERS_MAX: u64 = 4096;
/// Bytes of all names. Ours.
const NAMES_MAX: u64 = 1 << 20;
/// Bytes of records, or of a long name. Ours.
const RECORDS_MAX: u64 = 64 << 10;

/// A file in the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, without `./` in front.
    pub name: Vec<u8>,
    /// Where its data begins.
    pub start: u64,
    /// Bytes of its data.
    pub size: u64,
}

/// Members in the order in which they stand.
pub(crate) struct Members<'h> {
    file: File<'h>,
    at: u64,
    headers: u64,
    names: u64,
}

impl<'h> Members<'h> {
    pub(crate) const fn of(file: File<'h>) -> Self {
        Self {
            file,
            at: 0,
            headers: 0,
            names: 0,
        }
    }

    /// The next file; none behind the last.
    ///
    /// # Errors
    /// What is wrong with the archive; the host's.
    pub(crate) fn next(&mut self) -> Result<Option<Member>> {
        let mut records = Records::default();
        let mut long = None;
        while let Some((header, start)) = self.header()? {
            let size = match header.kind {
                Kind::File => records.size.unwrap_or(header.size),
                _ => header.size,
            };
            if records.sparse || header.kind == Kind::Sparse {
                return Err(Fault::new(faults::SPARSE).named(&header.name));
            }
            self.pass(&header.name, start, size)?;
            match header.kind {
                Kind::LongName => long = Some(text(&self.small(start, size)?).to_vec()),
                Kind::Records => records = Records::parse(&self.small(start, size)?, start)?,
                Kind::GlobalRecords => {
                    let global = Records::parse(&self.small(start, size)?, start)?;
                    // No writer says of all members what can be true of one.
                    if global != Records::default() {
                        return Err(Fault::new(faults::RECORDS).with([start]));
                    }
                }
                Kind::Skipped => {}
                Kind::Nothing => (records, long) = (Records::default(), None),
                Kind::Sparse => {}
                Kind::File => {
                    let name = records.path.or(long).unwrap_or(header.name);
                    self.names = self.names.saturating_add(from_usize(name.len()));
                    if self.names > NAMES_MAX {
                        return Err(Fault::new(faults::NAMES).with([NAMES_MAX]));
                    }
                    return Ok(Some(Member {
                        name: plain(&name).to_vec(),
                        start,
                        size,
                    }));
                }
            }
        }
        Ok(None)
    }

    /// The next header, and where its data begins.
    fn header(&mut self) -> Result<Option<(Header, u64)>> {
        // Some writers leave out the zeros at the end.
        if self.at >= self.file.size() {
            return Ok(None);
        }
        if self.headers >= HEADERS_MAX {
            return Err(Fault::new(faults::MEMBERS).with([HEADERS_MAX]));
        }
        self.headers = self.headers.saturating_add(1);
        let mut raw = RawHeader::new_zeroed();
        self.file.read_exact(self.at, raw.as_mut_bytes())?;
        let start = self.at.saturating_add(BLOCK);
        Ok(Header::parse(&raw, self.at)?.map(|header| (header, start)))
    }

    /// Goes on behind data.
    fn pass(&mut self, name: &[u8], start: u64, size: u64) -> Result<()> {
        let end = start.saturating_add(size);
        if end > self.file.size() {
            let numbers = [end, self.file.size()];
            return Err(Fault::new(faults::CUT_OFF).with(numbers).named(name));
        }
        self.at = align_up(end, BLOCK)?;
        Ok(())
    }

    fn small(&self, start: u64, size: u64) -> Result<Vec<u8>> {
        if size > RECORDS_MAX {
            return Err(Fault::new(faults::RECORDS_SIZE).with([start, size, RECORDS_MAX]));
        }
        let mut bytes = alloc::vec![0; to_usize(size)?];
        self.file.read_exact(start, &mut bytes)?;
        Ok(bytes)
    }
}

/// A name without what says that it is relative.
pub(crate) fn plain(name: &[u8]) -> &[u8] {
    name.strip_prefix(b"./").unwrap_or(name)
}
