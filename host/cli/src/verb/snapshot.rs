//! `snapshot`: its command line.

use std::ffi::OsString;

use super::Line;
use super::shared::SourceArgs;
use crate::flags::{Id, Item};
use crate::stop::{Step, Stop};

/// What was typed.
#[derive(Debug)]
pub struct Args {
    /// The image.
    pub image: OsString,
    /// How to read it.
    pub source: SourceArgs,
    /// What to do.
    pub action: Action,
}

/// What is done with snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// `-l`, and nothing.
    List,
    /// `-c`.
    Create,
    /// `-a`.
    Apply,
    /// `-d`.
    Delete,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let mut chosen = None;
    let mut operands = Vec::new();
    while let Some(item) = line.item()? {
        let action = match item {
            Item::Flag(Id::List, _) => Action::List,
            Item::Flag(Id::CreateSnapshot, _) => Action::Create,
            Item::Flag(Id::ApplySnapshot, _) => Action::Apply,
            Item::Flag(Id::DeleteSnapshot, _) => Action::Delete,
            Item::Flag(Id::Format, value) => {
                source.format = Some(value);
                continue;
            }
            Item::Flag(Id::ImageOpts, _) => {
                source.image_opts = true;
                continue;
            }
            Item::Flag(Id::ForceShare, _) => {
                source.share = true;
                continue;
            }
            Item::Flag(..) => continue,
            Item::Operand(word) => {
                operands.push(word);
                continue;
            }
        };
        if chosen.replace(action).is_some() {
            return Err(Stop::Misuse(b"Cannot mix '-l', '-a', '-c', '-d'".to_vec()));
        }
    }
    let [image] = <[OsString; 1]>::try_from(operands)
        .map_err(|_| Stop::Misuse(b"Expecting one image file name".to_vec()))?;
    Ok(Args {
        image,
        source,
        action: chosen.unwrap_or(Action::List),
    })
}
