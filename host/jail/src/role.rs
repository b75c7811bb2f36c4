//! The roles of threads.

use std::fmt;

/// The work of a thread; it may have several kinds.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Role(u8);

impl Role {
    /// Starts the run, waits for its end, completes the targets and prints.
    pub const CONTROL: Self = Self(1);
    /// Runs a virtual processor and serves its requests.
    pub const KVM_LANE: Self = Self(2);
    /// Serves the requests of a lane of the confined process.
    pub const PROCESS_LANE: Self = Self(4);
    /// Opens what images name: only where the policy opens anything.
    pub const GATE: Self = Self(8);

    /// All lanes, of either backend.
    pub(crate) const LANES: Self = Self::KVM_LANE.and(Self::PROCESS_LANE);
    /// Lanes and the control thread.
    pub(crate) const ALL: Self = Self::LANES.and(Self::CONTROL);

    /// Both kinds of work.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether some of the work is of these kinds.
    #[must_use]
    pub const fn is_any_of(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }
}

impl fmt::Debug for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::CONTROL, "control"),
            (Self::KVM_LANE, "KVM lane"),
            (Self::PROCESS_LANE, "process lane"),
            (Self::GATE, "gate"),
        ];
        let mut separator = "";
        for (role, name) in names {
            if self.is_any_of(role) {
                write!(f, "{separator}{name}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}
