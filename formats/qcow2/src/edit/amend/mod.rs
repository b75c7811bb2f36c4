//! Other options of an image: version, width of counts, and what else stands in the header.
//!
//! ```text
//!  judge     everything that was asked for; nothing is written before all of it can be done
//!  keys      (LUKS) what becomes of key slots
//!  zeros     (to version 2) clusters that are zero by a flag become data or nothing: the disk stays what it is
//!  Grow      (to version 3) a snapshot table that says what it must say there
//!            (another width) all counts in a new structure, beside the old one
//!  switch    the header
//!  Release   the old snapshot table, the old structure, bitmaps that version 2 does not have
//! ```

mod aim;
mod counts;
mod keys;
mod snapshots;
mod zeros;

use instar_crypt::luks1::Plan;
use instar_disk::fault::amend as faults;
use instar_disk::job::Amend;
use instar_disk::report::Report;
use instar_disk::{Fault, File, LARGEST_SIZE, Resizing, Result, Sealing, fault};

use self::aim::Aim;
use self::counts::Counted;
use self::snapshots::Upgrade;
use self::zeros::Survey;
use super::bitmaps;
use super::counts::Runs;
use super::head::Head;
use super::resize;
use super::transaction::{Grow, Look, Release};
use crate::header::Header;
use crate::layout::SECTOR;
use crate::luks;
use crate::raw::extension;

/// Gives the image behind `header` other options: all that are wanted, or none. `to`: another size of its disk.
///
/// # Errors
/// What speaks against one of them: before the first write. The host's.
pub(super) fn amend(
    file: File<'_>,
    header: Header,
    sealed: Sealed<'_>,
    wanted: &Amend,
    mut to: Option<&mut Resizing<'_>>,
) -> Result<()> {
    let sealing = sealed.sealing;
    let mut judged = Judged::of(file, &header, sealing, wanted, to.as_deref_mut())?;
    if let Some(plan) = sealed.plan {
        let plan = plan.as_ref().map_err(Clone::clone)?;
        keys::judge(&mut judged.look)?;
        luks::write_keys(file, &header, plan)?;
    }
    if judged.changes || to.is_some() {
        // How much the file may grow by, besides what another size adds.
        file.host().report(&Report::Size(judged.room()));
    }
    let downgrade = judged.aim.version < header.version;
    let Some(to) = to else {
        return judged.carry_out().map(|_| ());
    };
    // In the order of the reference tool. Version 2 cannot do all that a new size may take.
    if downgrade {
        let file = file.grown_to(resize::resize(file, header, sealing, to)?);
        let judged = Judged::of(file, &Header::parse(file)?, sealing, wanted, None)?;
        return judged.carry_out().map(|_| ());
    }
    let end = judged.carry_out()?;
    let file = file.grown_to(end);
    resize::resize(file, Header::parse(file)?, sealing, to).map(|_| ())
}

/// What there is besides of an encrypted image.
#[derive(Clone, Copy)]
pub(super) struct Sealed<'s> {
    /// How its data is encrypted.
    pub(super) sealing: Option<&'s Sealing>,
    /// What becomes of its key slots.
    pub(super) plan: Option<&'s Result<&'s Plan>>,
}

/// Options that the image can be given.
struct Judged<'h, 's> {
    sealing: Option<&'s Sealing>,
    look: Look<'h>,
    aim: Aim,
    /// Any of them is another one.
    changes: bool,
    counted: Option<Counted>,
    zeros: Option<Survey>,
    upgrade: Option<Upgrade<'h>>,
}

impl<'h, 's> Judged<'h, 's> {
    /// Looks whether that can be done.
    fn of(
        file: File<'h>,
        header: &Header,
        sealing: Option<&'s Sealing>,
        wanted: &Amend,
        to: Option<&mut Resizing<'_>>,
    ) -> Result<Self> {
        let in_file = |fault: Fault| fault.in_file(file.slot());
        let aim = Aim::of(header, wanted).map_err(in_file)?;
        let mut look = Look::open(file, header.clone())?;
        let mut counted = None;
        if aim.order != header.refcount_order {
            counted = Some(Counted::of(&mut look, aim.order).map_err(in_file)?);
        }
        aim.judge_rest(header, wanted).map_err(in_file)?;
        let mut sized = header.clone();
        if let Some(to) = to {
            judge_size(header, to.size, wanted.force).map_err(in_file)?;
            // That is what it is by then.
            sized.version = aim.version.max(header.version);
            resize::judge(file, sized.clone(), sealing, to)?;
            sized.size = to.size;
        }
        let mut zeros = None;
        if aim.version < header.version {
            aim.judge_downgrade(header).map_err(in_file)?;
            snapshots::judge_downgrade(file, &sized).map_err(in_file)?;
            aim.judge_features(header).map_err(in_file)?;
            zeros = Survey::of(&mut look)?;
        }
        let mut judged = Self {
            sealing,
            changes: !aim.is_as(header),
            look,
            aim,
            counted,
            zeros,
            upgrade: None,
        };
        if judged.changes {
            judged.upgrade = Upgrade::of(&mut judged.look, judged.aim.version)?;
            head(&judged.look, &judged.aim)?.judge(file)?;
        }
        Ok(judged)
    }

    /// Bytes that the file may grow by.
    fn room(&self) -> u64 {
        let counted = self.counted.as_ref();
        let counted = counted.map_or(0, |counted| counted.room(&self.look, self.aim.order));
        counted.saturating_add(self.zeros.as_ref().map_or(0, Survey::room))
    }

    /// Gives the image the options; gives the length of the file then, in bytes, at most.
    fn carry_out(self) -> Result<u64> {
        let file = self.look.file;
        if !self.changes {
            return Ok(file.size());
        }
        // With these, counts change on the way.
        let counted = self
            .counted
            .filter(|_| self.upgrade.is_none() && self.zeros.is_none());
        let known = counted.map(|counted| counted.known).unwrap_or_default();
        let mut look = self.look;
        if let Some(zeros) = self.zeros {
            let file = file.grown_to(zeros.expand(look, self.sealing)?);
            look = Look::open(file, Header::parse(file)?)?;
        }
        let mut release = switch(look, &self.aim, self.upgrade.as_ref(), known)?;
        let end = release.ledger().end()?;
        release.finish()?;
        Ok(end)
    }
}

/// What speaks against a size, whatever the image.
fn judge_size(header: &Header, size: u64, force: bool) -> Result<()> {
    if size >> 63 != 0 {
        return Err(Fault::new(faults::SIZE_NEGATIVE));
    }
    if size > LARGEST_SIZE {
        return Err(Fault::new(fault::resize::BEYOND).with([size, LARGEST_SIZE]));
    }
    if size < header.virtual_size() && size.is_multiple_of(SECTOR) && !force {
        return Err(Fault::new(faults::SHORTER));
    }
    Ok(())
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
