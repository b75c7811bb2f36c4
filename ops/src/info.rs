//! `info`: what an image says of itself, layer by layer if asked.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;

use instar_abi::Report;
use instar_abi::job::Info;
use instar_abi::report::{Done, Stage};
use instar_disk::{Fault, File, Format, fault};

use crate::chain::open_below;
use crate::detect::detect;
use crate::formats::{self, How, Purpose};
use crate::packed::{self, Entered};
use crate::session::{At, Outcome, Session};
use crate::within::part;

/// Carries out `info`: one [`report::Info`] for each layer.
pub(crate) fn run(session: &Session<'_>, job: &Info) -> Outcome<Done> {
    let mut file = session.file(job.source.slot).at(Stage::OpenSource(0))?;
    let mut format_below = job.source.format;
    let mut stage = Stage::OpenSource(0);
    let mut visited = BTreeSet::new();
    let mut virtual_size = None;
    let mut window = job.source.window;
    let mut rule = job.source.size_rule;
    let mut header = session.header(Some(&job.source)).at(Stage::OpenSource(0))?;
    loop {
        visited.insert(file.slot());
        let format = match format_below {
            Some(format) => format,
            None => detect(session, &file).at(stage)?,
        };
        let busy = file.facts().busy || job.source.busy && visited.len() == 1;
        if busy && format != Format::Raw {
            return Err(Fault::new(fault::core::REFUSED_LOCK).in_file(file.slot())).at(stage);
        }
        let said = (visited.len() == 1).then_some(&job.source);
        let Entered {
            file: own,
            inner,
            package,
        } = packed::enter(session, file, format, said).at(stage)?;
        if let Some(said) = said {
            formats::expect_encryption(inner, own, &said.encrypt).at(stage)?;
        }
        let how = How {
            rule: core::mem::take(&mut rule),
            header: header.take(),
            ..How::to(Purpose::Describe)
        };
        let mut info = formats::open_by(inner, own, how)
            .and_then(|mut image| image.describe())
            .at(stage)?;
        if let Some(window) = window.take() {
            info.virtual_size = part(window, own.size()).at(stage)?.1;
        }
        if let Some(package) = package {
            info = package.describe(info);
        }
        info.export_size = session.host.is_remote(file.slot()).then_some(file.size());
        let backing = info.backing.clone().filter(|_| job.backing_chain);
        virtual_size.get_or_insert(info.virtual_size);
        session.host.report(&Report::Info(Box::new(info)));
        // Layer by layer means what the images say, as in the reference tool: what the user says lies below is not looked at.
        let Some(backing) = backing else { break };
        stage = Stage::OpenBacking(file.slot());
        let below = open_below(session.host, file.slot(), &backing, &visited).at(stage)?;
        file = File::new(session.host, below.0);
        format_below = below.1;
    }
    Ok(Done {
        virtual_size: virtual_size.unwrap_or(0),
        ..Done::default()
    })
}
