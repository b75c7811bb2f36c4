//! `info`: show what an image is.

mod args;
mod flags;
mod limits;
mod run;
mod safety;
mod show;

use super::{Verb, command};

/// Its line in the table.
pub(super) const VERB: Verb = Verb {
    page: &flags::PAGE,
    read: |line| {
        let args = args::parse(line)?;
        let run = if args.safety { safety::run } else { run::run };
        Ok(command(args, run))
    },
};
