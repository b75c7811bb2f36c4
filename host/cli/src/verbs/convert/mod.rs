//! `convert`: copy images into a new one of any format.

mod args;
mod flags;
mod preset;
mod range;
mod run;

use super::{Verb, command};

/// Its line in the table.
pub(super) const VERB: Verb = Verb {
    page: &flags::PAGE,
    read: |line| Ok(command(args::parse(line)?, run::run)),
};
