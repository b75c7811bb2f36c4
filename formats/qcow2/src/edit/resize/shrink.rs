//! A smaller disk: first it is smaller, then what is behind its end is given up.

use instar_disk::{File, FileKind, Preallocate, Resizing, Result};

use super::bitmaps::Lengths;
use super::cut::Cut;
use super::switch;
use crate::edit::transaction::Look;
use crate::edit::tree::Tree;
use crate::header::Header;

pub(super) fn shrink(file: File<'_>, header: Header, to: &Resizing<'_>) -> Result<u64> {
    let (look, lengths, mut cut) = look(file, header.clone(), to)?;
    let mut grow = look.grow_in_order()?;
    let prepared = cut.prepare(&mut grow).and_then(|()| lengths.prepare(&mut grow));
    let bitmaps = match prepared {
        Ok(bitmaps) => bitmaps,
        Err(fault) => {
            grow.abandon();
            return Err(fault);
        }
    };
    let mut release = switch(grow, (file, &header), (to.size, None), bitmaps)?;
    cut.carry_out(&mut release)?;
    lengths.give_up(&mut release)?;
    for data in to.apart.iter().filter(|data| data.kind != FileKind::Block) {
        File::new(file.host(), *data).resize(to.size, Preallocate::Off)?;
    }
    let end = release.ledger().end()?;
    release.finish_short()?;
    Ok(end)
}

/// Whether that can be done.
pub(super) fn judge(file: File<'_>, header: Header, to: &Resizing<'_>) -> Result<()> {
    look(file, header, to).map(|_| ())
}

/// Looks at everything that the change touches.
fn look<'h>(file: File<'h>, header: Header, to: &Resizing<'_>) -> Result<(Look<'h>, Lengths<'h>, Cut<'h>)> {
    let lengths = Lengths::look(file, &header, to.size)?;
    let mut look = Look::open(file, header)?;
    // Clusters that are free by their counts are used again, and the file is cut behind the last that is not.
    let tree = Tree::of(&look, look.header.l1);
    tree.judge(&mut look, false)?;
    look.judge_counted(tree.roots()?)?;
    look.judge_counted_table(0, 1)?;
    let snapshots = look.header.snapshots;
    if snapshots.entries > 0 {
        look.judge_counted_table(snapshots.offset, 1)?;
    }
    let cut = Cut::look(&mut look, to.size, true)?;
    lengths.judge(&mut look)?;
    Ok((look, lengths, cut))
}
