//! `fleet`: many images, or one enormous image, on many machines.
//!
//! ```text
//!  plan ──► PLAN, a file of lines ──► run, one item at a time, wherever an engine says ──► finish
//!                                       │ another instance of ourselves converts
//!                                       └► PLAN.d/N.lease while it goes on, PLAN.d/N.json at the end
//! ```
//!
//! Nothing here talks over a network, and no engine sees a byte of an image: what workers share is the storage. An item can be run any
//! number of times, also at the same time; its record is written last.

mod args;
mod attend;
mod choice;
mod finish;
mod flags;
mod identity;
mod lay;
mod lay_ranges;
mod lease;
mod plan;
mod record;
mod run;
mod script;
mod script_kubernetes;
mod state;
mod status;
mod verdict;
mod worker;

use super::{Verb, command};

/// Its line in the table.
pub(super) const VERB: Verb = Verb {
    page: &flags::PAGE,
    read: |line| Ok(command(args::parse(line)?, args::carry_out)),
};

/// A number that nobody else has, in hexadecimal.
fn fresh() -> String {
    let random = instar_run::fresh_seed().random;
    random.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
