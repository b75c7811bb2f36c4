//! The marks of formats in a file, ours and others': a file that bears two is shown to one reader as this, to the next as
//! that.

use alloc::string::String;
use alloc::vec::Vec;

use instar_abi::fault::safety as found;
use instar_abi::safety::Level;
use instar_disk::{Fault, File, Format, Result};

use crate::formats;

/// What a file's first and last bytes look like.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Formats of ours.
    ours: Vec<Format>,
    /// Formats and contents that are not.
    others: Vec<&'static str>,
    /// It has a table of partitions.
    partitions: bool,
    /// It has the mark of a CD.
    disc: bool,
    /// It ends like a fixed VHD.
    footer: bool,
}

/// Looks at `file`: a sector at its start, one at its end, and where a CD has its mark.
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
    let foreign = FOREIGN.iter().filter(|(magic, at, _)| has(head, magic, *at));
    Ok(Marks {
        ours: formats::claims(head).collect(),
        others: foreign.map(|(_, _, name)| *name).collect(),
        partitions: has_partitions(head),
        disc: disc == *b"CD001",
        footer: tail == *b"conectix",
    })
}

impl Marks {
    /// The one format of ours whose mark it bears.
    pub(crate) fn only(&self) -> Option<Format> {
        match self.ours[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Our own reader would not know which format it is.
    pub(crate) const fn is_ambiguous(&self) -> bool {
        self.ours.len() > 1
    }

    /// What is wrong with taking the file for `format`, which was `given` or guessed.
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
            // Of a fixed VHD the user must say that it is one: it is the disk, with whatever a disk begins with, and a footer.
            return Some((Level::Note, Fault::new(found::FIXED_VHD)));
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

/// The boot sector's mark, and partitions that a firmware would take for such.
fn has_partitions(head: &[u8]) -> bool {
    let entries = head.get(446..510).unwrap_or_default();
    let (entries, _) = entries.as_chunks::<16>();
    has(head, &[0x55, 0xaa], 510)
        && entries.iter().all(|entry| matches!(entry[0], 0 | 0x80))
        && entries.iter().any(|entry| entry[4] != 0)
}

/// Bytes of a sector.
const SECTOR: usize = 512;
/// Where a CD has its mark: the volume descriptor, after 16 sectors of 2 KiB.
const DISC: u64 = 32769;

/// Marks of formats that other tools read and instar does not: bytes, offset, name.
const FOREIGN: &[(&[u8], usize, &str)] = &[
    (b"QED\0", 0, "qed"),
    (b"QFI\xfb\0\0\0\x01", 0, "qcow"),
    (b"LUKS\xba\xbe", 0, "luks"),
    (b"WithoutFreeSpace", 0, "parallels"),
    (b"WithouFreSpacExt", 0, "parallels"),
    (b"Bochs Virtual HD Image", 0, "bochs"),
    (b"#!/bin/sh\n#V2.0 Format\n", 0, "cloop"),
];
