//! `compact`: an image that takes less space.

use instar_abi::Report;
use instar_abi::job::Compact;
use instar_abi::report::Stage;
use instar_disk::{Compacting, Distant, Edit};

use crate::resize;
use crate::session::{At, Outcome, Session};

/// Has the image give up what it does not need.
pub(crate) fn run(session: &Session<'_>, image: &mut dyn Edit, wanted: Compact) -> Outcome<()> {
    let mut fetch = |from: Distant, into: &mut [u8]| resize::fetch(session.host, None, from, into);
    let how = &mut Compacting {
        wanted,
        fetch: &mut fetch,
    };
    let done = image.compact(how).at(Stage::Change)?;
    session.host.report(&Report::Compacted(done));
    Ok(())
}
