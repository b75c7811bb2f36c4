//! The formats: one line each in every table.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_abi::errno::EOPNOTSUPP;
use instar_abi::job::{self, Amend, Change, Create, NewEncryption, SizeRule};
use instar_abi::report::{Backing, Checked};
use instar_disk::{
    Check, Edit, Fault, File, Findings, Format, Key, Opened, Resizing, Result, Slot, Target, fault,
};
use instar_qcow2::{Keeping, Seal};

use crate::chain::Chain;
use crate::session::Session;

/// The purpose of opening an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To describe it: no file that it names is opened.
    Describe,
    /// To list what it holds beside its disk: no file that it names is opened, either, but it is unlocked.
    List,
    /// To read its disk.
    Read,
}

/// A look at a file's first bytes. Raw disks and dmg images have nothing there.
type Probe = fn(&[u8]) -> bool;

const PROBES: [(Format, Probe); 14] = [
    (Format::Parallels, instar_parallels::probe),
    (Format::Qcow, instar_qcow::probe),
    (Format::Qcow2, instar_qcow2::probe),
    (Format::Qed, instar_qed::probe),
    (Format::Vdi, instar_vdi::probe),
    (Format::Vhdx, instar_vhdx::probe),
    (Format::Vmdk, instar_vmdk::probe),
    (Format::Vpc, instar_vhd::probe),
    (Format::Asif, instar_asif::probe),
    (Format::Bochs, instar_bochs::probe),
    (Format::Cloop, instar_cloop::probe),
    (Format::Luks, instar_luks::probe),
    (Format::Zst, instar_zst::probe),
    (Format::Ova, instar_ova::probe),
];

/// Every format whose mark `file` bears, which begins with `head`.
///
/// # Errors
/// The host's, where a format is not told by the first bytes alone.
pub(crate) fn claims(file: &File<'_>, head: &[u8]) -> Result<Vec<Format>> {
    let mut formats = Vec::new();
    for (format, probe) in PROBES {
        let claims = probe(head)
            && match format {
                Format::Zst => instar_zst::is_seekable(file)?,
                Format::Ova => instar_ova::is_package(file)?,
                _ => true,
            };
        if claims {
            formats.push(format);
        }
    }
    Ok(formats)
}

/// Whether what begins with `head` bears the mark of a format. (A seekable zstd, which is one, is a file and not in one.)
pub(crate) fn is_marked(head: &[u8]) -> bool {
    let marks = PROBES.iter().filter(|(format, _)| *format != Format::Zst);
    marks.into_iter().any(|(_, probe)| probe(head))
}

/// Opens `file` as an image of `format`.
///
/// # Errors
/// Damage of the image, or an error of the host.
pub(crate) fn open<'h>(format: Format, file: File<'h>, purpose: Purpose) -> Result<Opened<'h>> {
    open_by(format, file, How::to(purpose))
}

/// How an image is opened.
pub(crate) struct How<'h> {
    pub(crate) purpose: Purpose,
    /// What the user says of the size of a VHD.
    pub(crate) rule: SizeRule,
    /// The key that a secret of the user's gave.
    pub(crate) key: Option<Key>,
    /// The file of its header, if that is another one.
    pub(crate) header: Option<File<'h>>,
}

impl How<'_> {
    /// For that, with nothing said of the image.
    pub(crate) const fn to(purpose: Purpose) -> Self {
        Self {
            purpose,
            rule: SizeRule::Creator,
            key: None,
            header: None,
        }
    }
}

/// Makes a key of the passphrase of a locked image; one that only might have been locked has none.
///
/// # Errors
/// It is none of the image's; no image of the format is locked; damage of its header, or an error of the host.
pub(crate) fn unlock(format: Format, file: File<'_>, passphrase: &[u8]) -> Result<Option<Key>> {
    match format {
        Format::Luks => instar_luks::unlock(file, passphrase).map(Some),
        Format::Qcow => instar_qcow::unlock(file, passphrase),
        Format::Qcow2 => instar_qcow2::unlock(file, passphrase),
        _ => Err(unexpected_key(format, "")),
    }
}

/// Says that the format has no key of that name.
pub(crate) fn unexpected_key(format: Format, prefix: &str) -> Fault {
    let code = match prefix {
        "" => fault::luks::KEY_UNEXPECTED,
        _ => fault::luks::ENCRYPTION_UNEXPECTED,
    };
    Fault::new(code).named(format.name().as_bytes())
}

/// Compares what the user says of the encryption inside an image with what is there.
///
/// # Errors
/// They differ; damage of the header, or an error of the host.
pub(crate) fn expect_encryption(format: Format, file: File<'_>, said: &job::Encryption) -> Result<()> {
    match &said.method {
        Some(method) if format == Format::Qcow => instar_qcow::expect_encryption(file, method.as_bytes()),
        Some(method) if format == Format::Qcow2 => instar_qcow2::expect_encryption(file, method.as_bytes()),
        _ => Ok(()),
    }
}

/// As [`open`], with what the user says of the image.
///
/// # Errors
/// Damage of the image, or an error of the host.
pub(crate) fn open_by<'h>(format: Format, file: File<'h>, how: How<'h>) -> Result<Opened<'h>> {
    let How {
        purpose,
        rule,
        key,
        header,
    } = how;
    match format {
        Format::Raw => instar_raw::open(file),
        Format::Qed => instar_qed::open(file),
        Format::Vdi => instar_vdi::open(file),
        Format::Vhdx => instar_vhdx::open(file),
        Format::Vmdk => instar_vmdk::open(file),
        Format::Vpc => instar_vhd::open_by(file, rule),
        Format::Asif => instar_asif::open(file),
        Format::Zst => instar_zst::open(file),
        // Whoever reads one enters it first, and its disk is of another format.
        Format::Ova => Err(Fault::new(fault::ova::WITHIN).in_file(file.slot())),
        Format::Bochs => instar_bochs::open(file),
        Format::Cloop => instar_cloop::open(file),
        Format::Dmg => instar_dmg::open(file),
        Format::Luks if purpose == Purpose::Describe => instar_luks::look(file, header),
        Format::Luks => instar_luks::open(file, header, key),
        Format::Parallels => instar_parallels::open(file),
        Format::Qcow => instar_qcow::open_with(file, purpose != Purpose::Read, key),
        Format::Qcow2 => {
            let info_only = purpose != Purpose::Read;
            instar_qcow2::open_with(file, instar_qcow2::OpenOptions { info_only }, key)
        }
    }
}

/// Opens `file` as an image of `format` whose tables are to be looked through.
///
/// # Errors
/// A damaged header, or an error of the host.
pub(crate) fn check<'h>(format: Format, file: File<'h>, how: How<'h>) -> Result<Box<dyn Check + 'h>> {
    match format {
        Format::Qcow2 => instar_qcow2::check(file),
        Format::Parallels => instar_parallels::check(file),
        Format::Qed => instar_qed::check(file),
        Format::Vdi => instar_vdi::check(file),
        Format::Vhdx => instar_vhdx::check(file),
        Format::Vmdk => instar_vmdk::check(file),
        // Nothing below it is opened: what stands in an archive names no other file.
        Format::Ova => Ok(Box::new(Unchecked {
            backing: None,
            format,
        })),
        Format::Raw | Format::Qcow | Format::Vpc | Format::Luks | instar_abi::read_only_formats!() => {
            Ok(Box::new(Unchecked {
                backing: open_by(format, file, how)?.backing(),
                format,
            }))
        }
    }
}

/// Opens `file` as an image of `format` that is changed in place.
///
/// # Errors
/// Damage of the image, or an error of the host.
pub(crate) fn edit<'s, 'h: 's>(
    session: &'s Session<'h>,
    format: Format,
    file: File<'h>,
) -> Result<Box<dyn Edit + 's>> {
    let seed = &session.job.seed;
    let sizeable = match format {
        Format::Qcow2 => {
            let plan = session.plan().transpose();
            return instar_qcow2::edit_with(file, session.key(file.slot())?, plan);
        }
        Format::Raw => instar_raw::edit(file),
        Format::Parallels => instar_parallels::edit(file),
        Format::Qcow => instar_qcow::edit(file),
        Format::Qed => instar_qed::edit(file),
        Format::Vdi => instar_vdi::edit(file),
        Format::Vpc => instar_vhd::edit(file),
        Format::Vhdx => instar_vhdx::edit(file, seed),
        Format::Vmdk => instar_vmdk::edit(file),
        Format::Luks => instar_luks::edit(file, session.key(file.slot())?, session.plan()?),
        instar_abi::read_only_formats!() => return Err(read_only(&file)),
    };
    Ok(Box::new(Simple(sizeable?, file.slot(), format)))
}

/// The refusal to write to an image of a format that is only read.
fn read_only(file: &File<'_>) -> Fault {
    Fault::new(fault::core::READ_ONLY_FORMAT).in_file(file.slot())
}

/// Refuses to write to `file` if it is an image of a format that is only read.
///
/// # Errors
/// `READ_ONLY_FORMAT`.
pub(crate) fn refuse_read_only(format: Format, file: &File<'_>) -> Result<()> {
    if format.is_read_only() {
        return Err(read_only(file));
    }
    Ok(())
}

/// Refuses what the reference tool does not even begin.
///
/// # Errors
/// `NO_COMPRESSION`, `NO_INFO`.
pub(crate) const fn refuse_rebase(format: Format, compress: bool) -> Result<()> {
    if compress && !compresses(format) {
        return Err(Fault::new(fault::core::NO_COMPRESSION));
    }
    if matches!(format, Format::Parallels) {
        return Err(Fault::new(fault::core::NO_INFO));
    }
    Ok(())
}

/// Whether an image of this format can be given another layer below.
const fn rebases(format: Format) -> bool {
    matches!(format, Format::Qcow2 | Format::Qed)
}

/// An image of a format in which no more can be changed in place than the size of the disk and the layer below.
struct Simple<'h>(Box<dyn Edit + 'h>, Slot, Format);

impl Simple<'_> {
    fn unamendable(&self) -> Fault {
        Fault::new(fault::amend::UNSUPPORTED).named(self.2.name().as_bytes())
    }
}

impl Edit for Simple<'_> {
    fn change(&mut self, change: &Change) -> Result<()> {
        let fault = match change {
            Change::CreateSnapshot(_) => Fault::new(fault::core::IO).with([EOPNOTSUPP]),
            Change::ApplySnapshot(_) => Fault::new(fault::qcow2_write::NO_SNAPSHOTS),
            Change::DeleteSnapshot(_) => Fault::new(fault::qcow2_write::DELETE_MISSING),
            Change::Amend(None) | Change::Keys(_) if self.2 == Format::Luks => return self.0.change(change),
            Change::Amend(_) | Change::Keys(_) => self.unamendable(),
            Change::Rebase(_) if rebases(self.2) => return self.0.change(change),
            Change::Empty(_) if empties(self.2) => return self.0.change(change),
            Change::Rebase(new) if new.name.is_some() && new.format.is_none() => {
                Fault::new(fault::qcow2_write::BACKING_FORMAT_MISSING)
            }
            Change::Rebase(_) | Change::Empty(_) => Fault::new(fault::core::IO).with([EOPNOTSUPP]),
            Change::Resize(_) => Fault::new(fault::resize::UNSUPPORTED),
            Change::Compact(_) => Fault::new(fault::compact::UNSUPPORTED).named(self.2.name().as_bytes()),
        };
        Err(fault.in_file(self.1))
    }

    fn size(&self) -> u64 {
        self.0.size()
    }

    fn backing(&self) -> Option<Backing> {
        self.0.backing()
    }

    fn resize(&mut self, to: &mut Resizing<'_>) -> Result<()> {
        self.0.resize(to)
    }

    fn amend(&mut self, _: &Amend, _: Option<&mut Resizing<'_>>) -> Result<()> {
        Err(self.unamendable().in_file(self.1))
    }

    fn judge(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Rebase(_) if rebases(self.2) => self.0.judge(change),
            Change::Empty(_) if empties(self.2) => self.0.judge(change),
            // None can be made.
            _ => self.change(change),
        }
    }
}

/// An image of a format that has nothing to look through.
struct Unchecked {
    format: Format,
    backing: Option<Backing>,
}

impl Check for Unchecked {
    fn format(&self) -> Format {
        self.format
    }

    fn backing(&self) -> Option<Backing> {
        self.backing.clone()
    }

    fn run(&mut self, _: &mut Findings<'_>) -> Result<Checked> {
        Err(Fault::new(fault::check::UNSUPPORTED))
    }
}

/// Whether a new image of `size` bytes can be filled once it is made.
///
/// # Errors
/// Why not.
pub(crate) fn fillable(target: &job::Target, size: u64) -> Result<()> {
    match &target.create {
        Create::Vmdk(options) => instar_vmdk::fillable(options, size),
        _ => Ok(()),
    }
}

/// Lays out a new image of `size` bytes, or takes the existing one. `backing` is what the job's backing file turned out to be.
///
/// # Errors
/// The format's limits, or the host's error.
pub(crate) fn create<'h>(
    session: &Session<'h>,
    target: &job::Target,
    size: u64,
    compress: bool,
    backing: Option<&Chain<'_>>,
) -> Result<Box<dyn Target + 'h>> {
    let file = session.file(target.slot)?;
    let format = target.create.format();
    let seed = &session.job.seed;
    if compress && !compresses(format) {
        return Err(Fault::new(fault::core::NO_COMPRESSION));
    }
    match &target.create {
        Create::Raw(_) if target.existing => instar_raw::existing(file, size),
        Create::Raw(options) => instar_raw::create(file, options, size),
        Create::Qcow2(options) if target.existing => {
            let data = data_file(session, options)?;
            let key = session.key(target.slot)?;
            instar_qcow2::existing_with(file, size, data, key, compress)
        }
        Create::Vmdk(_) | Create::Qcow(_) if target.existing && compress => {
            Err(Fault::new(fault::core::NO_COMPRESSION))
        }
        Create::Parallels(_) if target.existing => instar_parallels::existing(file, size),
        Create::Qcow(_) if target.existing => instar_qcow::existing(file, size),
        Create::Qed(_) if target.existing => instar_qed::existing(file, size),
        Create::Vdi(_) if target.existing => instar_vdi::existing(file, size),
        Create::Vpc(_) if target.existing => instar_vhd::existing(file, size),
        Create::Vhdx(_) if target.existing => instar_vhdx::existing(file, size, seed),
        Create::Vmdk(options) if target.existing => {
            instar_vmdk::existing(file, &session.files(&options.extents)?, size, seed)
        }
        Create::Qcow2(options) => {
            let data = data_file(session, options)?;
            let seal = seal(session, target.slot, options)?;
            instar_qcow2::create_with(file, options, size, data, seal.as_ref(), compress)
        }
        Create::Parallels(options) => instar_parallels::create(file, options, size),
        Create::Qcow(options) => {
            let key = session.key(target.slot)?;
            instar_qcow::create_with(file, options, size, key, compress)
        }
        Create::Qed(options) => instar_qed::create(file, options, size),
        Create::Luks(_) if target.existing => instar_luks::existing(file, session.key(target.slot)?, size),
        // Data has no place in a file of the header alone.
        Create::Luks(options) if options.detached && !matches!(session.job.verb, job::Verb::Create(_)) => {
            Err(Fault::new(fault::luks::PAYLOAD).in_file(target.slot))
        }
        Create::Luks(options) => instar_luks::create(file, options, session.made()?, size),
        Create::Vdi(options) => instar_vdi::create(file, options, size, seed),
        Create::Vmdk(options) => {
            let parent = backing.and_then(Chain::content_id);
            let extents = session.files(&options.extents)?;
            instar_vmdk::create(file, &extents, options, size, parent, seed)
        }
        Create::Vpc(options) => instar_vhd::create(file, options, size, seed),
        Create::Vhdx(options) => instar_vhdx::create(file, options, size, seed),
    }
}

/// How a new qcow2 image is sealed, if it is.
pub(crate) fn seal<'s>(
    session: &'s Session<'_>,
    slot: Slot,
    options: &job::Qcow2Create,
) -> Result<Option<Seal<'s>>> {
    Ok(match &options.encryption {
        None => None,
        Some(NewEncryption::Luks(_)) => Some(Seal::Luks(session.made()?)),
        Some(NewEncryption::Aes(_)) => {
            let key = session
                .key(slot)?
                .ok_or_else(|| Fault::new(fault::luks::NO_KEY))?;
            Some(Seal::Aes(key))
        }
    })
}

/// Whether clusters of an image of this format can be compressed one by one.
pub(crate) const fn compresses(format: Format) -> bool {
    matches!(format, Format::Qcow | Format::Qcow2 | Format::Vmdk)
}

/// Whether an image of this format can give up what it holds.
pub(crate) const fn empties(format: Format) -> bool {
    matches!(format, Format::Qcow | Format::Qcow2)
}

/// Takes an image as a target that stays readable. `apart` hold its data, if those are other files; `renews`: what remembers the content
/// of this image is to see that it has changed.
///
/// # Errors
/// What is wrong with it, or what it is not written to for; the host's error.
pub(crate) fn readable<'h>(
    session: &Session<'h>,
    format: Format,
    file: File<'h>,
    apart: &[File<'h>],
    keeping: Keeping,
    renews: bool,
) -> Result<Box<dyn Target + 'h>> {
    let seed = &session.job.seed;
    match format {
        Format::Raw => instar_raw::existing(file, 0),
        Format::Qcow2 => {
            let key = session.key(file.slot())?;
            instar_qcow2::readable(file, apart.first().copied(), key, keeping)
        }
        Format::Parallels => instar_parallels::readable(file),
        Format::Qcow => instar_qcow::readable(file, keeping.covered),
        Format::Qed => instar_qed::readable(file, keeping.covered),
        Format::Vdi => instar_vdi::readable(file),
        Format::Vpc => instar_vhd::readable(file),
        Format::Vhdx => instar_vhdx::readable(file, seed, renews),
        Format::Vmdk => instar_vmdk::readable(file, apart, seed, renews),
        Format::Luks => instar_luks::existing(file, session.key(file.slot())?, 0),
        instar_abi::read_only_formats!() => Err(read_only(&file)),
    }
}

/// The file for a qcow2 image's data, if it has one of its own.
pub(crate) fn data_file<'h>(session: &Session<'h>, options: &job::Qcow2Create) -> Result<Option<File<'h>>> {
    options
        .data_file
        .as_ref()
        .map(|(slot, _)| session.file(*slot))
        .transpose()
}
