//! `worker`: do one job for the process that started us.

mod args;
mod flags;
mod order;
mod run;

use super::{Verb, command};

/// Its line in the table.
pub(super) const VERB: Verb = Verb {
    page: &flags::PAGE,
    read: |line| Ok(command(args::parse(line)?, run::run)),
};
