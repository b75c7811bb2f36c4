//! Disks inside an OVA. An image that is one is entered: from then on its file is the part that the disk stands in, and the driver of
//! the disk's own format reads that.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use instar_abi::ImageText;
use instar_abi::job::{Source, Verb};
use instar_abi::report::{Info, OvaDisk, OvaInfo, OvaMember, Specific};
use instar_disk::{Fault, File, FileFacts, Format, Result, fault, from_usize};
use instar_ova::Package;

use crate::detect::detect;
use crate::digests::Digest;
use crate::session::Session;
use crate::within::Part;

/// Bytes of names that are told of. Ours: a report has room for more.
const NAMES_MAX: usize = 256 << 10;

/// An image whose format is known, as a driver is to see it.
pub(crate) struct Entered<'h> {
    /// The file, or the part of it that the disk stands in.
    pub(crate) file: File<'h>,
    /// The format that the disk has there.
    pub(crate) inner: Format,
    /// What it was packed in.
    pub(crate) package: Option<Packed>,
}

/// An archive that was entered.
pub(crate) struct Packed {
    /// Where the disk stands.
    pub(crate) part: Arc<Part>,
    info: Box<OvaInfo>,
}

impl Packed {
    /// What `info` says of the archive, where that is what its disk says of itself.
    pub(crate) fn describe(self, mut disk: Info) -> Info {
        disk.format = Format::Ova;
        disk.specific = Some(Specific::Ova(self.info));
        disk
    }
}

/// Enters `file` if `format` is that of an archive. `said` is what the user says of it.
///
/// # Errors
/// What is wrong with the archive; a disk that cannot be chosen or read; the host's.
pub(crate) fn enter<'h>(
    session: &Session<'h>,
    file: File<'h>,
    format: Format,
    said: Option<&Source>,
) -> Result<Entered<'h>> {
    let disk = said.and_then(|source| source.disk.as_ref());
    if format == Format::Ova {
        return inside(session, file, disk.map(ImageText::as_bytes));
    }
    // Of two images that are compared, one may have disks to choose from.
    if disk.is_some() && !matches!(session.job.verb, Verb::Compare(_)) {
        return Err(no_choice(format).in_file(file.slot()));
    }
    Ok(Entered {
        file,
        inner: format,
        package: None,
    })
}

/// Says that there is nothing to choose from in an image of that format.
pub(crate) fn no_choice(format: Format) -> Fault {
    Fault::new(fault::ova::NO_CHOICE).named(format.name().as_bytes())
}

fn inside<'h>(session: &Session<'h>, file: File<'h>, wanted: Option<&[u8]>) -> Result<Entered<'h>> {
    let slot = file.slot();
    if session.within.part(slot).is_some_and(|part| part.is_packed) {
        // The user named one file twice, and the first time was enough to enter it.
        return Err(Fault::new(fault::ova::TWICE).in_file(slot));
    }
    let package = Package::open(file)?;
    let chosen = package.choose(wanted).map_err(|fault| fault.in_file(slot))?;
    let Some(disk) = package.disks.get(chosen) else {
        return Err(crate::session::internal(line!()));
    };
    let pieces: Vec<_> = disk
        .pieces
        .iter()
        .filter_map(|piece| package.members.get(*piece))
        .collect();
    if is_verified(&session.job.verb) {
        let descriptor = package.members.get(package.descriptor);
        for member in pieces.iter().copied().chain(descriptor) {
            expect(session, &file, &package, member)?;
        }
    }
    let places: Vec<_> = pieces.iter().map(|member| (member.start, member.size)).collect();
    let part = session.within.enter(Part::new(slot, &places, true));
    let facts = FileFacts {
        size: part.size(),
        called_dmg: false,
        ..file.facts()
    };
    let file = File::new(session.host, facts);
    let inner = match disk.format {
        Some(format) => format,
        None => detect(session, &file)?,
    };
    let info = Box::new(told(&package, chosen, inner));
    Ok(Entered {
        file,
        inner,
        package: Some(Packed { part, info }),
    })
}

/// Whether a verb reads all of the disk, so that reading all of its file as well is no surprise.
fn is_verified(verb: &Verb) -> bool {
    match verb {
        Verb::Convert(job) => job.range.is_none(),
        Verb::Checksum(_) => true,
        _ => false,
    }
}

/// Has `member` looked at, if the manifest says what it must come to.
fn expect(
    session: &Session<'_>,
    file: &File<'_>,
    package: &Package,
    member: &instar_ova::Member,
) -> Result<()> {
    let slot = file.slot();
    let around = session.within.part(slot);
    for expected in package.expected(member).map_err(|fault| fault.in_file(slot))? {
        let own = Part::new(slot, &[(member.start, member.size)], true);
        let part = around
            .as_ref()
            .map_or_else(|| own.clone(), |around| own.moved(around));
        let digest = Digest {
            slot,
            pieces: part.pieces(),
            name: member.name.clone(),
            hash: expected.hash,
            expected: expected.digest,
        };
        session.within.digests.add(session.host, digest);
    }
    Ok(())
}

fn told(package: &Package, chosen: usize, format: Format) -> OvaInfo {
    let mut room = NAMES_MAX;
    let mut members = Vec::new();
    for member in &package.members {
        let Some(left) = room.checked_sub(member.name.len()) else {
            break;
        };
        room = left;
        members.push(OvaMember {
            name: ImageText::new(&member.name),
            size: member.size,
        });
    }
    let name_of = |index: usize| {
        let member = package.members.get(index);
        ImageText::new(member.map_or(&[][..], |member| &member.name))
    };
    let disks = package.disks.iter().map(|disk| OvaDisk {
        id: short(&disk.id),
        file: disk.name.as_deref().map(short),
        capacity: disk.capacity,
    });
    OvaInfo {
        left_out: from_usize(package.members.len().saturating_sub(members.len())),
        members,
        descriptor: name_of(package.descriptor),
        manifest: package.manifest.map(name_of),
        disks: disks.collect(),
        chosen: u32::try_from(chosen).unwrap_or(u32::MAX),
        format,
    }
}

/// A name of a disk, of which there are so many that all of them fit a report.
fn short(name: &[u8]) -> ImageText {
    ImageText::new(name.get(..SHORT).unwrap_or(name))
}

/// Bytes of it.
const SHORT: usize = 255;
