//! A format being checked.

use instar_abi::Format;
use instar_abi::report::{Backing, Checked};

use crate::{Findings, Result};

/// An image whose header holds together and whose tables can be looked through.
pub trait Check {
    /// The format of the image.
    fn format(&self) -> Format;

    /// The layer below, as the image names it.
    fn backing(&self) -> Option<Backing> {
        None
    }

    /// Looks through all tables and says what is wrong with them. Memory and time are bounded whatever they say.
    ///
    /// # Errors
    /// Why the check could not be completed: the host's, or what makes further reading pointless.
    fn run(&mut self, findings: &mut Findings<'_>) -> Result<Checked>;
}
