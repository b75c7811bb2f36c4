//! What became of an item.

use serde::{Deserialize, Serialize};

use super::identity::Identity;

/// How an item ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum End {
    Done,
    /// Refused, or broken for good: no second try would end otherwise.
    Failed,
    /// To be tried again.
    Again,
}

impl End {
    /// What `run` exits with.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Again => TRY_AGAIN,
        }
    }
}

/// The exit code for "try again": `EX_TEMPFAIL` of sysexits.h.
pub(super) const TRY_AGAIN: u8 = 75;

/// The record of an item.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct Record {
    /// The id of the plan.
    pub(super) plan: String,
    pub(super) item: u64,
    pub(super) end: End,
    /// The word of `--failure`, if it failed.
    pub(super) cause: Option<String>,
    /// What was said.
    pub(super) message: Option<String>,
    /// The line of `--checksum`.
    pub(super) checksum: Option<String>,
    pub(super) seconds: f64,
    /// The machine.
    pub(super) host: String,
    /// What the target is, unless it is a range of one.
    pub(super) target: Option<Identity>,
    /// How often it was tried, this time included.
    pub(super) tries: u64,
}
