//! The verbs: one folder each, and the one table of them.
//!
//! ```text
//!  words ─► flags: the page ─► args: what was typed ─► run: files, guest ─► show: the words for what came out
//! ```
//!
//! A verb is its folder and its line in [`VERBS`]. What a verb does not need it has no file for; what several verbs share is in
//! [`shared`], and what carries commands out, whichever they are, in [`crate::run`].

mod amend;
mod bench;
mod bitmap;
mod check;
mod checksum;
mod commit;
mod compact;
mod compare;
mod convert;
mod create;
mod dd;
mod fleet;
mod info;
mod map;
mod measure;
mod rebase;
mod resize;
mod sandbox;
mod selftest;
pub(crate) mod shared;
mod snapshot;
mod trust;
mod worker;

use std::ffi::OsString;

use instar_abi::NamedSecret;

use crate::flags::{Id, Page};
use crate::run::Context;
use crate::stop::Step;
use shared::Line;

/// Every verb, in the order in which help lists them.
const VERBS: &[Verb] = &[
    info::VERB,
    convert::VERB,
    dd::VERB,
    map::VERB,
    compare::VERB,
    snapshot::VERB,
    bitmap::VERB,
    amend::VERB,
    rebase::VERB,
    commit::VERB,
    resize::VERB,
    compact::VERB,
    create::VERB,
    measure::VERB,
    check::VERB,
    bench::VERB,
    checksum::VERB,
    trust::VERB,
    sandbox::VERB,
    selftest::VERB,
    fleet::VERB,
    worker::VERB,
];

pub(crate) struct Verb {
    /// Its help page, with its options.
    pub(crate) page: &'static Page,
    /// Judges its command line.
    read: fn(Line<'_>) -> Step<Command>,
}

/// A command line that has been judged: to be carried out once the settings are known. Gives the exit code.
pub(crate) type Command = Box<dyn FnOnce(&mut Context<'_>) -> Step<u8>>;

impl Verb {
    /// The verb of that name.
    pub(crate) fn find(name: &[u8]) -> Option<&'static Self> {
        VERBS.iter().find(|verb| verb.page.name.as_bytes() == name)
    }

    /// Reads its command line, the words behind its name. Options that belong to every verb are added to `common`, what
    /// `--object` makes to `secrets`.
    ///
    /// # Errors
    /// What is wrong with it, or [`crate::stop::Stop::Done`] when help was asked for and given.
    pub(crate) fn read(
        &self,
        words: Vec<OsString>,
        common: &mut Vec<(Id, OsString)>,
        secrets: &mut Vec<NamedSecret>,
        help: &mut dyn FnMut(&Page),
    ) -> Step<Command> {
        (self.read)(Line::new(self.page, words, common, secrets, help))
    }
}

/// The page of every verb.
pub(crate) fn pages() -> impl Iterator<Item = &'static Page> {
    VERBS.iter().map(|verb| verb.page)
}

/// What was typed, and what carries it out.
fn command<A: 'static>(args: A, run: fn(&A, &mut Context<'_>) -> Step<u8>) -> Command {
    Box::new(move |context| run(&args, context))
}
