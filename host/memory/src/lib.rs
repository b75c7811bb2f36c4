//! Guest memory as the host may touch it.
//!
//! ```text
//!  offset 0                                                             len()
//!  ├── image, stacks, control ──┬── heap: ordinary pages ──┬── heap: huge pages ──┤
//!                               HEAP - BASE                + 2 MiB
//! ```
//!
//! Principles:
//!
//! 1. The guest runs while the host looks. So no reference into guest memory is ever formed, whoever asks: bytes are
//!    copied in and out through raw pointers by one instruction that the compiler cannot see through, words are read
//!    and written volatile.
//! 2. A place is an offset from the start of guest memory ([`instar_abi::request::GuestRange::start`]), never a
//!    pointer. Every offset is checked against the length, every time.
//! 3. What was read is a claim of the guest's. Reading the same bytes twice may give two values.
//!
//! Also here: [`Next`], what whoever serves a lane tells the sandbox, and [`StopSign`], by which the sandbox tells whoever serves
//! a lane that the run is over, since the engine and the sandbox both need them and do not depend on each other.

mod io;
mod map;
mod next;
mod sign;
mod word;

pub use map::{GuestMemory, OutOfBounds};
pub use next::{Next, Violation};
pub use sign::StopSign;
pub use word::LONGEST;
