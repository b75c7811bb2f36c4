//! The verbs that change an image in place: one door for all of them.

use instar_abi::Report;
use instar_abi::job::{Change, ChangeImage};
use instar_abi::report::{Done, Stage};

use crate::compact;
use crate::detect::detect;
use crate::formats;
use crate::resize;
use crate::session::{At, Outcome, Session};

/// Carries out a change.
pub(crate) fn run(session: &Session<'_>, job: &ChangeImage) -> Outcome<Done> {
    let stage = Stage::OpenTarget;
    let file = session.file(job.image.slot).at(stage)?;
    let format = match job.image.format {
        Some(format) => format,
        None => detect(session, &file).at(stage)?,
    };
    session.host.report(&Report::Opened(format));
    // The key is wrong, or is none of this format's.
    session.key(file.slot()).at(stage)?;
    if let Change::Keys(_) = &job.change {
        session.plan().at(Stage::Change)?;
    }
    let mut image = formats::edit(session, format, file).at(stage)?;
    if let Change::Rebase(new) = &job.change {
        formats::refuse_rebase(format, new.compress).at(Stage::Other)?;
    }
    match &job.change {
        Change::Resize(wanted) => resize::run(session, &job.image, &mut *image, wanted)?,
        Change::Amend(Some(wanted)) => resize::amend(session, &job.image, &mut *image, wanted)?,
        Change::Compact(wanted) => compact::run(session, file, &mut *image, *wanted)?,
        change => image.change(change).at(Stage::Change)?,
    }
    Ok(Done::default())
}
