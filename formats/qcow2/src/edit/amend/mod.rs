//! Other options of an image: version, width of counts, and what else stands in the header.
//!
//! ```text
//!  judge     everything that was asked for; nothing is written before all of it can be done
//!  zeros     (to version 2) clusters that are zero by a flag become data or nothing: the disk stays what it is
//!  Grow      (to version 3) a snapshot table that says what it must say there
//!            (another width) all counts in a new structure, beside the old one
//!  switch    the header
//!  Release   the old snapshot table, the old structure, bitmaps that version 2 does not have
//! ```

mod aim;
mod counts;
mod snapshots;
mod zeros;

use instar_disk::job::Amend;
use instar_disk::report::Report;
use instar_disk::{Fault, File, Result, fault};

use self::aim::Aim;
use self::counts::Counted;
use self::snapshots::Upgrade;
use self::zeros::Survey;
use super::bitmaps;
use super::counts::Runs;
use super::head::Head;
use super::transaction::{Grow, Look, Release};
use crate::header::Header;
use crate::raw::extension;

/// Gives the image behind `header` other options: all that are wanted, or none.
///
/// # Errors
/// What speaks against one of them: before the first write. The host's.
pub(super) fn amend(file: File<'_>, header: Header, wanted: &Amend) -> Result<()> {
    let in_file = |fault: Fault| fault.in_file(file.slot());
    let aim = Aim::of(&header, wanted).map_err(in_file)?;
    let mut look = Look::open(file, header)?;
    let old = look.header.clone();
    let mut counted = None;
    if aim.order != old.refcount_order {
        counted = Some(Counted::of(&mut look, aim.order).map_err(in_file)?);
    }
    aim.judge_rest(&old, wanted).map_err(in_file)?;
    if wanted.size.is_some_and(|size| size != 0 && size != old.size) {
        let fault = Fault::new(fault::core::UNSUPPORTED).named(b"another size by 'amend'");
        return Err(in_file(fault));
    }
    let mut zeros = None;
    if aim.version < old.version {
        aim.judge_downgrade(&old).map_err(in_file)?;
        snapshots::judge_downgrade(file, &old).map_err(in_file)?;
        aim.judge_features(&old).map_err(in_file)?;
        zeros = Survey::of(&mut look)?;
    }
    if aim.is_as(&old) {
        return Ok(());
    }
    let upgrade = Upgrade::of(&mut look, aim.version)?;
    head(&look, &aim)?.judge(file)?;
    let room = counted
        .as_ref()
        .map_or(0, |counted| counted.room(&look, aim.order));
    let room = room.saturating_add(zeros.as_ref().map_or(0, Survey::room));
    // How much the file may grow by.
    file.host().report(&Report::Size(room));
    // With these, counts change on the way.
    let counted = counted.filter(|_| upgrade.is_none() && zeros.is_none());
    let known = counted.map(|counted| counted.known).unwrap_or_default();
    if let Some(zeros) = zeros {
        zeros.expand(look)?;
        look = Look::open(file, Header::parse(file)?)?;
    }
    switch(look, &aim, upgrade.as_ref(), known)?.finish()
}

/// The first cluster as it is to be, but for places that are not known yet.
fn head(look: &Look<'_>, aim: &Aim) -> Result<Head> {
    let mut head = Head::read(look.file, &look.header)?;
    if aim.version != look.header.version {
        head.set_version(aim.version);
    }
    if look.header.extensions.bitmaps.is_none() {
        // Stale ones count for nothing.
        head.set_extension(extension::BITMAPS, None);
    }
    if let Some(name) = &aim.data_file {
        head.set_extension(extension::DATA_FILE, Some(name));
    }
    head.set_lazy_refcounts(aim.lazy);
    head.set_data_file_raw(aim.data_file_raw);
    head.set_refcount_order(aim.order);
    Ok(head)
}

/// From what the image is to what it is to be.
fn switch<'h>(look: Look<'h>, aim: &Aim, upgrade: Option<&Upgrade<'h>>, known: Runs) -> Result<Release<'h>> {
    let mut head = head(&look, aim)?;
    let (file, old) = (look.file, look.header.clone());
    let mut grow = look.grow_unmarked();
    let prepared = prepare(&mut grow, upgrade, &mut head).and_then(|()| grow.rebuild(aim.order, known));
    let rebuilt = match prepared {
        Ok(rebuilt) => rebuilt,
        Err(fault) => {
            grow.abandon();
            return Err(fault);
        }
    };
    let old_counts = rebuilt.is_some().then(|| grow.refcount_table());
    let mut release = grow.switch_to(head, rebuilt)?;
    if let Some(upgrade) = upgrade {
        release.lower_table(old.snapshots.offset, upgrade.old_bytes)?;
    }
    if let Some(table) = old_counts {
        counts::release(&mut release, file, table)?;
    }
    if aim.version < old.version {
        bitmaps::give_up(&mut release, file, &old)?;
    }
    Ok(release)
}

/// Writes what is new; `head` leads to it.
fn prepare<'h>(grow: &mut Grow<'h>, upgrade: Option<&Upgrade<'h>>, head: &mut Head) -> Result<()> {
    if let Some(upgrade) = upgrade {
        head.set_snapshots(upgrade.write(grow)?)?;
    }
    grow.settle()
}
