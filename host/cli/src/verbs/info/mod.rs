//! `info`: show what an image is.

mod args;
mod flags;
mod limits;
mod partitions;
mod run;
mod safety;
mod show;

use super::{Verb, command};

/// Its line in the table.
pub(super) const VERB: Verb = Verb {
    page: &flags::PAGE,
    read: |line| {
        let args = args::parse(line)?;
        let run = match (args.safety, args.partitions) {
            (true, _) => safety::run,
            (false, Some(_)) => partitions::run,
            (false, None) => run::run,
        };
        Ok(command(args, run))
    },
};
