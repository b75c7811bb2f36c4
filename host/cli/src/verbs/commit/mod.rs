//! `commit`: what an image holds goes into a layer below it.

mod args;
mod base;
mod flags;
mod run;

use super::{Verb, command};

/// Its line in the table.
pub(super) const VERB: Verb = Verb {
    page: &flags::PAGE,
    read: |line| Ok(command(args::parse(line)?, run::run)),
};
