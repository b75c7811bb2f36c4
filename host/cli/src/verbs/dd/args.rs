//! `dd`: its command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::flags::Id;
use crate::release::{self, Fact};
use crate::stop::{Step, Stop};
use crate::value::driver::Driver;
use crate::value::number;
use crate::verbs::shared::{Line, SourceArgs, creatable_or};

/// Largest block: reference tool.
const LARGEST_BLOCK: u64 = (1 << 31) - 1;
/// Largest count and skip: reference tool.
const LARGEST_COUNT: u64 = (1 << 63) - 1;

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    /// `if=`.
    pub(super) input: OsString,
    /// `of=`.
    pub(super) output: OsString,
    /// How to read the input.
    pub(super) source: SourceArgs,
    /// `-O`, not looked at yet.
    pub(super) output_format: OsString,
    /// `bs=`, bytes.
    pub(super) block_size: u64,
    /// `count=`, blocks.
    pub(super) count: Option<u64>,
    /// `skip=`, blocks.
    pub(super) skip: u64,
}

/// Operands so far; the last one of a name wins.
#[derive(Default)]
struct Operands {
    input: Option<OsString>,
    output: Option<OsString>,
    block_size: Option<u64>,
    count: Option<u64>,
    skip: Option<u64>,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut source = SourceArgs::default();
    let mut output_format = OsString::from("raw");
    let words = line.read(|id, value| {
        match id {
            Id::OutputFormat => output_format = value,
            _ => source.take(id, value),
        }
        Ok(())
    })?;
    let mut operands = Operands::default();
    for word in &words {
        operands.set(word.as_bytes())?;
    }
    let (Some(input), Some(output)) = (operands.input, operands.output) else {
        return Err(Stop::say("Must specify both input and output files"));
    };
    Ok(Args {
        input,
        output,
        source,
        output_format,
        block_size: operands.block_size.unwrap_or(512),
        count: operands.count,
        skip: operands.skip.unwrap_or(0),
    })
}

impl Operands {
    /// Splits a word at its first `=`.
    fn set(&mut self, word: &[u8]) -> Step<()> {
        let equals = word.iter().position(|byte| *byte == b'=');
        let (name, value) = match equals {
            Some(at) => (
                word.get(..at).unwrap_or_default(),
                word.get(at + 1..).unwrap_or_default(),
            ),
            None => return Err(unrecognized(word)),
        };
        let file = || Some(OsStr::from_bytes(value).to_owned());
        match name {
            b"if" => self.input = file(),
            b"of" => self.output = file(),
            b"bs" => {
                self.block_size = Some(number::size_within("bs", value, 1, LARGEST_BLOCK)?);
            }
            b"count" => self.count = Some(blocks("count", value)?),
            b"skip" => self.skip = Some(blocks("skip", value)?),
            other => return Err(unrecognized(other)),
        }
        Ok(())
    }
}

impl Args {
    /// What the output is to be.
    ///
    /// # Errors
    /// The message.
    pub(super) fn target_driver(&self) -> Step<Driver> {
        creatable_or(&self.output_format, || b"Unknown file format".to_vec())
    }
}

fn blocks(name: &str, value: &[u8]) -> Step<u64> {
    if release::has(Fact::PlainBlockCounts) {
        number::integer_within(name, value, 0, LARGEST_COUNT)
    } else {
        number::size_within(name, value, 0, LARGEST_COUNT)
    }
}

fn unrecognized(word: &[u8]) -> Stop {
    Stop::Message([b"unrecognized operand ", word].concat())
}
