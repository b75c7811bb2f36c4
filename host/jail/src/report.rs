//! The protections in force.

use crate::Landlock;

/// The protections of a locked process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "a list of yes and no")]
pub struct InForce {
    /// How far Landlock confines names.
    pub landlock: Landlock,
    /// The capabilities that are left, as bits.
    pub capabilities: u64,
    /// Privileges cannot be gained.
    pub no_new_privileges: bool,
    /// No core files.
    pub no_core_files: bool,
    /// Other processes cannot look in.
    pub not_dumpable: bool,
    /// The kernel has seccomp filters: threads that started have theirs.
    pub seccomp: bool,
}
