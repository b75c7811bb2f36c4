//! Reading.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_crypt::legacy_key;
use instar_disk::fault::qcow as faults;
use instar_disk::report::Backing;
use instar_disk::{
    Codec, Encoded, Fault, FaultCode, File, Format, Image, Key, Kind, Mapping, Opened, Result, Sealed, Slot,
    Status, Work, fault, report,
};

use crate::geometry::Entry;
use crate::header::Header;
use crate::table::{Run, Tables, judge};

/// Opens a qcow image. With `info_only` one is opened, too, that cannot be read because it is encrypted.
///
/// # Errors
/// What the header says that this driver refuses, in qemu-img's words; that it is encrypted; an L1 table that is not in the file; the host's.
pub fn open<'h>(file: File<'h>, info_only: bool) -> Result<Opened<'h>> {
    open_with(file, info_only, None)
}

/// The same, with the key of an encrypted image; others need none.
///
/// # Errors
/// As [`open`].
pub fn open_with<'h>(file: File<'h>, info_only: bool, key: Option<Key>) -> Result<Opened<'h>> {
    let (header, _) = Header::read(&file)?;
    let key = key.filter(|_| header.encrypted);
    if header.encrypted && key.is_none() && !info_only {
        return Err(no_key(&file));
    }
    Ok(Box::new(Qcow {
        tables: Tables::new(file, &header)?,
        file,
        header,
        key,
    }))
}

/// Makes a key of the passphrase of an encrypted image; others have none.
///
/// # Errors
/// What is wrong with the header; the host's.
pub fn unlock(file: File<'_>, passphrase: &[u8]) -> Result<Option<Key>> {
    let (header, _) = Header::read(&file)?;
    header.encrypted.then(|| legacy_key(passphrase)).transpose()
}

/// Whether the image is encrypted as its user says, by the name of a method.
///
/// # Errors
/// It is not; what is wrong with its header.
pub fn expect_encryption(file: File<'_>, method: &[u8]) -> Result<()> {
    let (header, _) = Header::read(&file)?;
    let code = match header.encrypted {
        true if method == b"aes" => return Ok(()),
        true => fault::qcow2::ENCRYPTED_BY_AES,
        false => fault::qcow2::NOT_ENCRYPTED,
    };
    Err(Fault::new(code).named(method).in_file(file.slot()))
}

fn no_key(file: &File<'_>) -> Fault {
    Fault::new(fault::qcow2::NO_KEY).in_file(file.slot())
}

struct Qcow<'h> {
    file: File<'h>,
    header: Header,
    tables: Tables<'h>,
    key: Option<Key>,
}

impl Qcow<'_> {
    /// The run with byte `offset`, where in it that is, and how many of its bytes the disk has from there on.
    fn find(&mut self, offset: u64) -> Result<(Run, u64, u64)> {
        let geometry = self.header.geometry;
        let run = self.tables.run(geometry.cluster_of(offset))?;
        let within = offset.saturating_sub(geometry.start_of(offset));
        let length = run
            .clusters
            .saturating_mul(geometry.cluster())
            .saturating_sub(within)
            .min(self.header.size.saturating_sub(offset));
        Ok((run, within, length))
    }
}

impl Qcow<'_> {
    /// The refusal of a cluster.
    fn wrong(&self, code: FaultCode, offset: u64, entry: Entry) -> Fault {
        let place = match entry {
            Entry::None => 0,
            Entry::At(place) | Entry::Stream(place, _) => place,
        };
        Fault::new(code)
            .with([
                self.header.geometry.cluster_of(offset),
                place,
                self.header.file_size,
            ])
            .in_file(self.file.slot())
    }
}

impl Image for Qcow<'_> {
    fn size(&self) -> u64 {
        self.header.size
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        if self.header.encrypted && self.key.is_none() {
            return Err(no_key(&self.file));
        }
        let (run, within, length) = self.find(offset)?;
        if let Some(code) = judge(run.entry, &self.header) {
            return Err(self.wrong(code, offset, run.entry));
        }
        let slot = self.file.slot();
        let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        let kind = match run.entry {
            Entry::None => Kind::Unallocated,
            Entry::At(start) if self.header.encrypted => Kind::Sealed(Sealed {
                slot,
                offset: start.saturating_add(within),
                position: offset,
            }),
            Entry::At(start) => Kind::Data {
                slot,
                offset: start.saturating_add(within),
            },
            Entry::Stream(start, stored) => Kind::Encoded(Encoded {
                codec: Codec::Deflate,
                slot,
                offset: start,
                stored: narrow(stored),
                least: narrow(stored),
                unit: narrow(self.header.geometry.cluster()),
                within: narrow(within),
            }),
        };
        Ok(Mapping { length, kind })
    }

    /// A cluster that stands on no sector is shown where it is, as by the reference tool.
    fn status(&mut self, offset: u64) -> Result<Status> {
        let (run, within, length) = self.find(offset)?;
        if let Some(code) = judge(run.entry, &self.header).filter(|code| *code != faults::ENTRY) {
            return Err(self.wrong(code, offset, run.entry));
        }
        let place = match run.entry {
            Entry::At(start) if !self.header.encrypted => {
                Some((self.file.slot(), start.saturating_add(within)))
            }
            _ => None,
        };
        let is_there = run.entry != Entry::None;
        Ok(Status {
            length,
            present: is_there,
            zero: false,
            data: is_there,
            compressed: matches!(run.entry, Entry::Stream(..)),
            place,
        })
    }

    fn status_unit(&self, _: u64) -> u64 {
        self.header.geometry.cluster()
    }

    fn cluster_size(&self) -> Option<u64> {
        Some(self.header.geometry.cluster())
    }

    fn largest_unit(&self) -> u64 {
        self.header.geometry.cluster()
    }

    fn work(&self) -> Work {
        self.tables.work()
    }

    fn declared_tables(&self) -> Vec<(u64, u64)> {
        [(self.header.l1_offset, self.header.l1_bytes())].into()
    }

    fn backing(&self) -> Option<Backing> {
        self.header.backing()
    }

    fn key(&self) -> Option<(Slot, Key)> {
        Some((self.file.slot(), self.key.clone()?))
    }

    fn describe(&mut self) -> Result<report::Info> {
        Ok(report::Info {
            cluster_size: self.cluster_size(),
            encrypted: self.header.encrypted,
            backing: self.header.backing(),
            ..report::Info::of(self.file.slot(), Format::Qcow, self.header.size)
        })
    }
}
