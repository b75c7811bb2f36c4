//! Oracles over hostile input, and what searches for it. No release binary links it.
//!
//! ```text
//!  targets   every target by name: its oracle, its seeds, how its inputs are changed
//!  oracles   functions of bytes that panic when a rule is broken
//!  case      the input of most: files with holes, and the seed of the oracle's choices
//!  mutate    changes that keep a case a case
//!  repair    checksums and marks, put right after a change
//!  seeds     sound inputs, made by code
//!  memory    a host over files in memory that counts what is asked of it
//!  jobs      one run of a verb, and what holds for every run
//! ```
//!
//! The search (`main.rs`, behind the feature `engine`) and ordinary tests call the same oracles with the same changes: the one follows
//! coverage, the others run the corpus and some hundred changes of it from a fixed seed.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failure is a finding"
)]

pub mod case;
pub mod jobs;
mod keys;
pub mod memory;
pub mod mutate;
pub mod oracles;
mod repair;
pub mod replay;
pub mod seeds;
pub mod targets;

pub use case::Case;
pub use instar_testkit::Dice;
