//! One run, for any caller: a guest is prepared, files are opened, our own process is confined, the guest does its job.
//!
//! ```text
//!  Policy ──► Guest::prepare ──► files opened ──► Policy::job ──► Guest::run ──────────────► Ended: reports, files
//!             (the process sandbox forks here,                     │ clock, signals, jail      └─► commit, or dropped: abort
//!              before any file is open)                            └─► Observer, Listener: while it goes on
//! ```
//!
//! Principles:
//!
//! 1. This is the program without its command line: no option, no wording, no exit code, no environment. What goes wrong is an [`Error`]
//!    that holds what is known of it; who asked for the run words it.
//! 2. A run is final: the process that asked for it is confined afterwards and starts no other. Who wants several starts as many
//!    processes.
//! 3. A run is bounded in time, room and what its guest may say, even if the guest has been taken over.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod aside;
mod cause;
mod clock;
mod error;
mod files;
mod given;
mod guest;
mod handover;
mod image;
mod input;
mod job;
mod lanes;
mod observer;
mod policy;
mod remote;
mod reports;
mod room;
pub mod selftest;
mod signals;
mod target;
mod window;

pub use cause::Cause;
pub use clock::{Limit, left, over, started};
pub use error::Error;
pub use given::Given;
pub use guest::{Ended, Guest};
pub use image::{Below, Image, Protocol, Refusal};
pub use input::output;
pub use instar_jail::die_by;
pub use job::fresh_seed;
pub use lanes::{direct_lanes, lanes};
pub use observer::Observer;
pub use policy::{Backend, Policy, UNTRUSTED_SIZE};
pub use remote::{Address, Remote};
pub use reports::Listener;
pub use signals::tidied_on_signals;
pub use target::{DataFile, Maker};
