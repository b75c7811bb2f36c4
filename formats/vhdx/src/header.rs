//! The two headers, of which one counts.

use instar_disk::fault::vhdx as faults;
use instar_disk::{Fault, File, Result};
use zerocopy::{FromZeros, IntoBytes};

use crate::crc::crc32c;
use crate::layout::{HEADER_SECTION, HEADERS, MIB};
use crate::raw::{FILE_SIGNATURE, Guid, HEADER_SIGNATURE, RawHeader};

/// What the header that counts says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Where the log is, a multiple of 1 MiB past the header section.
    pub(crate) log_offset: u64,
    /// Its bytes, a multiple of 1 MiB if there is something in it.
    pub(crate) log_length: u64,
    /// What its entries carry; none: the log is empty.
    pub(crate) log_guid: Option<Guid>,
}

impl Header {
    /// The header of the VHDX `file` that counts, and what it was read from.
    ///
    /// # Errors
    /// `NOT_VHDX`, `NO_HEADER`, and what is wrong with the header; the host's.
    pub(crate) fn read(file: &File<'_>) -> Result<(Self, RawHeader)> {
        let mut signature = [0; 8];
        file.read_padded(0, &mut signature)?;
        if signature != FILE_SIGNATURE {
            return Err(Fault::new(faults::NOT_VHDX));
        }
        let [first, second] = HEADERS;
        let raw = match (read_valid(file, first)?, read_valid(file, second)?) {
            (Some(raw), None) | (None, Some(raw)) => raw,
            // Disk2VHD writes the same header twice.
            (Some(one), Some(two)) if one == two => one,
            (Some(one), Some(two)) => {
                let (a, b) = (one.sequence_number.get(), two.sequence_number.get());
                if a == b {
                    return Err(Fault::new(faults::NO_HEADER));
                }
                if a > b { one } else { two }
            }
            (None, None) => return Err(Fault::new(faults::NO_HEADER)),
        };
        Ok((Self::parse(&raw)?, raw))
    }

    /// Judges `raw`, whose checksum is right.
    fn parse(raw: &RawHeader) -> Result<Self> {
        let (log_offset, log_length) = (raw.log_offset.get(), u64::from(raw.log_length.get()));
        let misplaced = log_offset < HEADER_SECTION || !log_offset.is_multiple_of(MIB);
        if misplaced || !log_length.is_multiple_of(MIB) {
            return Err(Fault::new(faults::LOG_PLACE).with([log_offset, log_length]));
        }
        if raw.log_version.get() != 0 {
            return Err(Fault::new(faults::VERSION).with([raw.log_version.get().into()]));
        }
        Ok(Self {
            log_offset,
            log_length,
            log_guid: (raw.log_guid != [0; 16] && log_length > 0).then_some(raw.log_guid),
        })
    }
}

/// The header at `offset`, if its checksum is right.
pub(crate) fn read_valid(file: &File<'_>, offset: u64) -> Result<Option<RawHeader>> {
    let mut raw = RawHeader::new_zeroed();
    file.read_padded(offset, raw.as_mut_bytes())?;
    let checksum = raw.checksum.get();
    raw.checksum.set(0);
    let valid =
        raw.signature == HEADER_SIGNATURE && raw.version.get() == 1 && crc32c(raw.as_bytes()) == checksum;
    Ok(valid.then_some(raw))
}
