//! `trust`: record that an image may name the files that it names.

mod args;
mod flags;
mod run;

use super::{Verb, command};

/// Its line in the table.
pub(super) const VERB: Verb = Verb {
    page: &flags::PAGE,
    read: |line| Ok(command(args::parse(line)?, run::run)),
};
