//! Differential fuzzing: random cases, carried out by instar and by qemu-img in twin directories, and compared.
//!
//! ```text
//!  campaign   makes a case of a seed and a number: dd, images, chains, lines
//!    ├─ recipe   images that qemu-img makes
//!    ├─ field    places in them that are worth changing
//!    └─ values   numbers and words, good and bad
//!  case       steps: disks, setup by qemu-img, edits, commands of both programs, looks at what came of them
//!  execute    carries the steps out and gives the first disagreement
//!    ├─ twins    the two directories; what setup made is kept for later cases
//!    ├─ program  one run of one program, bounded in time
//!    ├─ normal   what is left of an output when clocks and random numbers are taken out
//!    └─ known    disagreements that are rows of tests/deviations.toml
//!  shrink     makes a case that disagrees smaller
//!  script     a case as a shell script that a person can run
//!  fleet      many cases on all processors, and the account of them
//! ```
//!
//! Principles:
//!
//! 1. A case is a function of campaign, seed and number alone, and it is data: the shrinker and the script know nothing of campaigns.
//! 2. qemu-img is the oracle. A disagreement is a fault of instar, or a row of the table of deviations that a predicate recognises.
//! 3. Whatever qemu-img does, instar neither crashes nor hangs.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a tool for developers: a failure ends it"
)]

pub mod campaign;
mod case;
mod content;
mod edit;
mod execute;
mod field;
mod fleet;
mod known;
mod normal;
mod program;
mod recipe;
mod script;
mod shrink;
mod twins;
mod values;

pub use campaign::Campaign;
pub use case::{Case, Step};
pub use execute::{Disagreement, Kind, Verdict};
pub use fleet::{Account, Fleet, Plan};
