//! `measure`: what a conversion would write, without writing it.

use instar_abi::job::{Create, Measure, Preallocation, Qcow2Create};
use instar_abi::report::{Done, Measured, Specific, Stage};
use instar_abi::{Report, report};
use instar_disk::{Format, Result, align_down, align_up};

use crate::chain::Chain;
use crate::located::Origin;
use crate::rehearsal::{self, Rehearsal};
use crate::session::{At, Outcome, Session};

/// Sector of a raw image.
const SECTOR: u64 = 512;

/// Carries out `measure`: reports one [`Measured`].
pub(crate) fn run(session: &Session<'_>, job: &Measure) -> Outcome<Done> {
    let mut chain = match &job.source {
        None => None,
        Some(source) => Some(Chain::open(session, source, Stage::OpenSource(0))?),
    };
    if let Some(format) = chain.as_ref().and_then(Chain::format) {
        session.host.report(&Report::Opened(format));
    }
    let size = chain.as_ref().map_or(job.size, Chain::size);
    let measured = match &job.create {
        Create::Raw(_) => raw(job, size, chain.is_some()).at(Stage::Other)?,
        Create::Qcow2(options) => qcow2(job, options, size, chain.as_mut())?,
        _ => rehearsed(job, size, chain.as_mut())?,
    };
    session.host.report(&Report::Measured(measured));
    Ok(Done {
        virtual_size: size,
        ..Done::default()
    })
}

/// Every byte of a raw image counts, holes or not.
fn raw(job: &Measure, size: u64, from_source: bool) -> Result<Measured> {
    // The reference rounds what becomes a file, and not what it encrypts.
    let exact = from_source || job.header_bytes > 0;
    let size = if exact { size } else { align_up(size, SECTOR)? };
    let all = size.saturating_add(job.header_bytes);
    Ok(Measured {
        required: all,
        fully_allocated: all,
        bitmaps: None,
    })
}

fn qcow2(
    job: &Measure,
    options: &Qcow2Create,
    size: u64,
    chain: Option<&mut Chain<'_>>,
) -> Outcome<Measured> {
    instar_qcow2::check_size(options, job.size).at(Stage::Other)?;
    let full = instar_qcow2::Full::new(options, size).at(Stage::Other)?;
    let header = align_up(job.header_bytes, 1_u64.wrapping_shl(options.cluster_bits)).at(Stage::Other)?;
    let (mut data, mut bitmaps) = (0, None);
    if let Some(chain) = chain {
        data = if options.backing_file.is_some() {
            // How much of the chain the new image would share is not known.
            full.data
        } else {
            let unit = 1_u64.wrapping_shl(options.cluster_bits);
            let mut found = 0_u64;
            each_data(chain, Account::Reference, unit, &mut |start, end| {
                found = found.saturating_add(align_up(end, unit)?.saturating_sub(start));
                Ok(())
            })?;
            found
        };
        if options.version >= 3 && !chain.is_part() {
            bitmaps = bitmap_bytes(chain, options).at(Stage::Other)?;
        }
    }
    if matches!(options.preallocation, Preallocation::Falloc | Preallocation::Full) {
        data = full.data;
    }
    let required = full.with_data(data).at(Stage::Other)?;
    Ok(Measured {
        required: required.saturating_add(header),
        fully_allocated: full.file.saturating_add(header),
        bitmaps,
    })
}

/// Bytes for the source's bitmaps, if it is of a kind that can have some.
fn bitmap_bytes(chain: &mut Chain<'_>, options: &Qcow2Create) -> Result<Option<u64>> {
    let (info, virtual_size) = match chain.describe()? {
        Some(report::Info {
            specific: Some(Specific::Qcow2(info)),
            virtual_size,
            ..
        }) => (info, virtual_size),
        // The reference tool reads some, and keeps none.
        Some(report::Info {
            format: Format::Parallels,
            ..
        }) => return Ok(Some(0)),
        _ => return Ok(None),
    };
    if info.version < 3 {
        return Ok(None);
    }
    instar_qcow2::bitmap_bytes(options, virtual_size, &info.bitmaps).map(Some)
}

/// Lets the format lay out the image, once with the data that there is and once with data everywhere.
fn rehearsed(job: &Measure, size: u64, mut chain: Option<&mut Chain<'_>>) -> Outcome<Measured> {
    let size = align_up(size, SECTOR).at(Stage::Other)?;
    let mut image = |whole: bool| -> Outcome<u64> {
        let host = Rehearsal::new(&job.create, size);
        let mut target = host.begin(&job.create, size).at(Stage::Other)?;
        let (unit, end) = (target.unit(), target.size().min(size));
        if whole {
            rehearsal::fill(&host, &mut *target, 0, end).at(Stage::Other)?;
        } else if let Some(chain) = chain.as_deref_mut() {
            each_data(chain, Account::Converter, unit, &mut |start, stop| {
                let stop = align_up(stop, unit)?.min(end);
                rehearsal::fill(&host, &mut *target, start, stop)
            })?;
        }
        target.finish().at(Stage::Other)?;
        drop(target);
        Ok(host.total())
    };
    Ok(Measured {
        required: image(false)?,
        fully_allocated: image(true)?,
        bitmaps: None,
    })
}

/// Whose account of a source is followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Account {
    /// The reference tool's, where its formula is repeated.
    Reference,
    /// Our converter's, where what it writes is measured.
    Converter,
}

/// Calls `found` for each range of data, in ascending order, its start aligned down to `unit`; no unit is part of two ranges.
fn each_data(
    chain: &mut Chain<'_>,
    account: Account,
    unit: u64,
    found: &mut dyn FnMut(u64, u64) -> Result<()>,
) -> Outcome<()> {
    let end = chain.size();
    let mut at = 0;
    while at < end {
        let (length, is_data) = look(chain, account, at).at(Stage::Read(at))?;
        let stop = at.saturating_add(length).min(end);
        if !is_data {
            at = stop;
            continue;
        }
        found(align_down(at, unit), stop).at(Stage::Read(at))?;
        at = align_up(stop, unit).at(Stage::Read(at))?;
    }
    Ok(())
}

/// How many bytes from `at` on are alike, and whether they are data.
fn look(chain: &mut Chain<'_>, account: Account, at: u64) -> Result<(u64, bool)> {
    if account == Account::Converter {
        let located = chain.map(at)?;
        let is_data = located.from != Origin::Zero;
        return Ok((located.length, is_data));
    }
    let (status, _) = chain.status(at)?;
    Ok((status.length, status.data && status.present && !status.zero))
}
