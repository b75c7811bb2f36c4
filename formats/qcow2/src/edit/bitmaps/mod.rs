//! Bitmaps made, removed, cleared, switched on and off, joined.
//!
//! ```text
//!  Grow      bits and tables of bitmaps that change, a new directory: all of it at new places
//!  switch    the header's extension leads to that directory
//!  Release   the old directory; tables and bits of bitmaps that are gone or have new ones
//! ```
//!
//! Where bitmaps are only switched on or off, that can be one write to the directory. A bitmap that stays as it is keeps its place. The disk is not touched, no flag of it changes, and hence nobody needs to be told that
//! the image is being changed: at each moment the old bitmaps count, or the new ones.

mod actions;
mod clusters;
mod sources;
mod store;
mod switched;

pub(super) use clusters::give_up;

use alloc::boxed::Box;

use instar_disk::job::ChangeBitmaps;
use instar_disk::{EditBitmaps, File, Image, Result, Undone};

use self::actions::Model;
use self::sources::{Other, Sources};
use crate::bitmaps::directory;
use crate::header::Header;

/// The bitmaps of the image behind `header`, to be changed.
///
/// # Errors
/// What is wrong with their directory; the host's.
pub(super) fn open(file: File<'_>, header: Header) -> Result<Box<dyn EditBitmaps + '_>> {
    let stored = directory::entries_within(file, &header, LISTED)?;
    Ok(Box::new(Stored { file, header, stored }))
}

/// The bitmaps as they stand.
struct Stored<'h> {
    file: File<'h>,
    header: Header,
    stored: alloc::vec::Vec<directory::Entry>,
}

impl EditBitmaps for Stored<'_> {
    fn change(
        &mut self,
        change: &ChangeBitmaps,
        from: Option<&mut dyn Image>,
    ) -> core::result::Result<(), Undone> {
        let other = from.map(Other::of).transpose()?;
        let mut model = Model::of(&self.header, &self.stored);
        let mut undone = None;
        for (number, action) in (0..).zip(&change.actions) {
            if let Err(fault) = model.act(action, &change.name, other.as_ref()) {
                let fault = fault.in_file(self.file.slot());
                let action = Some(number);
                undone = Some(Undone { action, fault });
                break;
            }
        }
        let done = model.is_as_stored(&self.stored)
            || switched::write(self.file, &self.header, &model, &self.stored)?;
        if !done {
            let sources = Sources {
                file: self.file,
                header: &self.header,
                stored: &self.stored,
                other,
            };
            store::store(self.file, &self.header, &model, sources)?;
        }
        undone.map_or(Ok(()), Err)
    }
}

/// Bytes of bitmaps' names and properties that are held. Ours: tens of thousands of bitmaps.
pub(super) const LISTED: usize = 16 << 20;
