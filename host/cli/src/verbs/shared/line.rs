//! A verb's command line while it is read.

use std::ffi::{OsStr, OsString};

use instar_abi::NamedSecret;

use super::object;
use crate::flags::{Getopt, Id, Item, POLICY, Page};
use crate::stop::{Step, Stop};

/// What follows a verb. What every verb takes is taken out of it here: help, policy, objects.
pub(crate) struct Line<'a> {
    getopt: Getopt,
    page: &'static Page,
    /// Options that belong to every verb, for [`crate::settings::with_options`].
    common: &'a mut Vec<(Id, OsString)>,
    /// The secrets that `--object` made.
    secrets: &'a mut Vec<NamedSecret>,
    /// What is to be printed if the line asks for help.
    help: &'a mut dyn FnMut(&Page),
}

impl<'a> Line<'a> {
    /// The words behind the name of the verb on `page`.
    pub(crate) fn new(
        page: &'static Page,
        words: Vec<OsString>,
        common: &'a mut Vec<(Id, OsString)>,
        secrets: &'a mut Vec<NamedSecret>,
        help: &'a mut dyn FnMut(&Page),
    ) -> Self {
        Self {
            getopt: Getopt::new(page.flags(), words, stop_at_operand()).after(page.name.as_ref()),
            page,
            common,
            secrets,
            help,
        }
    }

    /// Reads to the end: `take` is given each option of the verb's own, in the order of the line. Gives the operands.
    pub(crate) fn read(&mut self, mut take: impl FnMut(Id, OsString) -> Step<()>) -> Step<Vec<OsString>> {
        let mut operands = Vec::new();
        while let Some(item) = self.item()? {
            match item {
                Item::Flag(id, value) => take(id, value)?,
                Item::Operand(word) => operands.push(word),
            }
        }
        Ok(operands)
    }

    /// The next option of the verb's own, or operand.
    pub(crate) fn item(&mut self) -> Step<Option<Item>> {
        loop {
            match self.getopt.next().transpose()? {
                Some(Item::Flag(Id::Help, _)) => {
                    (self.help)(self.page);
                    return Err(Stop::Done);
                }
                Some(Item::Flag(id, value)) if is_common(id) => self.common.push((id, value)),
                Some(Item::Flag(Id::Object, value)) => object::add(&value, self.secrets)?,
                other => return Ok(other),
            }
        }
    }

    /// The settings that were given so far, as options with whole values, to be handed on to other instances of ourselves. Where a
    /// failure is told is nobody's business but ours.
    pub(crate) fn settings(&self) -> Vec<OsString> {
        let handed_on = self.common.iter().filter(|(id, _)| *id != Id::Failure);
        handed_on.filter_map(|(id, value)| option(*id, value)).collect()
    }

    /// The next word, if it is such a one, whatever it would be taken for otherwise.
    pub(crate) fn next_if(&mut self, is: fn(&[u8]) -> bool) -> Option<OsString> {
        self.getopt.next_if(is)
    }

    /// The last word, if it is not the only one; it is read then.
    pub(crate) fn last_of_two(&mut self) -> Option<OsString> {
        self.getopt.last_of_two()
    }
}

/// Options end at the first operand where the environment asks for it.
pub(crate) fn stop_at_operand() -> bool {
    std::env::var_os("POSIXLY_CORRECT").is_some()
}

/// An option that every verb takes, as one word; names of files with their whole paths.
fn option(id: Id, value: &OsStr) -> Option<OsString> {
    let flag = POLICY.iter().find(|flag| flag.id == id)?;
    let mut word = OsString::from("--");
    word.push(flag.exact.first().or_else(|| flag.long.first())?);
    if flag.value.is_some() {
        word.push("=");
        let path = matches!(id, Id::AllowDir | Id::UntrustedDir | Id::Config);
        match std::path::absolute(value) {
            Ok(whole) if path => word.push(whole),
            _ => word.push(value),
        }
    }
    Some(word)
}

/// Whether an option belongs to every verb.
fn is_common(id: Id) -> bool {
    POLICY.iter().any(|flag| flag.id == id)
}
