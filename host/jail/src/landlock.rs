//! Landlock: what names still mean to this process.

use std::fmt;
use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use crate::Confinement;

/// How far Landlock is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landlock {
    /// All that we ask for, with the kernel's interface of this number.
    Full(i32),
    /// As much as an older kernel knows, with its interface of this number.
    Partial(i32),
    /// The kernel has none, or it is switched off.
    Absent,
}

impl fmt::Display for Landlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(abi) => write!(f, "full (ABI {abi})"),
            Self::Partial(abi) => write!(f, "partial (ABI {abi})"),
            Self::Absent => write!(f, "absent"),
        }
    }
}

/// The newest interface whose rights we know and deny.
const KNOWN: ABI = ABI::V6;

/// Takes every right on every name from the calling thread, but those that `confinement` grants. What is open stays open.
pub(crate) fn restrict(confinement: &Confinement<'_>) -> io::Result<Landlock> {
    try_restrict(confinement).map_err(io::Error::other)
}

fn try_restrict(confinement: &Confinement<'_>) -> Result<Landlock, RulesetError> {
    let mut scopes: BitFlags<Scope> = Scope::AbstractUnixSocket.into();
    if confinement.child.is_none() {
        // A child from before stands outside of what is confined now.
        scopes |= Scope::Signal;
    }
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::from_all(KNOWN))?
        .scope(scopes)?
        .create()?;
    for directory in &confinement.read {
        ruleset = ruleset.add_rule(PathBeneath::new(directory, AccessFs::ReadFile))?;
    }
    // Unnamed and hidden files get their names here, and lose them. Writing needs no right: they are open.
    let names = make_bitflags!(AccessFs::{MakeReg | RemoveFile});
    for directory in &confinement.names {
        ruleset = ruleset.add_rule(PathBeneath::new(directory, names))?;
    }
    let status = ruleset.restrict_self()?;
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else {
        return Ok(Landlock::Absent);
    };
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Landlock::Full(effective_abi as i32),
        RulesetStatus::PartiallyEnforced => Landlock::Partial(effective_abi as i32),
        RulesetStatus::NotEnforced => Landlock::Absent,
    })
}

/// The number of the kernel's Landlock interface, if it has one.
#[must_use]
pub fn supported() -> Option<i32> {
    const VERSION: u32 = 1;
    let nothing = std::ptr::null::<u8>();
    // SAFETY: asks for a number; no structure is passed.
    let abi = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, nothing, 0, VERSION) };
    i32::try_from(abi).ok().filter(|abi| *abi > 0)
}
