//! `trust`: its command line.

use std::ffi::OsString;

use crate::flags::Id;
use crate::stop::{Step, Stop};
use crate::verbs::shared::{Line, only_image};

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    /// The image on top.
    pub(super) image: OsString,
    pub(super) format: Option<OsString>,
    /// What to do.
    pub(super) action: Action,
}

/// What is done with records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
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
    let operands = line.read(|id, value| {
        let action = match id {
            Id::Show => Action::Show,
            Id::Remove => Action::Remove,
            Id::Format => {
                format = Some(value);
                return Ok(());
            }
            _ => return Ok(()),
        };
        match chosen.replace(action) {
            Some(other) if other != action => {
                Err(Stop::Misuse(b"Cannot mix '--show' and '--remove'".to_vec()))
            }
            _ => Ok(()),
        }
    })?;
    let image = only_image(operands)?;
    Ok(Args {
        image,
        format,
        action: chosen.unwrap_or(Action::Record),
    })
}
