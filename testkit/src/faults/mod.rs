//! Hosts that are watched: [`crate::Native`], and something that looks at each request on its way.
//!
//! ```text
//!  Counting   what was asked for
//!  Failing    carries out so many changes, and then none
//!  Full       writes nothing behind a byte
//!  Torn       what a power cut can leave of the changes
//! ```

mod content;
mod counting;
mod failing;
mod full;
mod torn;
mod watched;

pub use content::Content;
pub use counting::{Asked, Counters, Counting};
pub use failing::{Allowance, Failing};
pub use full::{End, Full};
pub use torn::{Record, State, Torn};
pub use watched::{Watch, Watched};
