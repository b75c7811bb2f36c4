//! A format being changed in place.

use instar_abi::job::Change;

use crate::Result;

/// An image whose structure can be changed where it is.
pub trait Edit {
    /// Carries out one change.
    ///
    /// If it fails, or the machine stops at any moment, the image holds the disk from before the change or the disk from
    /// after it, can be read, and at worst takes space that nothing refers to. What speaks against the change is found
    /// before anything is written.
    ///
    /// # Errors
    /// The reason against the change, or an error of the host.
    fn change(&mut self, change: &Change) -> Result<()>;
}
