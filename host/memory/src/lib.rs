//! The host's access to guest memory.
//!
//! ```text
//!  offset 0                                                             len()
//!  ├── image, stacks, control ──┬── heap: ordinary pages ──┬── heap: huge pages ──┤
//!                               HEAP - BASE                + 2 MiB
//! ```
//!
//! Principles:
//!
//! 1. The guest runs while the host reads its memory, so no reference into guest memory is ever formed. Bytes are copied
//!    in and out through raw pointers by one instruction that the compiler cannot see through; words are read and
//!    written volatile.
//! 2. A place is an offset from the start of guest memory ([`instar_abi::request::GuestRange::start`]), never a
//!    pointer. Every offset is checked against the length, every time.
//! 3. Bytes from guest memory are only a claim of the guest. Reading the same bytes twice may give two values.
//!
//! This crate also has [`Next`], the answer of a lane's server to the sandbox, and [`StopSign`], by which the sandbox tells the
//! server of a lane that the run is over: the engine and the sandbox both need them and do not depend on each other.

mod io;
mod map;
mod next;
mod sign;
mod word;

pub use map::{GuestMemory, OutOfBounds};
pub use next::{Next, Violation};
pub use sign::StopSign;
pub use word::LONGEST;
