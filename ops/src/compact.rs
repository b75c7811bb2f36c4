//! `compact`: an image that takes less space.

use alloc::vec::Vec;

use instar_abi::Report;
use instar_abi::job::Compact;
use instar_abi::report::Stage;
use instar_disk::{Compacting, Distant, Edit, File, Kind, Mapping, ROUND};

use crate::account::Account;
use crate::resize;
use crate::session::{At, Outcome, Session};

/// Has the image in `file` give up what it does not need.
pub(crate) fn run(
    session: &Session<'_>,
    file: File<'_>,
    image: &mut dyn Edit,
    wanted: Compact,
) -> Outcome<()> {
    let mut account = Account::new(session, file.facts(), Vec::new());
    let mut decoded = 0_u64;
    let mut fetch = |from: Distant, into: &mut [u8]| {
        if let Distant::Encoded(encoded) = from {
            let length = u64::from(encoded.unit);
            let kind = Kind::Encoded(encoded);
            account.take(decoded, &Mapping { length, kind })?;
            decoded = decoded.saturating_add(length);
        }
        resize::fetch(session.host, None, from, into)
    };
    let how = &mut Compacting {
        wanted,
        round: ROUND,
        fetch: &mut fetch,
    };
    let done = image.compact(how).at(Stage::Change)?;
    session.host.report(&Report::Compacted(done));
    Ok(())
}
