//! `info --safety`: a verdict for each way in which an image is known to attack its reader. Nothing that the image names is
//! opened.

use alloc::boxed::Box;

use instar_abi::Report;
use instar_abi::job::Source;
use instar_abi::report::{Done, Stage};
use instar_abi::safety::Safety;

use crate::session::{At, Outcome, Session};

/// Looks at `source`.
pub(crate) fn run(session: &Session<'_>, source: &Source) -> Outcome<Done> {
    let file = session.file(source.slot).at(Stage::OpenSource(0))?;
    let safety = Safety {
        slot: file.slot(),
        format: source.format,
        virtual_size: None,
        verdicts: alloc::vec::Vec::new(),
    };
    session.host.report(&Report::Safety(Box::new(safety)));
    Ok(Done::default())
}
