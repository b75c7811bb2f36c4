//! `info --safety`: a verdict for each way in which an image is known to attack its reader.
//!
//! ```text
//!  first and last bytes ─► Format
//!  header               ─► Structure, UnknownFeatures, BackingFile, DataFile, ExtentFiles, VirtualSize, TableSizes, marks
//!  tables, all of them  ─► Structure, Amplification
//! ```
//!
//! Nothing that the image names is opened, and no data is read. The walk through the tables ends as soon as they refer to
//! more than the file has.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_abi::Report;
use instar_abi::fault::safety as found;
use instar_abi::job::Source;
use instar_abi::report::{Done, Info, Specific, Stage};
use instar_abi::safety::{Level, Risk, Safety, Verdict};
use instar_disk::{Fault, File, Format, Image, Kind, Opened, Result, fault};

use crate::account::{Account, is_limit};
use crate::detect::unmarked;
use crate::formats::{self, How, Purpose};
use crate::marks;
use crate::packed;
use crate::session::{At, Outcome, Session};

/// Looks at `source`.
pub(crate) fn run(session: &Session<'_>, source: &Source) -> Outcome<Done> {
    let stage = Stage::OpenSource(0);
    let file = session.file(source.slot).at(stage)?;
    let mut look = Look::new(session, file);
    if let Some(mut image) = look.open(source).at(stage)? {
        let size = image.size();
        look.virtual_size = Some(size);
        let limit = session.job.bounds.virtual_size;
        let too_large = Fault::new(fault::core::VIRTUAL_SIZE_LIMIT).with([size, limit]);
        look.judge(Risk::VirtualSize, (size > limit).then_some(too_large));
        look.describe(&mut image).at(stage)?;
        look.walk(&mut image).at(stage)?;
    }
    let done = Done {
        virtual_size: look.virtual_size.unwrap_or(0),
        ..Done::default()
    };
    session.host.report(&Report::Safety(Box::new(look.told())));
    Ok(done)
}

/// The results so far.
struct Look<'s, 'h> {
    session: &'s Session<'h>,
    file: File<'h>,
    format: Option<Format>,
    virtual_size: Option<u64>,
    /// Bytes of a cluster, grain or block.
    cluster: u64,
    verdicts: Vec<Verdict>,
}

impl<'s, 'h> Look<'s, 'h> {
    const fn new(session: &'s Session<'h>, file: File<'h>) -> Self {
        Self {
            session,
            file,
            format: None,
            virtual_size: None,
            cluster: 0,
            verdicts: Vec::new(),
        }
    }

    /// Tells the format, and opens the image if its header lets us.
    fn open(&mut self, source: &Source) -> Result<Option<Opened<'h>>> {
        let marks = marks::of(&self.file)?;
        let given = source.format;
        let format = given
            .or_else(|| marks.only().filter(|format| self.session.recognises(*format)))
            .unwrap_or_else(|| unmarked(&self.file));
        self.format = Some(format);
        match marks.judge(format, given.is_some()) {
            Some((Level::Unsafe, why)) => self.note(Risk::Format, Level::Unsafe, why),
            Some((level, why)) => self.note(Risk::Format, level, why),
            None => self.judge(Risk::Format, None),
        }
        if source.busy && format != Format::Raw {
            return Err(Fault::new(fault::core::REFUSED_LOCK).in_file(self.file.slot()));
        }
        if given.is_none() && marks.is_ambiguous() {
            self.format = None;
            return Ok(None);
        }
        let how = How {
            header: self.session.header(Some(source))?,
            ..How::to(Purpose::Describe)
        };
        let entered = packed::enter(self.session, self.file, format, Some(source));
        let opened = entered.and_then(|entered| {
            self.file = entered.file;
            formats::open_by(entered.inner, entered.file, how)
        });
        match opened {
            Ok(image) => Ok(Some(image)),
            Err(fault) => {
                self.refused(fault)?;
                Ok(None)
            }
        }
    }

    /// The contents of the header.
    fn describe(&mut self, image: &mut Opened<'_>) -> Result<()> {
        let size = self.file.size();
        let outside = image
            .declared_tables()
            .into_iter()
            .find(|(offset, bytes)| *bytes > 0 && offset.saturating_add(*bytes) > size)
            .map(|(offset, bytes)| Fault::new(found::TABLE_OUTSIDE).with([offset, bytes, size]));
        let sound = outside.is_none();
        self.judge(Risk::TableSizes, outside);
        if !sound {
            return Ok(());
        }
        match image.describe() {
            Ok(info) => {
                self.cluster = info.cluster_size.unwrap_or(0);
                self.named_files(&info);
                self.marked(&info);
                self.judge(Risk::UnknownFeatures, None);
                Ok(())
            }
            Err(fault) => self.refused(fault),
        }
    }

    fn named_files(&mut self, info: &Info) {
        let backing = info.backing.as_ref();
        let backing = backing.map(|below| Fault::new(found::BACKING_FILE).named(below.name.as_bytes()));
        self.judge(Risk::BackingFile, backing);
        let (mut data, mut extents) = (None, None);
        match &info.specific {
            Some(Specific::Qcow2(qcow2)) => {
                data = match &qcow2.data_file {
                    Some(name) => Some(Fault::new(found::DATA_FILE).named(name.as_bytes())),
                    None => qcow2.external_data.then(|| Fault::new(found::DATA_FILE_UNNAMED)),
                };
            }
            Some(Specific::Vmdk(vmdk)) => {
                let mut names = vmdk.extents.iter().filter_map(|extent| extent.name.as_ref());
                let first = names.next();
                extents = first.map(|name| Fault::new(found::EXTENT_FILES).named(name.as_bytes()));
            }
            Some(Specific::Luks(_) | Specific::Ova(_)) | None => {}
        }
        self.judge(Risk::DataFile, data);
        self.judge(Risk::ExtentFiles, extents);
    }

    /// States that are not attacks.
    fn marked(&mut self, info: &Info) {
        let corrupt = matches!(&info.specific, Some(Specific::Qcow2(qcow2)) if qcow2.corrupt);
        for (risk, holds, code) in [
            (Risk::Encryption, info.encrypted, found::ENCRYPTED),
            (Risk::Dirty, info.dirty, found::DIRTY),
            (Risk::Corrupt, corrupt, found::CORRUPT),
        ] {
            if holds {
                self.note(risk, Level::Note, Fault::new(code));
            } else {
                self.judge(risk, None);
            }
        }
    }

    /// Walks the tables to find what they refer to. Tables that already failed a check are skipped.
    fn walk(&mut self, image: &mut Opened<'_>) -> Result<()> {
        let unsafe_before = self.verdicts.iter().any(|verdict| {
            verdict.level == Level::Unsafe && !matches!(verdict.risk, Risk::BackingFile | Risk::Format)
        });
        let encrypted = self
            .verdicts
            .iter()
            .any(|verdict| verdict.risk == Risk::Encryption && verdict.level != Level::Safe);
        if unsafe_before || encrypted {
            return Ok(());
        }
        if self.format == Some(Format::Raw) {
            self.judge(Risk::Structure, None);
            self.judge(Risk::Amplification, None);
            return Ok(());
        }
        let account = Account::new(self.session, self.file.facts(), image.files());
        let mut sum = Sum::new(account, self.file.size(), self.cluster.max(1));
        match sum.walk(&mut **image) {
            Ok(amplified) => {
                match sum.cut_short {
                    Some(at) => {
                        let fault = Fault::new(found::CUT_SHORT).with([at, self.file.size()]);
                        self.note(Risk::Structure, Level::Note, fault);
                    }
                    None => self.judge(Risk::Structure, None),
                }
                self.judge(Risk::Amplification, amplified);
                Ok(())
            }
            Err(fault) => self.refused(fault),
        }
    }

    /// The reader refused the image: that is a verdict, unless the host could not read it.
    fn refused(&mut self, fault: Fault) -> Result<()> {
        if fault.code == fault::core::IO {
            return Err(fault);
        }
        let risk = risk_of(&fault);
        // The gate was shut for this look, whatever policy holds elsewhere.
        let fault = match (&fault.text, fault.code) {
            (Some(name), fault::core::REFUSED_UNTRUSTED) => {
                Fault::new(found::EXTENT_FILES).named(name.as_bytes())
            }
            (_, fault::qcow::ENTRY) => Fault {
                code: fault::qcow::ENTRY_SAID,
                ..fault
            },
            (_, fault::qed::ENTRY) => Fault {
                code: fault::qed::ENTRY_SAID,
                ..fault
            },
            _ => fault,
        };
        self.note(risk, Level::Unsafe, fault);
        Ok(())
    }

    fn judge(&mut self, risk: Risk, found: Option<Fault>) {
        let level = if found.is_some() {
            Level::Unsafe
        } else {
            Level::Safe
        };
        self.add(risk, level, found);
    }

    fn note(&mut self, risk: Risk, level: Level, why: Fault) {
        self.add(risk, level, Some(why));
    }

    fn add(&mut self, risk: Risk, level: Level, why: Option<Fault>) {
        self.verdicts.retain(|known| known.risk != risk);
        self.verdicts.push(Verdict { risk, level, why });
    }

    /// A verdict for every risk.
    fn told(mut self) -> Safety {
        let verdict = |risk: Risk| {
            let known = self.verdicts.iter().position(|verdict| verdict.risk == risk);
            known.map_or(
                Verdict {
                    risk,
                    level: Level::Unknown,
                    why: None,
                },
                |index| self.verdicts.swap_remove(index),
            )
        };
        Safety {
            slot: self.file.slot(),
            format: self.format,
            virtual_size: self.virtual_size,
            verdicts: Risk::ALL.into_iter().map(verdict).collect(),
        }
    }
}

/// The risk that a refusal of the reader belongs to.
fn risk_of(fault: &Fault) -> Risk {
    use instar_disk::fault::{core, qcow2, qed, vhd, vhdx, vmdk};
    match fault.code {
        qcow2::FEATURES
        | qed::FEATURES
        | vmdk::VERSION
        | vmdk::FLAGS
        | vhd::VERSION
        | vhdx::VERSION
        | vhdx::UNKNOWN_REGION
        | vhdx::UNKNOWN_METADATA => Risk::UnknownFeatures,
        core::REFUSED_UNTRUSTED | vmdk::EXTENT_NAME | vmdk::EXTENT_LOOP => Risk::ExtentFiles,
        vhdx::NO_PARENT | vhd::NO_PARENT | vmdk::NO_PARENT => Risk::BackingFile,
        core::TABLE_LIMIT | core::OUT_OF_MEMORY | vmdk::DIRECTORY_SIZE | vmdk::TABLE_PAST_END => {
            Risk::TableSizes
        }
        _ if is_limit(fault) => Risk::Amplification,
        _ => Risk::Structure,
    }
}

/// The total of what the tables refer to.
struct Sum<'h> {
    account: Account<'h>,
    /// Bytes of the file.
    size: u64,
    /// The first byte past the file's end that is referred to.
    cut_short: Option<u64>,
    cluster: u64,
}

impl<'h> Sum<'h> {
    const fn new(account: Account<'h>, size: u64, cluster: u64) -> Self {
        Self {
            account,
            size,
            cut_short: None,
            cluster,
        }
    }

    /// Walks through the map; gives what is wrong with it, as soon as something is. Here nothing used twice is put up with,
    /// where other verbs leave some room.
    fn walk(&mut self, image: &mut dyn Image) -> Result<Option<Fault>> {
        let size = image.size();
        let mut at = 0_u64;
        while at < size {
            let mapping = image.map(at)?;
            let work = image.work();
            self.account.answer(at, mapping.length, work)?;
            self.account.refer(at, &mapping)?;
            if let Kind::Data { offset, .. } = mapping.kind {
                self.data(offset, mapping.length);
            }
            if work.shared > 0 {
                return Ok(Some(Fault::new(found::SHARED_TABLES)));
            }
            if self.account.has_repeats() {
                return Ok(Some(Fault::new(found::SHARED_STREAMS)));
            }
            let stored = self.account.size();
            if self.account.stored() > stored.saturating_add(SLACK) {
                let numbers = [self.account.stored(), stored];
                return Ok(Some(Fault::new(found::AMPLIFIED).with(numbers)));
            }
            at = at.saturating_add(mapping.length.max(1));
        }
        Ok(None)
    }

    /// A place past the end of the file shows that the file was truncated.
    fn data(&mut self, offset: u64, length: u64) {
        let present = self.size.saturating_sub(offset).min(length);
        // The last cluster need not be whole.
        if length.saturating_sub(present) >= self.cluster && self.cut_short.is_none() {
            self.cut_short = Some(offset.saturating_add(present));
        }
    }
}

/// Sound tables refer to each byte once. Ours: some more, for what rounds up.
const SLACK: u64 = 1 << 20;
