//! A format being changed in place.

use alloc::boxed::Box;

use instar_abi::job::{Amend, BitmapAction, Change, ChangeBitmaps};
use instar_abi::report::{Backing, Compacted};
use instar_abi::{Fault, fault};

use crate::{Compacting, Image, Resizing, Result};

/// An image whose structure can be changed where it is.
pub trait Edit {
    /// Carries out one change, other than another size.
    ///
    /// If it fails, or the machine stops at any moment, the image holds the disk from before the change or the disk from
    /// after it, can be read, and at worst takes space that nothing refers to. What speaks against the change is found
    /// before anything is written.
    ///
    /// # Errors
    /// The reason against the change, or an error of the host.
    fn change(&mut self, change: &Change) -> Result<()>;

    /// Its bitmaps, to be changed.
    ///
    /// # Errors
    /// What is wrong with their directory, or the host's error.
    fn bitmaps(&mut self) -> Result<Box<dyn EditBitmaps + '_>> {
        Ok(Box::new(NoBitmaps))
    }

    /// Virtual size in bytes.
    fn size(&self) -> u64;

    /// The layer below, as the image names it.
    fn backing(&self) -> Option<Backing> {
        None
    }

    /// Gives the disk another size, under the promise of [`Edit::change`]. What is added reads as zero.
    ///
    /// # Errors
    /// As [`Edit::change`].
    fn resize(&mut self, to: &mut Resizing<'_>) -> Result<()> {
        let _ = to;
        Err(Fault::new(fault::resize::UNSUPPORTED))
    }

    /// Gives the image other options, and the disk another size if one is wanted, under the promise of [`Edit::change`]; but where both
    /// change, a stop may leave one of them as it was.
    ///
    /// # Errors
    /// As [`Edit::change`].
    fn amend(&mut self, options: &Amend, to: Option<&mut Resizing<'_>>) -> Result<()> {
        let _ = (options, to);
        Err(Fault::new(fault::amend::UNSUPPORTED))
    }

    /// Gives up space that the image takes and does not need, under the promise of [`Edit::change`]: the disk, its snapshots and its bitmaps stay
    /// what they are.
    ///
    /// # Errors
    /// As [`Edit::change`].
    fn compact(&mut self, how: &mut Compacting<'_>) -> Result<Compacted> {
        self.change(&Change::Compact(how.wanted))
            .map(|()| Compacted::default())
    }

    /// Whether the change can be made, for verbs that have other work to do first. Writes nothing.
    ///
    /// # Errors
    /// What speaks against it, as far as that can be told from the header; the host's error.
    fn judge(&mut self, change: &Change) -> Result<()> {
        let _ = change;
        Ok(())
    }
}

/// The bitmaps of an image that is changed in place.
pub trait EditBitmaps {
    /// Carries out actions, one after the other, up to one that cannot be: those before it take effect all the same. `from` has the
    /// bitmaps that are merged; without it, they are the image's own.
    ///
    /// The disk stays what it is. If the machine stops at any moment, the bitmaps are those from before all actions or those from
    /// after them.
    ///
    /// # Errors
    /// Why not everything was done.
    fn change(
        &mut self,
        change: &ChangeBitmaps,
        from: Option<&mut dyn Image>,
    ) -> core::result::Result<(), Undone>;
}

/// Why actions were not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The number of the one that cannot be; none: nothing is wrong with the actions.
    pub action: Option<u32>,
    /// What speaks against it.
    pub fault: Fault,
}

impl From<Fault> for Undone {
    fn from(fault: Fault) -> Self {
        Self { action: None, fault }
    }
}

/// The bitmaps of an image that cannot have any.
struct NoBitmaps;

impl EditBitmaps for NoBitmaps {
    fn change(
        &mut self,
        change: &ChangeBitmaps,
        _: Option<&mut dyn Image>,
    ) -> core::result::Result<(), Undone> {
        for (number, action) in (0..).zip(&change.actions) {
            let fault = match action {
                BitmapAction::RemoveAll => continue,
                BitmapAction::Add(_) if change.name.is_empty() => Fault::new(fault::bitmap::NO_NAME),
                BitmapAction::Add(granularity) if !is_granularity(*granularity) => {
                    Fault::new(fault::bitmap::GRANULARITY)
                }
                BitmapAction::Add(_) => Fault::new(fault::bitmap::NO_BITMAPS),
                _ => Fault::new(fault::bitmap::MISSING).named(&change.name),
            };
            let action = Some(number);
            return Err(Undone { action, fault });
        }
        Ok(())
    }
}

/// Whether so many bytes can be what a bit stands for; 0 leaves it to the format.
#[must_use]
pub const fn is_granularity(bytes: u64) -> bool {
    bytes == 0 || (bytes.is_power_of_two() && bytes >= GRANULARITY_MIN && bytes <= GRANULARITY_MAX)
}

/// Bytes that a bit stands for at least: qemu's.
const GRANULARITY_MIN: u64 = 512;
/// Bytes that a bit stands for at most: qemu's.
const GRANULARITY_MAX: u64 = 1 << 31;
