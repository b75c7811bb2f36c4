//! `convert`: its command line, and what its options forbid each other.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use instar_abi::job::{Algorithm, CopiedRange, CopyBitmaps, SnapshotName};

use super::preset::Preset;
use super::range;
use crate::flags::Id;
use crate::release::{self, Fact};
use crate::run::output;
use crate::stop::{Step, Stop, forbid};
use crate::value::cache::CacheMode;
use crate::value::driver::{self, Driver};
use crate::value::progress::ShowProgress;
use crate::value::{list, number, place};
use crate::verbs::shared::{Line, SourceArgs, creatable, digest, ground, join_options, snapshot};

/// Largest `-S`: reference tool.
const LARGEST_SPARSE: u64 = 16 << 20;
/// `-S` when it is not given: reference tool.
const DEFAULT_SPARSE: u64 = 4096;
/// Largest number of any size option: reference tool.
const LARGEST: u64 = (1 << 63) - 1;

/// What was typed.
#[derive(Debug, Default)]
pub(super) struct Args {
    /// In the order given.
    pub(super) sources: Vec<OsString>,
    pub(super) target: OsString,
    /// How to read the sources.
    pub(super) source: SourceArgs,
    /// `-T`.
    pub(super) source_cache: Option<OsString>,
    /// `-l`.
    pub(super) snapshot: Option<SnapshotName>,
    /// `--for`; its format and options are joined with those below.
    pub(super) preset: Option<&'static Preset>,
    /// `-O`, not looked at yet.
    pub(super) output_format: Option<OsString>,
    /// `-o`, joined.
    pub(super) options: Option<Vec<u8>>,
    /// `--target-image-opts`.
    pub(super) target_image_opts: bool,
    /// `-t`.
    pub(super) target_cache: Option<OsString>,
    /// `-B`.
    pub(super) backing: Option<OsString>,
    /// `-F`.
    pub(super) backing_format: Option<OsString>,
    /// `-n`.
    pub(super) no_create: bool,
    /// `--target-is-zero`.
    pub(super) target_is_zero: bool,
    /// `--replace`.
    pub(super) replace: bool,
    /// `--range`, put where `--range-at` says.
    pub(super) range: Option<CopiedRange>,
    /// `--range-at`.
    pub(super) range_at: Option<u64>,
    /// `-S`.
    pub(super) sparse: Option<u64>,
    /// `-c`.
    pub(super) compress: bool,
    /// `-p`.
    pub(super) progress: ShowProgress,
    /// `-q`.
    pub(super) quiet: bool,
    /// `-m`.
    pub(super) parallel: Option<u64>,
    /// `-r`, bytes a second.
    pub(super) rate: u64,
    /// `-C`.
    pub(super) copy_range: bool,
    /// `--salvage`.
    pub(super) salvage: bool,
    /// `--checksum`.
    pub(super) checksum: Option<Algorithm>,
    /// `--bitmaps`.
    pub(super) bitmaps: bool,
    /// `--skip-broken-bitmaps`.
    pub(super) skip_broken_bitmaps: bool,
}

pub(super) fn parse(mut line: Line<'_>) -> Step<Args> {
    let mut args = Args::default();
    let mut operands = line.read(|id, value| args.set(id, value))?;
    args.check()?;
    args.prepare()?;
    args.place_range()?;
    let target = (operands.len() > 1).then(|| operands.pop()).flatten();
    if args.options.as_deref().is_some_and(list::asks_for_help) {
        return Err(args.option_help(target.as_deref())?);
    }
    args.target = target.ok_or_else(|| Stop::say("Must specify image file name"))?;
    args.sources = operands;
    if output::is_named(&args.target) {
        args.check_output()?;
    }
    args.check_partition()?;
    Ok(args)
}

impl Args {
    fn set(&mut self, id: Id, value: OsString) -> Step<()> {
        match id {
            Id::SourceCache => self.source_cache = Some(value),
            Id::Snapshot => self.snapshot = Some(snapshot(value.as_bytes())?),
            Id::Preset => self.preset = Some(Preset::named(value.as_bytes())?),
            Id::OutputFormat => self.output_format = Some(value),
            Id::Options => join_options(&mut self.options, value.as_bytes())?,
            Id::TargetImageOpts => self.target_image_opts = true,
            Id::TargetCache => self.target_cache = Some(value),
            Id::Backing => self.backing = Some(value),
            Id::BackingFormat => self.backing_format = Some(value),
            Id::NoCreate => self.no_create = true,
            Id::TargetIsZero => self.target_is_zero = true,
            Id::Replace => self.replace = true,
            Id::Range => self.range = Some(range::parse(value.as_bytes())?),
            Id::RangeAt => self.range_at = Some(range::place(value.as_bytes())?),
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
            Id::Checksum => self.checksum = Some(digest::algorithm(value.as_bytes())?),
            Id::Bitmaps => self.bitmaps = true,
            Id::SkipBrokenBitmaps => self.skip_broken_bitmaps = true,
            _ => self.source.take(id, value),
        }
        Ok(())
    }

    /// What options forbid each other, in the reference tool's order.
    fn check(&self) -> Step<()> {
        forbid([
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
            (
                self.replace && self.no_create,
                "--replace has no effect when skipping image creation",
            ),
        ])
    }

    /// What cannot be done where the new image leaves by standard output.
    fn check_output(&self) -> Step<()> {
        forbid([
            (
                self.no_create,
                "-n requires a TARGET that exists; standard output ('-') is always new",
            ),
            (
                self.checksum.is_some(),
                "--checksum prints to standard output, which TARGET ('-') takes; run 'instar checksum' on the source",
            ),
            (
                self.progress == ShowProgress::Yes && !self.quiet,
                "-p prints to standard output, which TARGET ('-') takes; use --progress=json, which prints to standard error",
            ),
        ])
    }

    /// What `--range` and `--range-at` come to, and what cannot be done with a range.
    fn place_range(&mut self) -> Step<()> {
        let Some(range) = &mut self.range else {
            return match self.range_at {
                Some(_) => Err(Stop::say("--range-at requires --range")),
                None => Ok(()),
            };
        };
        range.target = self.range_at.unwrap_or(range.offset);
        forbid([
            (!self.no_create, "--range requires use of -n flag"),
            (self.backing.is_some(), "--range cannot be used with -B"),
            (self.compress, "--range cannot be used with -c"),
            (self.bitmaps, "--range cannot be used with --bitmaps"),
            (self.checksum.is_some(), "--range cannot be used with --checksum"),
        ])
    }

    /// Takes in what `--for` says of the target.
    fn prepare(&mut self) -> Step<()> {
        let Some(preset) = self.preset else {
            return Ok(());
        };
        forbid([
            (
                self.no_create,
                "--for makes a new image and cannot be used with -n",
            ),
            (
                self.backing.is_some(),
                "--for makes an image without layers and cannot be used with -B",
            ),
        ])?;
        preset.join(&mut self.output_format, &mut self.options)
    }

    /// What cannot be done with `--partition`.
    fn check_partition(&self) -> Step<()> {
        let chosen = self.source.partition.is_some();
        forbid([
            (
                chosen && self.sources.len() > 1,
                "--partition cannot be used with several sources",
            ),
            (
                chosen && self.backing.is_some(),
                "--partition cannot be used with -B",
            ),
            (
                chosen && self.bitmaps,
                "--partition cannot be used with --bitmaps, which tell of the whole disk",
            ),
        ])
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
    pub(super) fn target_driver(&self) -> Step<Driver> {
        let name = self.output_format.as_deref().unwrap_or(OsStr::new("raw"));
        if self.no_create {
            return driver::known(name.as_bytes())
                .map_err(|why| Stop::Message(place::cannot_open(&self.target, &why)));
        }
        creatable(name)
    }

    /// `--bitmaps` and `--skip-broken-bitmaps`.
    pub(super) fn bitmaps(&self) -> CopyBitmaps {
        match (self.bitmaps, self.skip_broken_bitmaps) {
            (false, _) => CopyBitmaps::No,
            (true, false) => CopyBitmaps::All,
            (true, true) => CopyBitmaps::Clean,
        }
    }

    /// `-S` or its default.
    pub(super) fn sparse_size(&self) -> u64 {
        self.sparse.unwrap_or(DEFAULT_SPARSE)
    }

    /// `-T`.
    ///
    /// # Errors
    /// The message.
    pub(super) fn source_mode(&self) -> Step<CacheMode> {
        CacheMode::of_source(self.source_cache.as_deref())
    }

    /// `-t`.
    ///
    /// # Errors
    /// The message.
    pub(super) fn target_mode(&self) -> Step<CacheMode> {
        match &self.target_cache {
            None => Ok(CacheMode::Unsafe),
            Some(name) => CacheMode::parse(name)
                .ok_or_else(|| Stop::Message([b"Invalid cache option: ", name.as_bytes()].concat())),
        }
    }
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
