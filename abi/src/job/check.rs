//! What `check` is to do.

use serde::{Deserialize, Serialize};

use super::Source;

/// `check`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What to look through.
    pub source: Source,
    /// What is put right, in a file that is open for writing; none: it is only looked at.
    pub repair: Option<Repair>,
}

/// What `check -r` puts right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Repair {
    /// Clusters that are counted more often than they are used.
    Leaks,
    /// Everything that can be.
    All,
}
