//! Manual pages, written from the tables that the parser and the help pages come from.
//!
//! ```text
//!  flags, verbs/VERB/flags.rs, create, settings ──┐
//!  verbs/VERB/manual.txt ─► prose ────────────────┴─► verb, top ─► roff
//! ```
//!
//! What no table says of a verb (exit codes, what can be relied on, related verbs) stands beside it in `manual.txt`.

mod entries;
mod options;
mod prose;
mod roff;
mod top;
mod verb;

pub(crate) use entries::explanation;

use crate::verbs;

/// What all pages say of the edition that they describe.
#[derive(Clone, Copy, Debug)]
pub struct Edition<'a> {
    pub version: &'a str,
    /// As year, month and day.
    pub date: &'a str,
}

/// A page, and the name of its file.
#[derive(Debug)]
pub struct ManualPage {
    pub file: String,
    /// For the macros of man(7).
    pub text: String,
}

/// Every page: one for the program, one for each verb.
#[must_use]
pub fn pages(edition: Edition<'_>) -> Vec<ManualPage> {
    let program = ManualPage {
        file: "instar.1".to_owned(),
        text: top::page(edition),
    };
    let verbs = verbs::pages().map(|page| ManualPage {
        file: format!("instar-{}.1", page.name),
        text: verb::page(page, edition),
    });
    [program].into_iter().chain(verbs).collect()
}

#[cfg(test)]
mod tests;
