//! `bitmap`: what is done with the bitmaps of one image. Of what images name nothing is opened.

use alloc::boxed::Box;

use instar_abi::Report;
use instar_abi::job::{ChangeBitmaps, Source};
use instar_abi::report::{Done, Stage};
use instar_disk::{Fault, Format, Image, fault};

use crate::detect::detect;
use crate::formats::{self, How, Purpose};
use crate::packed::{self, Entered};
use crate::session::{At, Outcome, Session};

/// Carries out the actions of `job`.
pub(crate) fn run(session: &Session<'_>, job: &ChangeBitmaps) -> Outcome<Done> {
    let stage = Stage::OpenTarget;
    let file = session.file(job.image.slot).at(stage)?;
    let format = match job.image.format {
        Some(format) => format,
        None => detect(session, &file).at(stage)?,
    };
    session.host.report(&Report::Opened(format));
    let mut image = formats::edit(session, format, file).at(stage)?;
    let mut bitmaps = image.bitmaps().at(stage)?;
    let mut from = job.from.as_ref().map(|from| other(session, from)).transpose()?;
    let from: Option<&mut dyn Image> = match &mut from {
        Some(from) => Some(&mut **from),
        None => None,
    };
    match bitmaps.change(job, from) {
        Ok(()) => Ok(Done::default()),
        Err(undone) => {
            let stage = undone.action.map_or(Stage::Change, Stage::BitmapAction);
            Err(undone.fault).at(stage)
        }
    }
}

/// The image whose bitmaps are merged.
fn other<'h>(session: &Session<'h>, source: &Source) -> Outcome<Box<dyn Image + 'h>> {
    let stage = Stage::OpenSource(0);
    let file = session.file(source.slot).at(stage)?;
    let format = match source.format {
        Some(format) => format,
        None => detect(session, &file).at(stage)?,
    };
    if source.busy && format != Format::Raw {
        return Err(Fault::new(fault::core::REFUSED_LOCK).in_file(file.slot())).at(stage);
    }
    let Entered { file, inner, .. } = packed::enter(session, file, format, Some(source)).at(stage)?;
    let how = How {
        rule: source.size_rule,
        key: session.key(file.slot()).at(stage)?,
        header: session.header(Some(source)).at(stage)?,
        ..How::to(Purpose::List)
    };
    formats::open_by(inner, file, how).at(stage)
}
