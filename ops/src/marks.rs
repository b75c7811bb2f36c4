//! The signatures of formats in a file, ours and foreign ones: two readers may take a file with two signatures for two
//! different images.

use alloc::string::String;
use alloc::vec::Vec;

use instar_abi::fault::safety as found;
use instar_abi::safety::Level;
use instar_disk::{Fault, File, Format, Result};

use crate::formats;

/// The signatures in the first and last bytes of a file.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Formats that instar reads.
    ours: Vec<Format>,
    /// Other formats and contents.
    others: Vec<&'static str>,
    /// The file has a partition table.
    partitions: bool,
    /// The file has the signature of a CD.
    disc: bool,
    /// The file ends like a fixed VHD.
    footer: bool,
}

/// Reads a sector at the start of `file`, one at its end, and the place of the signature of a CD.
pub(crate) fn of(file: &File<'_>) -> Result<Marks> {
    let mut head = [0; SECTOR];
    let present = file.read(0, &mut head)?;
    let head = head.get(..present).unwrap_or_default();
    let mut disc = [0; 5];
    file.read_padded(DISC, &mut disc)?;
    let mut tail = [0; 8];
    if let Some(at) = file.size().checked_sub(512) {
        file.read_padded(at, &mut tail)?;
    }
    let ours = formats::claims(file, head)?;
    // A variant of a format of ours that we do not read has its signature, too.
    let foreign = FOREIGN.iter().filter(|(magic, at, name)| {
        has(head, magic, *at) && !ours.iter().any(|format| format.name() == *name)
    });
    Ok(Marks {
        others: foreign.map(|(_, _, name)| *name).collect(),
        ours,
        partitions: has_partitions(head),
        disc: disc == *b"CD001",
        footer: tail == *b"conectix",
    })
}

impl Marks {
    /// The only format of ours whose signature the file has.
    pub(crate) fn only(&self) -> Option<Format> {
        match self.ours[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether our own reader could not decide on a format.
    pub(crate) const fn is_ambiguous(&self) -> bool {
        self.ours.len() > 1
    }

    /// The objection to taking the file for `format`, which was `given` or guessed.
    pub(crate) fn judge(&self, format: Format, given: bool) -> Option<(Level, Fault)> {
        let mut names: Vec<&str> = self.ours.iter().map(|format| format.name()).collect();
        names.extend(&self.others);
        if format == Format::Raw {
            // A disk may well hold partitions, or be a CD.
            return match (names.first(), given) {
                (Some(_), true) => Some((Level::Unsafe, with(found::MARKED, &names))),
                (Some(_), false) => Some((Level::Unsafe, with(found::FOREIGN, &names))),
                (None, false) if self.footer => Some((Level::Note, Fault::new(found::FOOTER))),
                _ => None,
            };
        }
        if format == Format::Vpc && !self.ours.contains(&Format::Vpc) && self.footer && names.is_empty() {
            // The user must declare a fixed VHD: it is the disk itself, with whatever a disk begins with, and a footer.
            return Some((Level::Note, Fault::new(found::FIXED_VHD)));
        }
        if format == Format::Dmg && names.is_empty() {
            // Chunks that are not compressed stand in front as they are: the disk may well hold partitions, or be a CD.
            return None;
        }
        if !names.contains(&format.name()) {
            names.insert(0, format.name());
        }
        names.extend(self.partitions.then_some("a disk with partitions"));
        names.extend(self.disc.then_some("a CD"));
        (names.len() > 1).then(|| (Level::Unsafe, with(found::POLYGLOT, &names)))
    }
}

fn with(code: instar_disk::FaultCode, names: &[&str]) -> Fault {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            text.push_str(" and ");
        }
        text.push_str(name);
    }
    Fault::new(code).named(text.as_bytes())
}

fn has(head: &[u8], magic: &[u8], at: usize) -> bool {
    head.get(at..).is_some_and(|rest| rest.starts_with(magic))
}

/// Whether there is the signature of a boot sector, and partitions that a firmware would accept.
fn has_partitions(head: &[u8]) -> bool {
    let entries = head.get(446..510).unwrap_or_default();
    let (entries, _) = entries.as_chunks::<16>();
    has(head, &[0x55, 0xaa], 510)
        && entries.iter().all(|entry| matches!(entry[0], 0 | 0x80))
        && entries.iter().any(|entry| entry[4] != 0)
}

/// Bytes of a sector.
const SECTOR: usize = 512;
/// The place of the signature of a CD: the volume descriptor, after 16 sectors of 2 KiB.
const DISC: u64 = 32769;

/// Signatures of formats that other tools read and instar does not, and of variants of its own formats: bytes, offset, name.
const FOREIGN: &[(&[u8], usize, &str)] = &[
    (b"LUKS\xba\xbe", 0, "luks"),
    (b"WithoutFreeSpace", 0, "parallels"),
    (b"WithouFreSpacExt", 0, "parallels"),
    (b"Bochs Virtual HD Image", 0, "bochs"),
    (b"#!/bin/sh\n#V2.0 Format\n", 0, "cloop"),
    (b"shdw\0\0\0", 0, "asif"),
    (b"\x28\xb5\x2f\xfd", 0, "zst"),
];
