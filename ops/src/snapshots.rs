//! `snapshot -l`: the internal snapshots of one image. Nothing that the image names is opened.

use instar_abi::Report;
use instar_abi::job::Source;
use instar_abi::report::{Done, Stage};
use instar_disk::{Fault, Format, fault};

use crate::detect::detect;
use crate::formats::{self, How, Purpose};
use crate::packed::{self, Entered};
use crate::session::{At, Outcome, Session};

/// Lists the snapshots of `source`.
pub(crate) fn run(session: &Session<'_>, source: &Source) -> Outcome<Done> {
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
    let mut image = formats::open_by(inner, file, how).at(stage)?;
    let snapshots = image.snapshots().at(Stage::Other)?;
    session.host.report(&Report::Snapshots(snapshots));
    Ok(Done {
        virtual_size: image.size(),
        ..Done::default()
    })
}
