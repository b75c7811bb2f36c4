//! What tests of several crates share. No release binary links it.
//!
//! ```text
//!  oracle        qemu-img and qemu-io, and what they say
//!  Outcome       how a program ended, Running one that has not yet
//!  bench         a directory in which they work, in memory where there is enough of it
//!  pattern       bytes that say where they belong
//!  Dice          choices, the same for the same seed
//!  image         disks read and written through a driver, as the engine does
//!  Native        a host over ordinary files: drivers and verbs run in unit tests without a sandbox
//!  faults        the same, watched: it counts, fails, is full, or loses its power
//!  heap          what was allocated meanwhile
//!  conformance   the suite that every format crate runs, over all of these
//!  resizing      disks made larger and smaller, with a power cut at every moment
//!  lay           images of formats that qemu-img reads and never makes, byte by byte
//!  elf           sandboxed programs that break the contract
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "test support: a failure is a test failure"
)]

pub mod bench;
pub mod conformance;
mod dice;
pub mod elf;
pub mod faults;
pub mod heap;
pub mod image;
pub mod jobs;
pub mod lay;
pub mod ledger;
mod native;
pub mod oracle;
mod packed;
pub mod pattern;
mod process;
pub mod resizing;
mod sparse;
mod spawn;
mod words;

pub use bench::{Bench, on_disk, scratch};
pub use dice::Dice;
pub use faults::{Asked, Content, Counting, Failing, Full, State, Torn, Watch, Watched};
pub use instar_abi::Report;
pub use native::Native;
pub use packed::packed;
pub use process::{Outcome, Running};
pub use words::words;
