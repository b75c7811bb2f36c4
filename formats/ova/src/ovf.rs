//! The descriptor: which files there are, and which of them are disks.

use alloc::vec::Vec;

use instar_disk::fault::ova as faults;
use instar_disk::{Fault, Result, from_usize};

use crate::pax::decimal;
use crate::spaces::Spaces;
use crate::xml::{Element, Event, Reader};

/// Files, and disks, that are kept. Ours.
const ITEMS_MAX: usize = 1024;

/// A `File` of `References`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reference {
    pub(crate) id: Vec<u8>,
    pub(crate) href: Vec<u8>,
    /// The method of compression; empty: none.
    pub(crate) compression: Vec<u8>,
}

/// A `Disk` of `DiskSection`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: Vec<u8>,
    /// The ID of its file; a blank disk has none.
    pub(crate) file: Option<Vec<u8>>,
    /// Bytes of the disk, if they are a plain number of units.
    pub(crate) capacity: Option<u64>,
    /// The address that stands for its format.
    pub(crate) format: Vec<u8>,
    /// It holds only what differs from another disk.
    pub(crate) is_delta: bool,
}

/// What a descriptor lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    pub(crate) references: Vec<Reference>,
    pub(crate) disks: Vec<Listed>,
}

impl Envelope {
    /// Reads a descriptor.
    ///
    /// # Errors
    /// What is wrong with its XML; `NO_ENVELOPE`, `ITEMS`, `AMBIGUOUS`.
    pub(crate) fn parse(document: &[u8]) -> Result<Self> {
        let mut envelope = Self::default();
        let mut reader = Reader::new(document);
        let mut spaces = Spaces::default();
        // Where we are: the local names of OVF's elements, and nothing for others.
        let mut path: Vec<Option<&[u8]>> = Vec::new();
        while let Some(event) = reader.next()? {
            let Event::Open(element) = event else {
                path.pop();
                spaces.leave(reader.depth());
                continue;
            };
            declare(&mut spaces, reader.depth(), &element);
            path.push(spaces.local(element.name, true));
            match path[..] {
                [Some(b"Envelope"), Some(b"References"), Some(b"File")] => {
                    envelope.references.push(reference(&spaces, &element)?);
                }
                [Some(b"Envelope"), Some(b"DiskSection"), Some(b"Disk")] => {
                    envelope.disks.push(disk(&spaces, &element)?);
                }
                [Some(b"Envelope"), ..] => {}
                _ => return Err(Fault::new(faults::NO_ENVELOPE).named(element.name)),
            }
            if envelope.references.len().max(envelope.disks.len()) > ITEMS_MAX {
                return Err(Fault::new(faults::ITEMS).with([from_usize(ITEMS_MAX)]));
            }
        }
        Ok(envelope)
    }
}

fn declare<'x>(spaces: &mut Spaces<'x>, depth: usize, element: &Element<'x>) {
    for (name, value) in &element.attributes {
        match name.strip_prefix(b"xmlns") {
            Some([]) => spaces.declare(depth, b"", value),
            Some([b':', prefix @ ..]) => spaces.declare(depth, prefix, value),
            _ => {}
        }
    }
}

fn reference(spaces: &Spaces<'_>, element: &Element<'_>) -> Result<Reference> {
    let value = |name| attribute(spaces, element, name);
    Ok(Reference {
        id: value(b"id")?.unwrap_or_default(),
        href: value(b"href")?.unwrap_or_default(),
        compression: value(b"compression")?
            .filter(|method| method != b"identity")
            .unwrap_or_default(),
    })
}

fn disk(spaces: &Spaces<'_>, element: &Element<'_>) -> Result<Listed> {
    let value = |name| attribute(spaces, element, name);
    let unit = value(b"capacityAllocationUnits")?.map_or(Some(1), |unit| bytes(&unit));
    let capacity = value(b"capacity")?.and_then(|number| decimal(number.trim_ascii()));
    Ok(Listed {
        id: value(b"diskId")?.unwrap_or_default(),
        file: value(b"fileRef")?.filter(|file| !file.is_empty()),
        capacity: capacity.and_then(|capacity| capacity.checked_mul(unit?)),
        format: value(b"format")?.unwrap_or_default(),
        is_delta: value(b"parentRef")?.is_some(),
    })
}

/// The value of OVF's attribute of that name.
///
/// # Errors
/// `AMBIGUOUS` if there are two.
fn attribute(spaces: &Spaces<'_>, element: &Element<'_>, wanted: &[u8]) -> Result<Option<Vec<u8>>> {
    let attributes = element.attributes.iter();
    let mut values = attributes.filter(|(name, _)| spaces.local(name, false) == Some(wanted));
    let first = values.next();
    if values.next().is_some() {
        return Err(Fault::new(faults::AMBIGUOUS).named(wanted));
    }
    Ok(first.map(|(_, value)| value.clone()))
}

/// Bytes of a unit such as `byte * 2^20`, or of those of old descriptors.
fn bytes(unit: &[u8]) -> Option<u64> {
    let mut word: Vec<u8> = unit
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .copied()
        .collect();
    word.make_ascii_lowercase();
    match &word[..] {
        b"byte" | b"bytes" => return Some(1),
        b"kilobytes" => return Some(1 << 10),
        b"megabytes" => return Some(1 << 20),
        b"gigabytes" => return Some(1 << 30),
        _ => {}
    }
    let factor = word.strip_prefix(b"byte*")?;
    match factor.iter().position(|byte| *byte == b'^') {
        None => decimal(factor),
        Some(at) => {
            let (base, exponent) = factor.split_at_checked(at)?;
            let exponent = decimal(exponent.strip_prefix(b"^")?)?;
            decimal(base)?.checked_pow(u32::try_from(exponent).ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_products() {
        for (unit, expected) in [
            ("byte", Some(1)),
            ("byte * 2^20", Some(1 << 20)),
            ("byte*10^9", Some(1_000_000_000)),
            (" Byte * 512", Some(512)),
            ("MegaBytes", Some(1 << 20)),
            ("byte * 2^64", None),
            ("sectors", None),
            ("byte *", None),
            ("byte * 2^", None),
        ] {
            assert_eq!(bytes(unit.as_bytes()), expected, "{unit}");
        }
    }

    fn disks(attributes: &str) -> Result<Vec<Listed>> {
        let text = format!(
            "<Envelope xmlns='http://schemas.dmtf.org/ovf/envelope/1' xmlns:ovf='http://schemas.dmtf.org/ovf/envelope/1' xmlns:v='other'>
             <v:DiskSection><v:Disk ovf:diskId='not'/></v:DiskSection>
             <VirtualSystem><DiskSection><Disk ovf:diskId='neither'/></DiskSection></VirtualSystem>
             <DiskSection><Info>x</Info><Disk {attributes}/></DiskSection></Envelope>"
        );
        Envelope::parse(text.as_bytes()).map(|envelope| envelope.disks)
    }

    #[test]
    fn only_the_words_of_ovf_count() {
        let disk = Listed {
            id: b"d".into(),
            file: Some(b"f".into()),
            capacity: Some(3 << 30),
            format: b"x".into(),
            is_delta: false,
        };
        for attributes in [
            "ovf:diskId='d' ovf:fileRef='f' ovf:capacity='3' ovf:capacityAllocationUnits='byte * 2^30' ovf:format='x' v:capacity='7'",
            "diskId='d' fileRef='f' capacity='3221225472' format='x' v:parentRef='p'",
        ] {
            assert_eq!(disks(attributes), Ok([disk.clone()].into()), "{attributes}");
        }
        let fault = disks("ovf:fileRef='a' fileRef='b'").unwrap_err();
        assert_eq!(fault.code, faults::AMBIGUOUS);
        assert!(disks("ovf:parentRef='p'").unwrap()[0].is_delta);
        assert_eq!(disks("ovf:capacity='${size}'").unwrap()[0].capacity, None);
    }

    #[test]
    fn only_an_envelope_is_a_descriptor() {
        for text in ["<a/>", "<x:Envelope xmlns:x='other'/>", "<x:Envelope/>"] {
            assert_eq!(
                Envelope::parse(text.as_bytes()).unwrap_err().code,
                faults::NO_ENVELOPE,
                "{text}"
            );
        }
        assert_eq!(Envelope::parse(b"<Envelope/>"), Ok(Envelope::default()));
    }
}
