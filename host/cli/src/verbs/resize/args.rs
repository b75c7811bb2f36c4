//! `resize`: its command line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::{NewSize, Preallocation};

use crate::flags::{Id, Item};
use crate::release::{self, Fact};
use crate::stop::{Step, Stop};
use crate::value::number;
use crate::verbs::shared::{Line, SourceArgs};

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// How to read it.
    pub(super) source: SourceArgs,
    /// The size it shall have.
    pub(super) size: NewSize,
    /// How space is reserved.
    pub(super) preallocation: Preallocation,
    /// It may become smaller.
    pub(super) shrink: bool,
    /// Success is not told.
    pub(super) quiet: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let mut preallocation = Preallocation::Off;
    let (mut shrink, mut quiet) = (false, false);
    let mut size = None;
    let next_to_image = release::has(Fact::SizeFollowsImage);
    if !next_to_image {
        // So that a size with a sign is not taken for an option.
        size = Some(line.last_of_two().ok_or_else(|| misuse("Not enough arguments"))?);
    }
    let mut image = None;
    while let Some(item) = line.item()? {
        match item {
            Item::Flag(Id::Shrink, _) => shrink = true,
            Item::Flag(Id::Quiet, _) => quiet = true,
            Item::Flag(Id::Preallocation, mode) => preallocation = self::preallocation(&mode)?,
            Item::Flag(id, value) => source.take(id, value),
            Item::Operand(word) if image.is_none() => {
                image = Some(word);
                if next_to_image {
                    size = line.next_if(is_signed);
                }
            }
            Item::Operand(word) if size.is_none() => size = Some(word),
            Item::Operand(_) if next_to_image => return Err(misuse("Extra argument(s) in command line")),
            Item::Operand(_) => return Err(misuse(INCOMPLETE)),
        }
    }
    let (Some(image), Some(size)) = (image, size) else {
        return Err(misuse(INCOMPLETE));
    };
    Ok(Args {
        image,
        source,
        size: new_size(size.as_bytes())?,
        preallocation,
        shrink,
        quiet,
    })
}

const INCOMPLETE: &str = "Expecting image file name and size";

fn misuse(text: &str) -> Stop {
    Stop::Misuse(text.into())
}

/// What would be taken for options, and is a size.
fn is_signed(word: &[u8]) -> bool {
    matches!(word, [b'-', b'0'..=b'9', ..])
}

fn preallocation(word: &OsString) -> Step<Preallocation> {
    let modes = [
        Preallocation::Off,
        Preallocation::Metadata,
        Preallocation::Falloc,
        Preallocation::Full,
    ];
    modes
        .into_iter()
        .find(|mode| mode.name().as_bytes() == word.as_bytes())
        .ok_or_else(|| Stop::Message([b"Invalid preallocation mode '", word.as_bytes(), b"'"].concat()))
}

/// A size, or by how much there is to be more or less.
fn new_size(word: &[u8]) -> Step<NewSize> {
    let (make, word): (fn(u64) -> NewSize, _) = match word {
        [b'+', rest @ ..] => (NewSize::Larger, rest),
        [b'-', rest @ ..] => (NewSize::Smaller, rest),
        _ => (NewSize::Exactly, word),
    };
    number::size(word)
        .map(make)
        .map_err(|bad| Stop::Message(number::bad_parameter("size", word, bad)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_may_have_a_sign() {
        assert_eq!(new_size(b"1M"), Ok(NewSize::Exactly(1 << 20)));
        assert_eq!(new_size(b"+1k"), Ok(NewSize::Larger(1024)));
        assert_eq!(new_size(b"-0"), Ok(NewSize::Smaller(0)));
        assert_eq!(new_size(b"+ 1"), Ok(NewSize::Larger(1)));
        let refused = |word: &[u8]| match new_size(word) {
            Err(Stop::Message(text)) => String::from_utf8(text).unwrap(),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(b"+-1"), "Value '-1' is out of range for parameter 'size'");
        assert!(refused(b"1.5").starts_with("Parameter 'size' expects a non-negative number below 2^64\n"));
    }
}
