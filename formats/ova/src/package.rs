//! An archive as a whole: its members, and what its descriptor makes of them.

use alloc::vec::Vec;

use instar_disk::fault::ova as faults;
use instar_disk::{Fault, File, Format, Result, to_usize};

use crate::manifest::{self, Expected};
use crate::members::{Member, Members, plain};
use crate::ovf::{Envelope, Listed, Reference};

/// Bytes of the descriptor, and of the manifest. Ours: a descriptor of a large machine has 100 KiB.
const TEXT_MAX: u64 = 1 << 20;

/// A virtual machine in an archive.
#[derive(Clone, Debug)]
pub struct Package {
    /// The files in the archive, in order.
    pub members: Vec<Member>,
    /// The disks in the order of the descriptor.
    pub disks: Vec<Disk>,
    /// Which member the descriptor is.
    pub descriptor: usize,
    /// Which member the manifest is, if there is one.
    pub manifest: Option<usize>,
    /// What the manifest says.
    lines: Vec<u8>,
}

/// A disk, as the descriptor tells of it.
#[derive(Clone, Debug)]
pub struct Disk {
    /// Its ID.
    pub id: Vec<u8>,
    /// The name of its file; none: it is blank.
    pub name: Option<Vec<u8>>,
    /// Bytes of the disk, where the descriptor has a plain number.
    pub capacity: Option<u64>,
    /// The format that the descriptor states, if it is one that we know.
    pub format: Option<Format>,
    /// The members that are its file, in order: one, or the chunks that it was cut into.
    pub pieces: Vec<usize>,
    /// How its file is compressed; empty: not.
    pub(crate) compression: Vec<u8>,
    pub(crate) is_delta: bool,
}

impl Package {
    /// Reads the headers of all members, the descriptor, and the manifest.
    ///
    /// # Errors
    /// What is wrong with one of them; the host's.
    pub fn open(file: File<'_>) -> Result<Self> {
        Self::read(file).map_err(|fault| fault.in_file(file.slot()))
    }

    fn read(file: File<'_>) -> Result<Self> {
        let mut members = Vec::new();
        let mut walk = Members::of(file);
        while let Some(member) = walk.next()? {
            members.push(member);
        }
        let found = |is: &dyn Fn(&[u8]) -> bool| -> Vec<usize> {
            let numbered = members.iter().enumerate();
            numbered
                .filter(|(_, member)| is(&member.name))
                .map(|(index, _)| index)
                .collect()
        };
        let descriptor = match found(&is_descriptor)[..] {
            [] => return Err(Fault::new(faults::NO_DESCRIPTOR)),
            [only] => only,
            [_, second, ..] => {
                let name = members.get(second).map(|member| &member.name[..]);
                return Err(Fault::new(faults::DESCRIPTORS).named(name.unwrap_or_default()));
            }
        };
        let envelope = Envelope::parse(&text(&file, members.get(descriptor))?)?;
        let stem = members
            .get(descriptor)
            .and_then(|member| member.name.get(..member.name.len().checked_sub(4)?));
        let own = [stem.unwrap_or_default(), b".mf"].concat();
        let manifest = match found(&|name| name == own)[..] {
            [] => None,
            [only] => Some(only),
            _ => return Err(Fault::new(faults::DUPLICATE).named(&own)),
        };
        let lines = match manifest {
            Some(manifest) => text(&file, members.get(manifest))?,
            None => Vec::new(),
        };
        let disks = envelope.disks.iter();
        let disks = disks.map(|disk| located(disk, &envelope.references, &members));
        Ok(Self {
            disks: disks.collect::<Result<_>>()?,
            members,
            descriptor,
            manifest,
            lines,
        })
    }

    /// What the manifest says of a member; nothing, if there is none or if it leaves the member out.
    ///
    /// # Errors
    /// `MANIFEST_LINE`, `MANIFEST_HASH`.
    pub fn expected(&self, member: &Member) -> Result<Vec<Expected>> {
        manifest::expected(&self.lines, &member.name)
    }
}

/// Whether a member of that name is a descriptor. (A copy by macOS has, for each file, one with a name like this that is none.)
pub(crate) fn is_descriptor(name: &[u8]) -> bool {
    let ending = name.len().checked_sub(4).and_then(|stem| name.get(stem..));
    let file = name.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    ending.is_some_and(|ending| ending.eq_ignore_ascii_case(b".ovf")) && !file.starts_with(b"._")
}

/// The content of a member that is text.
fn text(file: &File<'_>, member: Option<&Member>) -> Result<Vec<u8>> {
    let Some(member) = member else {
        return Ok(Vec::new());
    };
    if member.size > TEXT_MAX {
        let numbers = [member.size, TEXT_MAX];
        return Err(Fault::new(faults::TEXT_SIZE).with(numbers).named(&member.name));
    }
    let mut bytes = alloc::vec![0; to_usize(member.size)?];
    file.read_exact(member.start, &mut bytes)?;
    Ok(bytes)
}

/// A disk with the members that are its file. One whose file is not there has none.
fn located(disk: &Listed, references: &[Reference], members: &[Member]) -> Result<Disk> {
    let reference = disk.file.as_ref().and_then(|id| {
        let found = references.iter().filter(|reference| reference.id == *id);
        found
            .collect::<Vec<_>>()
            .split_first()
            .map(|(first, rest)| (*first, rest.len()))
    });
    if let (Some(id), Some((_, 1..))) = (&disk.file, reference) {
        return Err(Fault::new(faults::DUPLICATE).named(id));
    }
    let name = match (&disk.file, reference) {
        (Some(_), Some((reference, _))) => Some(plain(&reference.href).to_vec()),
        // It names a file that is not listed.
        (Some(id), None) => Some(id.clone()),
        (None, _) => None,
    };
    let pieces = match reference {
        Some((reference, _)) => pieces(plain(&reference.href), members)?,
        None => Vec::new(),
    };
    Ok(Disk {
        id: disk.id.clone(),
        name,
        capacity: disk.capacity,
        format: stated(&disk.format),
        pieces,
        compression: reference
            .map(|(reference, _)| reference.compression.clone())
            .unwrap_or_default(),
        is_delta: disk.is_delta,
    })
}

/// The member called `name`, or the chunks that it was cut into: `name.000000000` and so on.
///
/// # Errors
/// `DUPLICATE`: readers take the first of two members of one name, or the last.
fn pieces(name: &[u8], members: &[Member]) -> Result<Vec<usize>> {
    let only = |name: &[u8]| {
        let mut found = members
            .iter()
            .enumerate()
            .filter(|(_, member)| member.name == name);
        match (found.next(), found.next()) {
            (Some(_), Some(_)) => Err(Fault::new(faults::DUPLICATE).named(name)),
            (first, _) => Ok(first.map(|(index, _)| index)),
        }
    };
    if let Some(whole) = only(name)? {
        return Ok([whole].into());
    }
    // Only the names that can be chunks are looked through for each of them.
    if !members
        .iter()
        .any(|member| member.name.strip_prefix(name) == Some(b".000000000"))
    {
        return Ok(Vec::new());
    }
    let mut chunks = Vec::new();
    while let Some(chunk) = only(&[name, alloc::format!(".{:09}", chunks.len()).as_bytes()].concat())? {
        chunks.push(chunk);
    }
    Ok(chunks)
}

/// The format that an address stands for.
fn stated(address: &[u8]) -> Option<Format> {
    let has = |word: &[u8]| {
        address
            .windows(word.len())
            .any(|bytes| bytes.eq_ignore_ascii_case(word))
    };
    FORMATS
        .iter()
        .find(|(word, _)| has(word))
        .map(|(_, format)| *format)
}

/// Parts of the addresses that writers use.
const FORMATS: [(&[u8], Format); 4] = [
    (b"vmdk.html", Format::Vmdk),
    (b"qcow-image-format", Format::Qcow2),
    (b"wikipedia.org/wiki/Byte", Format::Raw),
    (b"ecma-119", Format::Raw),
];
