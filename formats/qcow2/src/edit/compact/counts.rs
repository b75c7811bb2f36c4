//! The refcount structure, the last thing that keeps a file long: a new one, in what is free by now.

use instar_disk::{File, Result};

use crate::edit::counts::{Remembered, Runs};
use crate::edit::ledger::each_block;
use crate::edit::rebuild;
use crate::edit::sector::Sector;
use crate::edit::transaction::{Look, clusters_of};
use crate::header::Header;
use crate::layout::Layout;
use crate::num::{add, shl, shr};

/// Writes the counts anew if some of them stand at or behind cluster `end`; gives the file as it is then.
pub(super) fn lower<'h>(file: File<'h>, header: &Header, end: u64) -> Result<File<'h>> {
    let layout = Layout::of(header);
    let bits = layout.cluster_bits();
    let old = header.refcount_table;
    let table = clusters_of(layout, old.offset, shl(old.entries, 3)?)?;
    let mut high = table.end > end;
    each_block(file, old, &mut |offset| {
        high |= shr(offset, bits) >= end;
        Ok(())
    })?;
    if !high {
        return Ok(file);
    }
    let mut look = Look::open(file, header.clone())?;
    let clusters = look.ledger.clusters();
    let mut counts = Remembered::new(&mut look.ledger, Runs::default());
    let whole = file.grown_to(shl(clusters, bits)?);
    let built = rebuild::build(whole, layout, clusters, &mut counts)?;
    drop(look);
    let mut sector = Sector::read(file, header.version)?;
    sector.set_refcount_table(built.table, bits)?;
    sector.write()?;
    let file = file.grown_to(shl(built.clusters, bits)?);
    let mut release = Look::open(file, Header::parse(file)?)?.grow(false)?.release()?;
    each_block(file, old, &mut |offset| {
        let cluster = shr(offset, bits);
        release.lower(cluster..add(cluster, 1)?)
    })?;
    release.lower(table)?;
    release.finish_in_order()?;
    Ok(file)
}
