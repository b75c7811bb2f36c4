//! `convert`: its command line, and what its options forbid each other.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;

use instar_abi::job::{Algorithm, CopyBitmaps, SnapshotName};

use super::shared::{CacheMode, ShowProgress, SourceArgs, join_options, snapshot};
use super::{Line, checksum};
use crate::create::Ground;
use crate::flags::{Id, Item};
use crate::release::{self, Fact};
use crate::stop::{Step, Stop};
use crate::value::driver::{self, Driver};
use crate::value::protocol::Protocol;
use crate::value::{list, number, place};

/// Largest `-S`: reference tool.
const LARGEST_SPARSE: u64 = 16 << 20;
/// `-S` when it is not given: reference tool.
const DEFAULT_SPARSE: u64 = 4096;
/// Largest number of any size option: reference tool.
const LARGEST: u64 = (1 << 63) - 1;

/// What was typed.
#[derive(Debug, Default)]
pub struct Args {
    /// In the order given.
    pub sources: Vec<OsString>,
    /// Where to.
    pub target: OsString,
    /// How to read the sources.
    pub source: SourceArgs,
    /// `-T`.
    pub source_cache: Option<OsString>,
    /// `-l`.
    pub snapshot: Option<SnapshotName>,
    /// `-O`, not looked at yet.
    pub output_format: Option<OsString>,
    /// `-o`, joined.
    pub options: Option<Vec<u8>>,
    /// `--target-image-opts`.
    pub target_image_opts: bool,
    /// `-t`.
    pub target_cache: Option<OsString>,
    /// `-B`.
    pub backing: Option<OsString>,
    /// `-F`.
    pub backing_format: Option<OsString>,
    /// `-n`.
    pub no_create: bool,
    /// `--target-is-zero`.
    pub target_is_zero: bool,
    /// `-S`.
    pub sparse: Option<u64>,
    /// `-c`.
    pub compress: bool,
    /// `-p`.
    pub progress: ShowProgress,
    /// `-q`.
    pub quiet: bool,
    /// `-m`.
    pub parallel: Option<u64>,
    /// `-r`, bytes a second.
    pub rate: u64,
    /// `-C`.
    pub copy_range: bool,
    /// `--salvage`.
    pub salvage: bool,
    /// `--checksum`.
    pub checksum: Option<Algorithm>,
    /// `--bitmaps`.
    pub bitmaps: bool,
    /// `--skip-broken-bitmaps`.
    pub skip_broken_bitmaps: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut args = Args::default();
    let mut operands = Vec::new();
    while let Some(item) = line.item()? {
        match item {
            Item::Flag(id, value) => args.set(id, value)?,
            Item::Operand(word) => operands.push(word),
        }
    }
    args.check()?;
    let target = (operands.len() > 1).then(|| operands.pop()).flatten();
    if args.options.as_deref().is_some_and(list::asks_for_help) {
        return Err(args.option_help(target.as_deref())?);
    }
    args.target = target.ok_or_else(|| Stop::say("Must specify image file name"))?;
    args.sources = operands;
    Ok(args)
}

impl Args {
    fn set(&mut self, id: Id, value: OsString) -> Step<()> {
        match id {
            Id::Format => self.source.format = Some(value),
            Id::ImageOpts => self.source.image_opts = true,
            Id::ForceShare => self.source.share = true,
            Id::SourceCache => self.source_cache = Some(value),
            Id::Snapshot => self.snapshot = Some(snapshot(value.as_bytes())?),
            Id::OutputFormat => self.output_format = Some(value),
            Id::Options => join_options(&mut self.options, value.as_bytes())?,
            Id::TargetImageOpts => self.target_image_opts = true,
            Id::TargetCache => self.target_cache = Some(value),
            Id::Backing => self.backing = Some(value),
            Id::BackingFormat => self.backing_format = Some(value),
            Id::NoCreate => self.no_create = true,
            Id::TargetIsZero => self.target_is_zero = true,
            Id::SparseSize => self.sparse = Some(sparse(value.as_bytes())?),
            Id::Compress => self.compress = true,
            Id::Progress => self.progress = ShowProgress::parse(value.as_bytes())?,
            Id::Quiet => self.quiet = true,
            Id::Parallel => {
                let lanes = number::integer_within("number of coroutines", value.as_bytes(), 1, 16);
                let lanes = if release::has(Fact::LanesAreANumberLikeOthers) {
                    lanes
                } else {
                    lanes.map_err(|_| {
                        let range = "Allowed number of coroutines is between 1 and 16";
                        Stop::say(format!("Invalid number of coroutines. {range}"))
                    })
                };
                self.parallel = Some(lanes?);
            }
            Id::Rate => {
                self.rate = number::size_within("rate limit", value.as_bytes(), 0, LARGEST)?;
            }
            Id::CopyRange => self.copy_range = true,
            Id::Salvage => self.salvage = true,
            Id::Checksum if value.is_empty() => self.checksum = Some(Algorithm::Blake3),
            Id::Checksum => self.checksum = Some(checksum::algorithm(value.as_bytes())?),
            Id::Bitmaps => self.bitmaps = true,
            Id::SkipBrokenBitmaps => self.skip_broken_bitmaps = true,
            _ => {}
        }
        Ok(())
    }

    /// What options forbid each other, in the reference tool's order.
    fn check(&self) -> Step<()> {
        let rules = [
            (
                self.skip_broken_bitmaps && !self.bitmaps,
                "Use of --skip-broken-bitmaps requires --bitmaps",
            ),
            (
                self.compress && self.copy_range,
                "Cannot enable copy offloading when -c is used",
            ),
            (
                self.sparse.is_some() && self.copy_range,
                "Cannot enable copy offloading when -S is used",
            ),
            (
                self.salvage && self.copy_range,
                "Cannot use copy offloading in salvaging mode",
            ),
            (
                self.target_image_opts && !self.no_create,
                "--target-image-opts requires use of -n flag",
            ),
            (
                self.no_create && self.options.is_some(),
                "-o has no effect when skipping image creation",
            ),
            (
                self.target_is_zero && !self.no_create,
                "--target-is-zero requires use of -n flag",
            ),
        ];
        match rules.into_iter().find(|(broken, _)| *broken) {
            Some((_, message)) => Err(Stop::say(message)),
            None => Ok(()),
        }
    }

    /// Prints what `-o` takes.
    fn option_help(&self, target: Option<&OsStr>) -> Step<Stop> {
        let driver = self.target_driver()?;
        let ground = ground(driver, target);
        Ok(Stop::Print(crate::create::help(driver, ground).into_bytes()))
    }

    /// What the target is to be.
    ///
    /// # Errors
    /// The message.
    pub fn target_driver(&self) -> Step<Driver> {
        let name = self.output_format.as_deref().unwrap_or(OsStr::new("raw"));
        if self.no_create {
            return driver::known(name.as_bytes())
                .map_err(|why| Stop::Message(place::cannot_open(&self.target, &why)));
        }
        creatable(name, || {
            [b"Unknown file format '", name.as_bytes(), b"'"].concat()
        })
    }

    /// `--bitmaps` and `--skip-broken-bitmaps`.
    #[must_use]
    pub fn bitmaps(&self) -> CopyBitmaps {
        match (self.bitmaps, self.skip_broken_bitmaps) {
            (false, _) => CopyBitmaps::No,
            (true, false) => CopyBitmaps::All,
            (true, true) => CopyBitmaps::Clean,
        }
    }

    /// `-S` or its default.
    #[must_use]
    pub fn sparse_size(&self) -> u64 {
        self.sparse.unwrap_or(DEFAULT_SPARSE)
    }

    /// `-T`.
    ///
    /// # Errors
    /// The message.
    pub fn source_mode(&self) -> Step<CacheMode> {
        match &self.source_cache {
            None => Ok(CacheMode::Writeback),
            Some(name) => CacheMode::parse(name)
                .ok_or_else(|| Stop::Message([b"Invalid source cache option: ", name.as_bytes()].concat())),
        }
    }

    /// `-t`.
    ///
    /// # Errors
    /// The message.
    pub fn target_mode(&self) -> Step<CacheMode> {
        match &self.target_cache {
            None => Ok(CacheMode::Unsafe),
            Some(name) => CacheMode::parse(name)
                .ok_or_else(|| Stop::Message([b"Invalid cache option: ", name.as_bytes()].concat())),
        }
    }
}

/// What lies below a new image of that name.
pub(crate) fn ground(driver: Driver, target: Option<&OsStr>) -> Ground {
    let Some(target) = target else {
        return Ground::Unknown;
    };
    let device = match (driver.protocol(), Protocol::of(None, target)) {
        (Protocol::Device, _) | (Protocol::Either, Protocol::Device) => true,
        (Protocol::File, _) | (Protocol::Either, Protocol::File) => false,
        (Protocol::Either, Protocol::Either) => std::fs::metadata(target)
            .is_ok_and(|found| found.file_type().is_block_device() || found.file_type().is_char_device()),
    };
    if device { Ground::Device } else { Ground::File }
}

/// What can be made under that name.
pub(crate) fn creatable(name: &OsStr, unknown: impl Fn() -> Vec<u8>) -> Step<Driver> {
    let name = name.as_bytes();
    if let Some(driver) = Driver::from_name(name) {
        return Ok(driver);
    }
    if driver::is_never_written(name) {
        let text = [
            b"Format driver '".as_slice(),
            name,
            b"' does not support image creation",
        ];
        return Err(Stop::Message(text.concat()));
    }
    let words = driver::unknown_driver(name);
    Err(Stop::Message(if words.starts_with(b"Unknown") {
        unknown()
    } else {
        words
    }))
}

fn sparse(word: &[u8]) -> Step<u64> {
    let what = "buffer size for sparse output";
    let bytes = number::size_within(what, word, 0, LARGEST)?;
    if !bytes.is_multiple_of(512) || bytes > LARGEST_SPARSE {
        return Err(Stop::say(format!(
            "Invalid {what} specified. Valid sizes are multiples of 512 up to {LARGEST_SPARSE}. Select 0 to disable sparse detection (fully allocates output)."
        )));
    }
    Ok(bytes)
}
