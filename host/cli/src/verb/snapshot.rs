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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
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
    let mut operands = Vec::new();
    while let Some(item) = line.item()? {
        let action = match item {
            Item::Flag(Id::List, _) => Action::List,
            Item::Flag(Id::CreateSnapshot, name) => Action::Create(name),
            Item::Flag(Id::ApplySnapshot, name) => Action::Apply(name),
            Item::Flag(Id::DeleteSnapshot, name) => Action::Delete(name),
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
