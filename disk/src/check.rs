//! A format being checked.

use instar_abi::job::Repair;
use instar_abi::report::{Backing, Checked};
use instar_abi::{Fault, Format, fault};

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

    /// Does the same and repairs what `repair` says, in a file that is open for writing; says what it repairs and what it does not.
    ///
    /// The disk stays what it was. If the machine stops at any moment, the next repair finds an image that it can repair, with the
    /// same disk.
    ///
    /// # Errors
    /// `UNSUPPORTED` for formats in which nothing is repaired; what makes a repair impossible; the host's.
    fn repair(&mut self, repair: Repair, findings: &mut Findings<'_>) -> Result<Checked> {
        let _ = (repair, findings);
        Err(Fault::new(fault::check::UNSUPPORTED))
    }
}
