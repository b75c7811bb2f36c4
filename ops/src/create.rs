//! `create`: an empty image.

use instar_abi::Report;
use instar_abi::job::{Create, CreateImage};
use instar_abi::report::{Done, Stage};
use instar_disk::{Fault, fault};

use crate::chain::Chain;
use crate::formats;
use crate::session::{At, Outcome, Session};

/// Carries out `create`. The size is reported as soon as it is known, then used.
pub(crate) fn run(session: &Session<'_>, job: &CreateImage) -> Outcome<Done> {
    let backing = match &job.backing {
        None => None,
        Some(source) => {
            let chain = Chain::open(session, source, Stage::OpenTargetBacking)?;
            if let (None, Some(found)) = (source.format, chain.format()) {
                let fault = Fault::new(fault::core::NO_BACKING_FORMAT).named(found.name().as_bytes());
                return Err(fault).at(Stage::OpenTargetBacking);
            }
            Some(chain)
        }
    };
    let size = job.size.or(backing.as_ref().map(Chain::size));
    let size = size
        .ok_or_else(|| Fault::new(fault::core::NO_SIZE))
        .at(Stage::Create)?;
    session.host.report(&Report::Size(size));
    let Some(target) = &job.target else {
        return Ok(done(size));
    };
    if let Create::Qcow2(options) = &target.create {
        let file = session.file(target.slot).at(Stage::Create)?;
        let data = formats::data_file(session, options).at(Stage::Create)?;
        if instar_qcow2::create_empty(file, options, size, data).at(Stage::Create)? {
            return Ok(done(size));
        }
    }
    let mut target = formats::create(session, target, size, false, backing.as_ref()).at(Stage::Create)?;
    target.finish().at(Stage::Finish)?;
    Ok(done(target.size()))
}

fn done(virtual_size: u64) -> Done {
    Done {
        virtual_size,
        ..Done::default()
    }
}
