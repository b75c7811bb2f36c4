//! `create`: an empty image.

use instar_abi::Report;
use instar_abi::job::{Below, Create, CreateImage, Source};
use instar_abi::report::{Done, Failure, Stage};
use instar_disk::{Fault, fault};

use crate::chain::{Chain, is_refusal};
use crate::formats;
use crate::session::{At, Outcome, Session};

/// Carries out `create`. The size is reported as soon as it is known, then used.
pub(crate) fn run(session: &Session<'_>, job: &CreateImage) -> Outcome<Done> {
    let backing = match &job.backing {
        None => None,
        Some(source) => {
            let chain = open(session, source)?;
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
        let seal = formats::seal(session, target.slot, options).at(Stage::Create)?;
        let seal = seal.as_ref();
        if instar_qcow2::create_empty(file, options, size, data, seal).at(Stage::Create)? {
            for file in data.iter().chain([&file]) {
                file.flush().at(Stage::Finish)?;
            }
            return Ok(done(size));
        }
    }
    let mut target = formats::create(session, target, size, false, backing.as_ref()).at(Stage::Create)?;
    target.finish().at(Stage::Finish)?;
    Ok(done(target.size()))
}

/// Opens the layer below. What the layers below that are called is not needed: where the gate refuses one, the new image is made
/// and it is said that nothing will be read through it.
fn open<'h>(session: &Session<'h>, source: &Source) -> Outcome<Chain<'h>> {
    let stage = Stage::OpenTargetBacking;
    match Chain::open(session, source, stage) {
        Err(failure) if is_refusal(&failure) && is_elsewhere(&failure) && source.below == Below::Named => {
            session.host.report(&Report::Warning(failure));
            let below = Below::Nothing;
            let alone = Source {
                below,
                ..source.clone()
            };
            Chain::open(session, &alone, stage)
        }
        other => other,
    }
}

/// Whether the layer is only in a place that no rule opens. Above an image that is declared untrusted, nothing is made.
fn is_elsewhere(failure: &Failure) -> bool {
    failure.fault.code != fault::core::REFUSED_UNTRUSTED
}

fn done(virtual_size: u64) -> Done {
    Done {
        virtual_size,
        ..Done::default()
    }
}
