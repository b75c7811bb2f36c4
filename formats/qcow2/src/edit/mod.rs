//! Changing an image in place, so that a stop at any moment leaves the disk from before or the disk from after.
//!
//! ```text
//!  Look     judges the whole change; writes nothing
//!    │      dirty bit on, flush
//!  Grow     takes free clusters, raises counts, writes tables at new places; in live tables only clears COPIED
//!    │      flush ─► the header's first sector, one write ─► flush
//!  Release  lowers counts, sets COPIED, drops what nothing refers to
//!           flush ─► dirty bit off
//! ```
//!
//! A stop in the first half leaves clusters that are counted more often than they are used, a stop in the second half the
//! same: leaks, which cost space and no data. In between the COPIED flags may disagree with the counts, which is what the dirty bit
//! says (version 3; version 2 has none, and there too the disk is right). The acts are types that are used up by the next
//! one, so that a change in the wrong order does not compile.

mod amend;
mod backing;
mod bitmaps;
mod clusters;
mod compact;
mod counts;
mod empty;
pub(crate) mod fill;
pub(crate) mod freed;
mod head;
mod ledger;
mod pages;
pub(crate) mod rebuild;
mod resize;
pub(crate) mod sector;
pub(crate) mod snapshots;
pub(crate) mod stale;
mod switch;
mod transaction;
mod tree;

use alloc::boxed::Box;

use instar_crypt::luks1::Plan;
use instar_disk::job::{Amend, Change};
use instar_disk::report::{Backing, Compacted};
use instar_disk::{Compacting, Edit, EditBitmaps, Fault, File, Key, Resizing, Result, Sealing, fault};

use crate::check::repair;
use crate::header::Header;
use crate::luks;
use crate::num::internal;

/// Opens a qcow2 image to change it in place. One that is marked dirty is repaired first; else nothing is written before a change has
/// been judged.
///
/// # Errors
/// What is wrong with the header; an image that is corrupt or encrypted, or cannot be repaired; the host's.
pub fn edit<'h>(file: File<'h>) -> Result<Box<dyn Edit + 'h>> {
    edit_with(file, None, None)
}

/// The same, with the key of an encrypted image, and what is planned for its key slots, or what speaks against that.
///
/// # Errors
/// As [`edit()`].
pub fn edit_with<'h>(
    file: File<'h>,
    key: Option<Key>,
    plan: Option<Result<&'h Plan>>,
) -> Result<Box<dyn Edit + 'h>> {
    let header = Header::parse(file)?;
    let sealing = luks::sealing(file, &header, key)?;
    changeable(&header).map_err(|fault| fault.in_file(file.slot()))?;
    let (file, header) = repair::clean(file, header)?;
    Ok(Box::new(Editor {
        file,
        header,
        sealing,
        plan,
    }))
}

/// Whether it is one that we change.
fn changeable(header: &Header) -> Result<()> {
    if header.features.corrupt() {
        return Err(Fault::new(fault::qcow2_write::TARGET_CORRUPT));
    }
    Ok(())
}

struct Editor<'h> {
    file: File<'h>,
    header: Header,
    /// How its data is encrypted, if it is.
    sealing: Option<Sealing>,
    /// What becomes of its key slots.
    plan: Option<Result<&'h Plan>>,
}

impl Edit for Editor<'_> {
    fn change(&mut self, change: &Change) -> Result<()> {
        let (file, header) = (self.file, self.header.clone());
        match change {
            Change::CreateSnapshot(snapshot) => snapshots::create(file, header, snapshot),
            Change::ApplySnapshot(name) => snapshots::apply(file, header, name),
            Change::DeleteSnapshot(name) => snapshots::delete(file, header, name),
            Change::Amend(None) => Ok(()),
            // Refused before it comes here: no key opens this format so.
            Change::Keys(_) => Err(Fault::new(fault::amend::NOT_ENCRYPTED)),
            Change::Amend(Some(options)) => self.amend(options, None),
            Change::Rebase(new) => backing::switch(file, &header, new),
            Change::Empty(data) => {
                let data = data.map(|facts| File::new(file.host(), facts));
                empty::empty(file, header, data)
            }
            // They take more than this, and have doors of their own.
            Change::Resize(_) | Change::Compact(_) => Err(internal(line!())),
        }
    }

    fn size(&self) -> u64 {
        self.header.virtual_size()
    }

    fn backing(&self) -> Option<Backing> {
        self.header.backing()
    }

    fn resize(&mut self, to: &mut Resizing<'_>) -> Result<()> {
        resize::resize(self.file, self.header.clone(), self.sealing.as_ref(), to).map(|_| ())
    }

    fn amend(&mut self, options: &Amend, to: Option<&mut Resizing<'_>>) -> Result<()> {
        let sealed = amend::Sealed {
            sealing: self.sealing.as_ref(),
            plan: self.plan.as_ref(),
        };
        amend::amend(self.file, self.header.clone(), sealed, options, to)
    }

    fn compact(&mut self, how: &mut Compacting<'_>) -> Result<Compacted> {
        compact::compact(self.file, &self.header, self.sealing.as_ref(), how)
    }

    fn judge(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Rebase(new) => backing::judge(self.file, &self.header, new),
            _ => Ok(()),
        }
    }

    fn bitmaps(&mut self) -> Result<Box<dyn EditBitmaps + '_>> {
        bitmaps::open(self.file, self.header.clone())
    }
}
