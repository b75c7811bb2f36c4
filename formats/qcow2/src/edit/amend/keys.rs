//! Key slots: whether the place of the LUKS header is its own, before anything is written there.

use instar_disk::Result;

use crate::edit::transaction::{Look, clusters_of};
use crate::num::add;

/// Whether nothing but the LUKS header uses its clusters.
///
/// # Errors
/// `TARGET_REFCOUNT` where a cluster is not counted once, `TARGET_TABLE` where a table of the image has it, too.
pub(super) fn judge(look: &mut Look<'_>) -> Result<()> {
    let Some((offset, bytes)) = look.header.extensions.crypto_header else {
        return Ok(());
    };
    let clusters = clusters_of(look.layout, offset, bytes)?;
    let mut at = clusters.start;
    while at < clusters.end {
        let (count, run) = look.ledger.run(&(at..clusters.end))?;
        if count != 1 {
            return Err(look.ledger.wrong_count(at, count));
        }
        at = add(at, run)?;
    }
    // One is its own.
    if look.ledger.tables_in(&clusters) > 1 {
        return Err(look.ledger.damaged(offset, 0));
    }
    Ok(())
}
