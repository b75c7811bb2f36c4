//! Capabilities: the privileges of root, one by one. Once the files that the user named are open, few of them are needed.
//!
//! | kept | thread | purpose |
//! |---|---|---|
//! | `CAP_DAC_READ_SEARCH` | of the gate, if images may name files | the gate opens layers of other users |
//! | `CAP_DAC_OVERRIDE`, `CAP_DAC_READ_SEARCH`, `CAP_FOWNER` | that completes targets | names in directories of other users |

use std::io;

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
    let mut sets = [Set::default(); 2];
    // SAFETY: the kernel reads the header and fills in two sets, as the version says.
    let result = unsafe { libc::syscall(libc::SYS_capget, &raw const OWN, sets.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let [low, high] = sets;
    Ok(u64::from(low.permitted) | u64::from(high.permitted) << 32)
}

/// Keeps at most these; gives those that are left.
fn keep(wanted: u64) -> io::Result<u64> {
    let held = capabilities()?;
    let kept = held & wanted;
    if held != kept {
        let set = |bits: u64| {
            let bits = u32::try_from(bits & u64::from(u32::MAX)).unwrap_or_default();
            Set {
                effective: bits,
                permitted: bits,
                inheritable: 0,
            }
        };
        let sets = [set(kept), set(kept >> 32)];
        // SAFETY: the kernel reads the header and two sets, as the version says.
        let result = unsafe { libc::syscall(libc::SYS_capset, &raw const OWN, sets.as_ptr()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(kept)
}

/// `struct __user_cap_header_struct`: version 3, the calling thread.
#[repr(C)]
struct Header {
    version: u32,
    thread: i32,
}

static OWN: Header = Header {
    version: 0x2008_0522,
    thread: 0,
};

/// `struct __user_cap_data_struct`.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
struct Set {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}
