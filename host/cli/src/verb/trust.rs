//! `trust`: its command line.

use std::ffi::OsString;

use super::Line;
use crate::flags::{Id, Item};
use crate::stop::{Step, Stop};

/// What was typed.
#[derive(Debug)]
pub struct Args {
    /// The image on top.
    pub image: OsString,
    /// Its format.
    pub format: Option<OsString>,
    /// What to do.
    pub action: Action,
}

/// What is done with records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Show the chain, then record it.
    Record,
    /// `--show`.
    Show,
    /// `--remove`.
    Remove,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut format = None;
    let mut chosen = None;
    let mut operands = Vec::new();
    while let Some(item) = line.item()? {
        let action = match item {
            Item::Flag(Id::Show, _) => Action::Show,
            Item::Flag(Id::Remove, _) => Action::Remove,
            Item::Flag(Id::Format, value) => {
                format = Some(value);
                continue;
            }
            Item::Flag(..) => continue,
            Item::Operand(word) => {
                operands.push(word);
                continue;
            }
        };
        if chosen.replace(action).is_some_and(|other| other != action) {
            return Err(Stop::Misuse(b"Cannot mix '--show' and '--remove'".to_vec()));
        }
    }
    let [image] = <[OsString; 1]>::try_from(operands)
        .map_err(|_| Stop::Misuse(b"Expecting one image file name".to_vec()))?;
    Ok(Args {
        image,
        format,
        action: chosen.unwrap_or(Action::Record),
    })
}
