//! `selftest`: show on this machine that what is promised holds.

mod args;
mod flags;
mod formats;
mod room;
mod run;
mod show;
mod tries;

use super::{Verb, command};

/// Its line in the table.
pub(super) const VERB: Verb = Verb {
    page: &flags::PAGE,
    read: |line| Ok(command(args::parse(line)?, run::run)),
};
