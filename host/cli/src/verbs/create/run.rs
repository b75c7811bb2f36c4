//! `create`, carried out.
//!
//! ```text
//!  -o, SIZE ──► backing file opened ──► new files opened ──► guest: looks at the backing file, lays out the image ──► names
//!                                                             └── its size ──► "Formatting …"
//! ```

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::job::{CreateImage, Source, Target, Verb};
use instar_abi::report::{Failure, Stage};
use instar_abi::{Format, Report, fault};
use instar_engine::Files;

use super::args::Args;
use crate::create::{Settings, formatting};
use crate::run::files::{self, Names};
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::target::{self, NewTarget};
use crate::run::{Context, concluded_by, size};
use crate::show::beside;
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::value::driver::known_in_files;
use crate::value::place::{self, Place, Reading};
use crate::verbs::shared::{creatable, ground};
use crate::words::{self, Scene};
use instar_run::{Cause, Guest};

/// What follows every failure to open a backing file.
const NO_BACKING: &[u8] = b"\nCould not open backing image.";

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let named = |stop| under(&args.image, stop);
    let (path, settings) = settings(args).map_err(named)?;
    let guest = Guest::prepare_guarded(context.policy, 1)?;
    let files = files::none(context.policy, true)?;
    let mut names = Names::new();
    let size = settings.size("size");
    let checked = settings.text("backing_file").is_some() && !args.unchecked;
    let mut line = (!args.quiet).then(|| settings.clone());
    if !checked {
        let size = size.ok_or_else(|| named(Stop::say("Image creation needs a size parameter")))?;
        say(args, context, line.take(), size);
    }
    let backing = Backing::open(args, path, &settings, &files, &mut names).map_err(named)?;
    let target = open_target(
        args,
        path,
        &settings,
        &files,
        &mut names,
        context,
        backing.as_ref(),
    );
    let mut given = Vec::new();
    let (target, failed) = match target {
        Ok(target) => {
            given = target::remember(&files, target.slot, path, &settings);
            (Some(target), None)
        }
        Err(stop) => (None, Some(stop)),
    };
    // The backing file is looked at before it is said that anything else is wrong.
    if let (Some(stop), false) = (&failed, checked) {
        return Err(stop.clone());
    }
    let slot = target.as_ref().map(|target| target.slot);
    let verb = Verb::Create(CreateImage {
        target,
        backing: backing.as_ref().map(|backing| backing.source.clone()),
        size,
    });
    let job = context.job(verb, files.facts());
    let ended = guest.run(&job, files, Arc::new(Progress::none()))?;
    let found = ended.reports.iter().find_map(|report| match report {
        Report::Size(size) => Some(*size),
        _ => None,
    });
    if let Some(size) = found {
        say(args, context, line.take(), size);
    }
    let scene = RunScene::of(&names, ended.files(), args.image.as_bytes());
    concluded_by(&ended.reports, &scene, context.program, |failure| {
        named(Stop::Message(reason(failure, &scene, &settings, checked)))
    })?;
    match failed {
        Some(stop) => return Err(stop),
        None => ended.files().commit(false)?,
    }
    if let Some(slot) = slot {
        target::warn_unless_readable(ended.files(), slot, &given, context);
    }
    Ok(0)
}

/// The name of the image and its options, and what is wrong with them before anything is opened.
fn settings(args: &Args) -> Step<(&OsStr, Settings)> {
    let driver = creatable(args.format())?;
    let path = target::path_of(&args.image)?;
    let ground = ground(driver, Some(&args.image));
    let mut settings = Settings::parse_on(driver, ground, args.options.as_deref()).map_err(Stop::Message)?;
    match (settings.size("size"), args.size) {
        (Some(_), Some(_)) => return Err(Stop::say("The image size must be specified only once")),
        (None, Some(size)) => settings.set_size(size),
        (_, None) => {}
    }
    settings
        .set_backing(args.backing.as_deref(), args.backing_format.as_deref())
        .map_err(Stop::Message)?;
    let Some(backing) = settings.text("backing_file") else {
        return Ok((path, settings));
    };
    if backing.is_empty() {
        return Err(Stop::say("Expected backing file name, got empty string"));
    }
    if backing == args.image.as_bytes() {
        return Err(Stop::say(
            "Error: Trying to create an image with the same filename as the backing file",
        ));
    }
    if args.unchecked && settings.text("backing_fmt").is_none() {
        return Err(Stop::say("Backing file specified without backing format"));
    }
    Ok((path, settings))
}

/// The layer below, opened.
struct Backing {
    source: Source,
    place: Place,
}

impl Backing {
    fn open(
        args: &Args,
        target: &OsStr,
        settings: &Settings,
        opened: &Files,
        names: &mut Names,
    ) -> Step<Option<Self>> {
        let Some(name) = settings.text("backing_file") else {
            return Ok(None);
        };
        let format = settings.text("backing_fmt");
        // A VMDK remembers what its parent held when it was made.
        let remembers = settings.format() == Format::Vmdk && format == Some(b"vmdk");
        if args.unchecked && !remembers {
            return Ok(None);
        }
        let hint = if args.unchecked { &b""[..] } else { NO_BACKING };
        let within = |why: Vec<u8>| Stop::Message([why.as_slice(), hint].concat());
        let place = locate(name, format, target).map_err(within)?;
        let facts = opened
            .shared_source(place.path.as_ref())
            .map_err(|error| within(words::run::open(&error)).because(Cause::of_open(&error)))?;
        if let (None, Some(format)) = (format, place.format) {
            return Err(Stop::say(format!(
                "Backing file specified without backing format\nDetected format of {}.",
                format.name()
            )));
        }
        names.set(facts.slot, place.path.as_bytes());
        Ok(Some(Self {
            source: place.image().described(opened, facts, None)?,
            place,
        }))
    }
}

/// The file that the name of a layer below means, seen from the image above it.
fn locate(name: &[u8], format: Option<&[u8]>, target: &OsStr) -> Result<Place, Vec<u8>> {
    let given = OsStr::from_bytes(name);
    if name.starts_with(b"json:") {
        let reading = Reading {
            format: format.map(OsStr::from_bytes),
            ..Reading::default()
        };
        return Place::parse(given, reading).and_then(Place::plainly);
    }
    let format = match format {
        None => None,
        Some(name) => Some(known_in_files(name)?.format()),
    };
    let plain = place::plain_path(name)?;
    Ok(Place {
        share: true,
        ..Place::plain(given, &beside(target.as_bytes(), plain), format)
    })
}

/// Opens the files of the new image.
fn open_target(
    args: &Args,
    path: &OsStr,
    settings: &Settings,
    opened: &Files,
    names: &mut Names,
    context: &Context<'_>,
    backing: Option<&Backing>,
) -> Step<Target> {
    let mut size = || match (settings.size("size"), backing) {
        (Some(size), _) => Ok(size),
        (None, Some(backing)) => size::of_sources(context, std::slice::from_ref(&backing.place), None),
        (None, None) => Ok(0),
    };
    let negative: &[u8] = match settings.format() {
        Format::Qcow2 => b": Could not resize image: Image size cannot be negative",
        Format::Raw => b": Could not resize file: Invalid argument",
        _ => b"",
    };
    // A raw image ends on a sector.
    let largest = match settings.format() {
        Format::Raw => LARGEST - LARGEST % 512,
        _ => LARGEST,
    };
    if !negative.is_empty() && settings.size("size").is_some_and(|size| size > largest) {
        return Err(Stop::Message([args.image.as_bytes(), negative].concat()));
    }
    let new = NewTarget {
        given: &args.image,
        creating: "",
        settings,
        options: files::target_options(CacheMode::Writeback, context.policy),
        program: context.program,
        keeps: true,
        is_filled: false,
        size: &mut size,
    };
    let target = new.open(opened, None)?;
    names.set(target.slot, path.as_bytes());
    if backing.is_none()
        && let Some(Ok(name)) = settings.text("backing_file").map(place::plain_path)
    {
        let below = beside(path.as_bytes(), name);
        let spared = opened.spares(OsStr::from_bytes(&below).as_ref());
        spared.map_err(|error| under(&args.image, Stop::from(error)))?;
    }
    Ok(target)
}

/// Says what is being made.
fn say(args: &Args, context: &mut Context<'_>, settings: Option<Settings>, size: u64) {
    if let Some(mut settings) = settings {
        if settings.size("size").is_none() {
            settings.set_size(size);
        }
        context.console.print(&formatting(&args.image, &settings));
    }
}

/// A message about the image.
fn under(image: &OsStr, stop: Stop) -> Stop {
    stop.after(&[image.as_bytes(), b": "].concat())
}

/// Why the guest failed; follows the image's name.
fn reason(failure: &Failure, scene: &dyn Scene, settings: &Settings, checked: bool) -> Vec<u8> {
    let fault = &failure.fault;
    let why = words::fault(fault);
    let hint = if checked { NO_BACKING } else { b"" };
    match failure.stage {
        Stage::OpenTargetBacking if fault.code == fault::core::NO_BACKING_FORMAT => why.into_bytes(),
        Stage::OpenTargetBacking => [why.as_bytes(), hint].concat(),
        Stage::OpenBacking(slot) => {
            let name = fault.text.as_ref().map(|name| scene.below(slot, name.as_bytes()));
            let inner = match name {
                Some(name) if fault.code == fault::core::IO => {
                    format!("Could not open '{name}': {why}")
                }
                _ => why,
            };
            let layers = "Could not open backing file: ".repeat(scene.depth(slot));
            [layers.as_bytes(), inner.as_bytes(), hint].concat()
        }
        _ if fault.code == fault::core::IO && fault.numbers[0] == FILE_TOO_BIG => too_large(settings),
        _ if fault.code == fault::vhd::SIZE => too_large(settings),
        _ => why.into_bytes(),
    }
}

/// The words for a size that is too much for the format, or for what holds its file.
fn too_large(settings: &Settings) -> Vec<u8> {
    let format = settings.format();
    let hint = match settings.size("cluster_size") {
        Some(0) => "",
        None if format != Format::Qcow2 => "",
        _ => " (try using a larger cluster size)",
    };
    format!(
        "The image size is too large for file format '{}'{hint}",
        format.name()
    )
    .into_bytes()
}

/// Largest size that the reference tool takes for one.
const LARGEST: u64 = (1 << 63) - 1;

/// EFBIG.
const FILE_TOO_BIG: u64 = 27;
