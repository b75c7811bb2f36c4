//! The verbs: what was typed, and what it means.

pub mod check;
pub mod checksum;
pub mod compare;
pub mod convert;
pub mod create;
pub mod dd;
pub mod info;
pub mod map;
pub mod measure;
mod object;
pub mod sandbox;
pub mod shared;
pub mod snapshot;
pub mod trust;

use std::ffi::OsString;

use crate::flags::{Getopt, Id, Item, Page};
use crate::stop::Step;

/// The verbs there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each has a module of that name")]
pub enum VerbName {
    Info,
    Convert,
    Create,
    Dd,
    Map,
    Compare,
    Snapshot,
    Measure,
    Check,
    Checksum,
    Trust,
    Sandbox,
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Command {
    /// `info`.
    Info(info::Args),
    /// `convert`.
    Convert(Box<convert::Args>),
    /// `create`.
    Create(create::Args),
    /// `dd`.
    Dd(dd::Args),
    /// `map`.
    Map(map::Args),
    /// `compare`.
    Compare(compare::Args),
    /// `snapshot`.
    Snapshot(snapshot::Args),
    /// `measure`.
    Measure(measure::Args),
    /// `check`.
    Check(check::Args),
    /// `checksum`.
    Checksum(checksum::Args),
    /// `trust`.
    Trust(trust::Args),
    /// `sandbox`.
    Sandbox(sandbox::Args),
}

/// A verb's command line while it is read.
pub(crate) struct Line<'a> {
    getopt: Getopt,
    page: &'static Page,
    /// Options that belong to every verb, for [`crate::settings::with_options`].
    common: &'a mut Vec<(Id, OsString)>,
    /// Names of the secrets that `--object` made.
    secrets: Vec<Vec<u8>>,
    /// What is to be printed if the line asks for help.
    help: &'a mut dyn FnMut(&Page),
}

/// Reads the command line of the verb on `page`.
///
/// # Errors
/// What is wrong with it, or [`crate::stop::Stop::Done`] when help was asked for and given.
pub fn parse(
    page: &'static Page,
    words: Vec<OsString>,
    common: &mut Vec<(Id, OsString)>,
    help: &mut dyn FnMut(&Page),
) -> Step<Command> {
    let line = Line {
        getopt: Getopt::new(page.flags(), words, stop_at_operand()).after(page.name.as_ref()),
        page,
        common,
        secrets: Vec::new(),
        help,
    };
    match page.verb {
        VerbName::Info => info::parse(line).map(Command::Info),
        VerbName::Convert => convert::parse(line).map(|args| Command::Convert(Box::new(args))),
        VerbName::Create => create::parse(line).map(Command::Create),
        VerbName::Dd => dd::parse(line).map(Command::Dd),
        VerbName::Map => map::parse(line).map(Command::Map),
        VerbName::Compare => compare::parse(line).map(Command::Compare),
        VerbName::Snapshot => snapshot::parse(line).map(Command::Snapshot),
        VerbName::Measure => measure::parse(line).map(Command::Measure),
        VerbName::Check => check::parse(line).map(Command::Check),
        VerbName::Checksum => checksum::parse(line).map(Command::Checksum),
        VerbName::Trust => trust::parse(line).map(Command::Trust),
        VerbName::Sandbox => sandbox::parse(line).map(Command::Sandbox),
    }
}

/// Options end at the first operand where the environment asks for it.
pub(crate) fn stop_at_operand() -> bool {
    std::env::var_os("POSIXLY_CORRECT").is_some()
}

impl Line<'_> {
    /// The next option of the verb's own, or operand.
    pub(crate) fn item(&mut self) -> Step<Option<Item>> {
        loop {
            match self.getopt.next().transpose()? {
                Some(Item::Flag(Id::Help, _)) => {
                    (self.help)(self.page);
                    return Err(crate::stop::Stop::Done);
                }
                Some(Item::Flag(id, value)) if is_common(id) => self.common.push((id, value)),
                Some(Item::Flag(Id::Object, value)) => object::add(&value, &mut self.secrets)?,
                other => return Ok(other),
            }
        }
    }
}

/// Whether an option belongs to every verb.
#[must_use]
pub fn is_common(id: Id) -> bool {
    crate::flags::POLICY.iter().any(|flag| flag.id == id)
}
