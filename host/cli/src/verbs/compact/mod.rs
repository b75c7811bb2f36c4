//! `compact`: an image that takes less space.

mod args;
mod flags;
mod run;
mod show;

use super::{Verb, command};

/// Its line in the table.
pub(super) const VERB: Verb = Verb {
    page: &flags::PAGE,
    read: |line| Ok(command(args::parse(line)?, run::run)),
};
