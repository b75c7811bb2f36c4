//! `check`: what is wrong with an image's tables, and `check -r`, which puts it right and looks once more.

use instar_abi::job::{Below, Check};
use instar_abi::report::{Checked, Done, Report, Stage};
use instar_disk::{Fault, Findings, Format, Result, fault};

use crate::chain::{Chain, unless_refused};
use crate::detect::detect;
use crate::formats::{self, How, Purpose};
use crate::packed;
use crate::session::{At, Outcome, Session};
use crate::within::part;

/// Carries out `check`. The layers below are opened, as qemu-img does, but not looked into: where the gate refuses one, the
/// image's own tables can be checked all the same.
pub(crate) fn run(session: &Session<'_>, job: &Check) -> Outcome<Done> {
    let stage = Stage::OpenSource(0);
    let file = session.file(job.source.slot).at(stage)?;
    let format = match job.source.format {
        Some(format) => format,
        None => detect(session, &file).at(stage)?,
    };
    if job.repair.is_some() {
        session.host.report(&Report::Opened(format));
    }
    if job.repair.is_some() {
        formats::refuse_read_only(format, &file).at(stage)?;
    }
    if job.source.busy && format != Format::Raw {
        return Err(Fault::new(fault::core::REFUSED_LOCK).in_file(file.slot())).at(stage);
    }
    if let Some(window) = job.source.window {
        part(window, file.size()).at(stage)?;
    }
    // What is wrong with an archive is said; that its disk cannot be checked in it, too.
    packed::enter(session, file, format, Some(&job.source)).at(stage)?;
    formats::expect_encryption(format, file, &job.source.encrypt).at(stage)?;
    let how = How {
        key: session.key(file.slot()).at(stage)?,
        header: session.header(Some(&job.source)).at(stage)?,
        ..How::to(Purpose::Read)
    };
    let mut image = formats::check(format, file, how).at(stage)?;
    match (&job.source.below, image.backing()) {
        (Below::Named, Some(backing)) => {
            unless_refused(Chain::open_below(session, file.slot(), &backing))?;
        }
        (Below::Given(below), _) => {
            unless_refused(Chain::open(session, below, Stage::OpenBacking(file.slot())))?;
        }
        (Below::Nothing, _) | (Below::Named, None) => {}
    }
    if let Some(repair) = job.repair {
        let repaired = report(session, image.format(), |findings| image.repair(repair, findings))?;
        if !repaired.has_repaired() {
            return Ok(Done::default());
        }
    }
    report(session, image.format(), |findings| image.run(findings))?;
    Ok(Done::default())
}

/// Reports what one look at the image says and counts.
fn report(
    session: &Session<'_>,
    format: Format,
    look: impl FnOnce(&mut Findings<'_>) -> Result<Checked>,
) -> Outcome<Checked> {
    let mut findings = Findings::new(session.host);
    let outcome = look(&mut findings);
    findings.flush();
    let mut checked = outcome.at(Stage::Check)?;
    checked.left_out = findings.left_out();
    session.host.report(&Report::Checked(format, checked));
    Ok(checked)
}
