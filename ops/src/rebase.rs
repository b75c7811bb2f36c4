//! `rebase`: an image goes on showing the same disk over another layer.
//!
//! ```text
//!  old layers ─┐
//!              ├─► what differs ─► the image itself ─► flush ─► its header names the other layer
//!  new layers ─┘
//! ```

use instar_abi::Report;
use instar_abi::job::{Change, Rebase};
use instar_abi::report::{Done, Stage};
use instar_disk::{Format, Sparse};
use instar_qcow2::Keeping;

use crate::bitmaps::Chosen;
use crate::chain::Chain;
use crate::copier::{self, Ground, Offload, Work};
use crate::formats;
use crate::session::{At, Outcome, Session};
use crate::source::Source;

/// Carries out `rebase`.
pub(crate) fn run(session: &Session<'_>, job: &Rebase) -> Outcome<Done> {
    let chain = Chain::open(session, &job.image, Stage::OpenSource(0))?;
    let (format, size) = chain.layer(0).unwrap_or((Format::Raw, 0));
    session.host.report(&Report::Opened(format));
    formats::refuse_rebase(format, job.names.compress).at(Stage::Other)?;
    let file = session.file(job.image.slot).at(Stage::Change)?;
    formats::refuse_read_only(format, &file).at(Stage::OpenSource(0))?;
    let other = match &job.backing {
        Some(backing) => Chain::open(session, backing, Stage::OpenTargetBacking)?,
        None => Chain::none(),
    };
    let data = job.data_file.map(|slot| session.file(slot)).transpose();
    let data = data.at(Stage::Change)?;
    let change = Change::Rebase(job.names.clone());
    // Unlike the reference tool, which finds that out when all is copied.
    let judged = formats::edit(session, format, file).and_then(|mut image| image.judge(&change));
    judged.at(Stage::Change)?;
    session.host.report(&Report::Size(size));
    let keeping = Keeping {
        compress: job.names.compress,
        fine: true,
        covered: job.names.name.is_some(),
        records: false,
    };
    let target =
        formats::readable(session, format, file, data.as_slice(), keeping, false).at(Stage::OpenTarget)?;
    let work = Work {
        source: Source::differing(chain, other),
        target,
        shift: 0,
        start: 0,
        length: size,
        sparse: Sparse::new(SECTOR),
        ground: Ground::Layer,
        write_zeros: false,
        salvage: false,
        watched: job.watched,
        offload: Offload::No,
        bitmaps: Chosen::default(),
        hashing: None,
    };
    copier::run(session.host, work)?;
    let mut image = formats::edit(session, format, file).at(Stage::Change)?;
    image.change(&change).at(Stage::Change)?;
    Ok(Done {
        virtual_size: size,
        ..Done::default()
    })
}

/// Zeros are found in whole units of the image, which are no smaller.
const SECTOR: u64 = 512;
