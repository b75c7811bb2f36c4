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
    /// What speaks against it, or the host's error.
    fn change(&mut self, change: &Change) -> Result<()>;

    /// Whether the change can be made, for verbs that have other work to do first. Writes nothing.
    ///
    /// # Errors
    /// What speaks against it, as far as that can be told from the header; the host's error.
    fn judge(&mut self, change: &Change) -> Result<()> {
        let _ = change;
        Ok(())
    }
}
