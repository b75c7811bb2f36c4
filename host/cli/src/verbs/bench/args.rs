//! `bench`: its command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::flags::Id;
use crate::release::{self, Fact};
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::value::number;
use crate::verbs::shared::{Line, SourceArgs, only_image};

/// Largest count, depth, size and interval: reference tool.
const LARGEST: u64 = (1 << 31) - 1;
/// Largest offset: reference tool.
const LARGEST_OFFSET: u64 = (1 << 63) - 1;

/// What was typed.
#[derive(Debug)]
pub(super) struct Args {
    pub(super) image: OsString,
    /// How to read it.
    pub(super) source: SourceArgs,
    /// `-t`.
    pub(super) mode: CacheMode,
    /// `-n`, or `-i native`.
    pub(super) native: bool,
    /// `-c`.
    pub(super) count: u64,
    /// `-d`.
    pub(super) depth: u64,
    /// `-s`, bytes.
    pub(super) size: u64,
    /// `-S`, bytes; 0: as `size`.
    step: u64,
    /// `-o`, bytes.
    pub(super) offset: u64,
    /// `-w`.
    pub(super) write: bool,
    /// `--pattern`.
    pub(super) pattern: u8,
    /// `--flush-interval`, requests; 0: none.
    pub(super) flush_interval: u64,
    /// Not `--no-drain`.
    pub(super) drain: bool,
}

impl Default for Args {
    fn default() -> Self {
        Self {
            image: OsString::new(),
            source: SourceArgs::default(),
            mode: CacheMode::Writeback,
            native: false,
            count: 75_000,
            depth: 64,
            size: 4096,
            step: 0,
            offset: 0,
            write: false,
            pattern: 0,
            flush_interval: 0,
            drain: true,
        }
    }
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut args = Args::default();
    let operands = line.read(|id, value| args.set(id, value))?;
    args.image = only_image(operands)?;
    if args.flush_interval > 0 && !args.write {
        return Err(Stop::say("--flush-interval is only available in write tests"));
    }
    if args.flush_interval > 0 && args.flush_interval < args.depth {
        return Err(Stop::say("Flush interval can't be smaller than depth"));
    }
    Ok(args)
}

impl Args {
    fn set(&mut self, id: Id, value: OsString) -> Step<()> {
        let word = value.as_bytes();
        match id {
            Id::RequestCount => self.count = integer("request count", word, 1, LARGEST)?,
            Id::Depth => self.depth = integer("queue depth", word, 1, LARGEST)?,
            Id::BufferSize => self.size = number::size_within("buffer size", word, 1, LARGEST)?,
            Id::StepSize => {
                let name = if release::has(Fact::BenchNumbersAreLikeOthers) {
                    "step size"
                } else {
                    "step_size"
                };
                self.step = number::size_within(name, word, 0, LARGEST)?;
            }
            Id::StartOffset => self.offset = number::size_within("offset", word, 0, LARGEST_OFFSET)?,
            Id::Pattern => {
                let byte = integer("pattern byte", word, 0, u8::MAX.into())?;
                self.pattern = u8::try_from(byte).unwrap_or(u8::MAX);
            }
            Id::FlushInterval => self.flush_interval = integer("flush interval", word, 0, LARGEST)?,
            Id::NoDrain => self.drain = false,
            Id::Write => self.write = true,
            Id::TargetCache => {
                self.mode = CacheMode::parse(&value).ok_or_else(|| Stop::say("Invalid cache mode"))?;
            }
            Id::Aio => self.native |= is_native(&value)?,
            Id::Native => self.native = true,
            _ => self.source.take(id, value),
        }
        Ok(())
    }

    /// Bytes from the start of a request to that of the next.
    pub(super) const fn step(&self) -> u64 {
        if self.step == 0 { self.size } else { self.step }
    }
}

fn integer(what: &str, word: &[u8], low: u64, high: u64) -> Step<u64> {
    let number = number::integer_within(what, word, low, high);
    if release::has(Fact::BenchNumbersAreLikeOthers) {
        return number;
    }
    number.map_err(|_| Stop::say(format!("Invalid {what} specified")))
}

/// The reference tool's ways to wait for a disk. Requests come from several lanes here, and wait in ordinary system calls.
fn is_native(name: &OsStr) -> Step<bool> {
    match name.as_bytes() {
        b"threads" | b"io_uring" => Ok(false),
        b"native" => Ok(true),
        other => Err(Stop::Message([b"Invalid aio option: ", other].concat())),
    }
}
