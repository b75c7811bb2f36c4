//! What `instar selftest` tries on the user's own machine, apart from what guests try alone ([`instar_sandbox::ATTEMPTS`]).
//!
//! ```text
//!  requests   a guest that has been taken over rings with a forbidden request ─► the engine of every run judges it
//!  own        our own process, confined as for a run, does what it could do if it were taken over
//! ```

mod own;
mod requests;

pub use own::{OWN, Own, confined};
pub use requests::{DEMANDS, Demand, Place};
