//! A disk that flows straight through: from a pipe, or out of a packed file, into a raw file, in one pass.

use instar_abi::job::{Below, CopyBitmaps, Create, Job, Preallocation, Source, Target, Verb};
use instar_abi::report::{Done, Stage};
use instar_abi::{Format, Report};
use instar_disk::{File, FileKind, Host, Preallocate};

use crate::flow::Flow;
use crate::formats;
use crate::session::{At, Outcome, internal};
use crate::spool::{Failed, disk_size, pour};

/// What is copied as it comes.
struct Through<'j> {
    source: &'j Source,
    target: &'j Target,
    /// Zeros that are left out; none: everything is written.
    granule: Option<u64>,
}

/// Carries out the job if it is such a copy, and what `flow` holds is a raw disk.
///
/// # Errors
/// Those of the copy.
pub(crate) fn run(host: &dyn Host, job: &Job, flow: &mut Flow<'_>) -> Outcome<Option<Done>> {
    let Some(through) = Through::of(job) else {
        return Ok(None);
    };
    let facts = job.files.iter().find(|facts| facts.slot == through.target.slot);
    let facts = facts.ok_or_else(|| internal(line!())).at(Stage::OpenTarget)?;
    let file = File::new(host, *facts);
    if !matches!(file.kind(), FileKind::Fresh | FileKind::Regular) {
        return Ok(None);
    }
    let head = flow.head().at(Stage::OpenSource(0))?;
    if through.source.format != Some(Format::Raw) && formats::is_marked(head) {
        return Ok(None);
    }
    through.copy(job, flow, file).map(Some)
}

impl<'j> Through<'j> {
    /// The copy that the job asks for, if nothing has to be known of the disk before its end.
    fn of(job: &'j Job) -> Option<Self> {
        let (source, target, sparse) = match &job.verb {
            Verb::Convert(convert) => {
                let [source] = &convert.sources[..] else {
                    return None;
                };
                let plain = convert.bitmaps == CopyBitmaps::No
                    && convert.checksum.is_none()
                    && convert.range.is_none()
                    && !convert.compress
                    && convert.granularity <= 1
                    && !convert.salvage;
                (source, &convert.target, plain.then_some(convert.sparse)?)
            }
            Verb::Dd(dd) if dd.skip == 0 && dd.count.is_none() => (&dd.source, &dd.target, 0),
            _ => return None,
        };
        let reserves = match &target.create {
            Create::Raw(raw) => raw.preallocation != Preallocation::Off,
            _ => true,
        };
        let alone = source.below == Below::Named
            && source.snapshot.is_none()
            && source.partition.is_none()
            && source.disk.is_none()
            && source.window.is_none()
            && source.inside.is_empty()
            && source.key.is_none()
            && source.encrypt == Default::default()
            && source.header.is_none()
            && matches!(source.format, None | Some(Format::Raw));
        (alone && !reserves && !target.existing && target.backing.is_none()).then_some(Self {
            source,
            target,
            granule: instar_disk::Sparse::new(sparse).map(instar_disk::Sparse::granule),
        })
    }

    fn copy(&self, job: &Job, flow: &mut Flow<'_>, file: File<'_>) -> Outcome<Done> {
        let limit = job.bounds.virtual_size;
        // How large it will be nobody knows.
        file.host().report(&Report::Size(limit));
        if file.kind() == FileKind::Regular {
            file.resize(0, Preallocate::Off).at(Stage::Create)?;
        }
        let size = pour(flow, file, self.granule, limit);
        let size = size.map_err(|failed| match failed {
            Failed::Source(fault) => (Stage::OpenSource(0), fault),
            Failed::Target(fault) => (Stage::Write(0), fault),
        });
        let size = size.or_else(|(stage, fault)| Err(fault).at(stage))?;
        let size = disk_size(size).at(Stage::Finish)?;
        file.resize(size, Preallocate::Off).at(Stage::Finish)?;
        file.flush().at(Stage::Finish)?;
        file.host().progress(1, 1);
        Ok(Done {
            virtual_size: size,
            ..Done::default()
        })
    }
}
