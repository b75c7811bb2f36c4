//! `create`: an empty image.

use instar_abi::Report;
use instar_abi::job::CreateImage;
use instar_abi::report::{Done, Stage};
use instar_disk::{Fault, fault};

use crate::chain::Chain;
use crate::formats;
use crate::session::{At, Outcome, Session};

/// Carries out `create`. Without a size the backing file's is reported first, then used.
pub(crate) fn run(session: &Session<'_>, job: &CreateImage) -> Outcome<Done> {
    let backing = match &job.target.backing {
        None => None,
        Some(backing) => Some(Chain::open(session, backing, Stage::OpenTargetBacking)?),
    };
    let size = job.size.or(backing.as_ref().map(Chain::size));
    let size = size
        .ok_or_else(|| Fault::new(fault::core::NO_SIZE))
        .at(Stage::Create)?;
    session.host.report(&Report::Size(size));
    let mut target =
        formats::create(session, &job.target, size, false, backing.as_ref()).at(Stage::Create)?;
    target.finish().at(Stage::Finish)?;
    Ok(Done {
        virtual_size: target.size(),
        ..Done::default()
    })
}
