//! `snapshot`: its command line.

use std::ffi::OsString;

use crate::flags::Id;
use crate::stop::{Step, Stop};
use crate::verbs::shared::{Line, SourceArgs, only_image};

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// How to read it.
    pub(super) source: SourceArgs,
    /// What to do.
    pub(super) action: Action,
}

/// What is done with snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// `-l`, and nothing.
    List,
    /// `-c`, and the new name.
    Create(OsString),
    /// `-a`, and an ID or a name.
    Apply(OsString),
    /// `-d`, and a name.
    Delete(OsString),
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let mut chosen = None;
    let operands = line.read(|id, value| {
        let action = match id {
            Id::List => Action::List,
            Id::CreateSnapshot => Action::Create(value),
            Id::ApplySnapshot => Action::Apply(value),
            Id::DeleteSnapshot => Action::Delete(value),
            _ => {
                source.take(id, value);
                return Ok(());
            }
        };
        match chosen.replace(action) {
            Some(_) => Err(Stop::Misuse(b"Cannot mix '-l', '-a', '-c', '-d'".to_vec())),
            None => Ok(()),
        }
    })?;
    let image = only_image(operands)?;
    Ok(Args {
        image,
        source,
        action: chosen.unwrap_or(Action::List),
    })
}
