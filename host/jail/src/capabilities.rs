//! Capabilities: the privileges of root, one by one. Once the files that the user named are open, few of them are needed.
//!
//! | kept | thread | purpose |
//! |---|---|---|
//! | `CAP_DAC_READ_SEARCH` | of the gate, if images may name files | the gate opens layers of other users |
//! | `CAP_DAC_OVERRIDE`, `CAP_DAC_READ_SEARCH`, `CAP_FOWNER` | that completes targets | names in directories of other users |

use std::io;

use rustix::thread::{self, CapabilitySet, CapabilitySets};

use crate::{Confinement, Role};

const DAC_OVERRIDE: u64 = 1 << 1;
const DAC_READ_SEARCH: u64 = 1 << 2;
const FOWNER: u64 = 1 << 3;

/// The capability that opens files of other users.
const OPENING: u64 = DAC_READ_SEARCH;
/// The capabilities that make and remove names in directories of other users.
const NAMING: u64 = DAC_OVERRIDE | DAC_READ_SEARCH | FOWNER;

/// Gives up all capabilities of the calling thread that `confinement` has no use for; gives those that are left.
pub(crate) fn drop_most(confinement: &Confinement<'_>) -> io::Result<u64> {
    let opening = if confinement.read.is_empty() { 0 } else { OPENING };
    let naming = if confinement.names.is_empty() { 0 } else { NAMING };
    keep(opening | naming)
}

/// Gives up what a thread with this work has no use for.
pub fn keep_for(role: Role) -> io::Result<()> {
    let naming = if role.is_any_of(Role::CONTROL) { NAMING } else { 0 };
    let opening = if role.is_any_of(Role::GATE) { OPENING } else { 0 };
    keep(opening | naming).map(|_| ())
}

/// The capabilities of the calling thread.
pub fn capabilities() -> io::Result<u64> {
    Ok(thread::capabilities(None)?.permitted.bits())
}

/// Keeps at most these; gives those that are left.
fn keep(wanted: u64) -> io::Result<u64> {
    let held = capabilities()?;
    let kept = held & wanted;
    if held != kept {
        let kept = CapabilitySet::from_bits_retain(kept);
        let sets = CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        };
        thread::set_capabilities(None, sets)?;
    }
    Ok(kept)
}
