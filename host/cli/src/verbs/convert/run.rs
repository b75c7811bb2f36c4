//! `convert`, carried out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::job::{self, Create, Source, Target, Verb, VmdkSubformat};
use instar_abi::{Format, Slot};
use instar_engine::{Files, TargetOptions};

use super::args::Args;
use crate::create::Settings;
use crate::run::files::{self, Names};
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::target::{self, NewTarget};
use crate::run::{Context, concluded, data_file, output, size};
use crate::stop::{Step, Stop, forbid};
use crate::value::cache::CacheMode;
use crate::value::driver::Driver;
use crate::value::place::{Below, Place, Reading, cannot_open};
use crate::value::progress::ShowProgress;
use crate::verbs::shared::{digest, ground};
use instar_run::{Given, Guest};

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    // The reference tool looks at this before it opens anything.
    let source_mode = args.source_mode()?;
    let progress = Arc::new(Progress::new(
        args.progress,
        args.quiet,
        context.program.is_reference(),
    )?);
    progress.begin();
    let result = work(args, source_mode, &progress, context);
    progress.finish(result.is_ok());
    if let Some(line) = result? {
        context.console.print(line.as_bytes());
    }
    Ok(0)
}

fn work(
    args: &Args,
    source_mode: CacheMode,
    progress: &Arc<Progress>,
    context: &mut Context<'_>,
) -> Step<Option<String>> {
    let guest = Guest::prepare_guarded(context.policy, lanes(args, source_mode))?;
    let files = files::none_beside(context.policy, args.source.share, &args.target)?;
    let mut names = Names::new();
    let (places, sources) = open_sources(args, source_mode, &files, &mut names)?;
    if args.snapshot.is_some() && sources.len() > 1 {
        return Err(Stop::say("No support for concatenating multiple snapshot"));
    }
    if args.bitmaps && sources.len() > 1 {
        return Err(Stop::say("Copying bitmaps only possible with single source"));
    }
    let driver = args.target_driver();
    let creating = creating(args);
    let opened = open_target(args, driver, &creating, &files, &mut names, context, &places);
    let Writing {
        target,
        compress,
        options,
        given,
        sent_to,
    } = match opened {
        Ok(opened) => opened,
        Err(stop) => {
            let ended = target::look_at(sources.first(), guest, files, context)?;
            let scene = scene(args, &names, ended.files(), &creating);
            concluded(&ended.reports, &scene, context.program)?;
            return Err(stop);
        }
    };
    let slot = target.slot;
    names.set(slot, args.target.as_bytes());
    let verb = Verb::Convert(job::Convert {
        sources,
        target,
        sparse: args.sparse_size(),
        sparse_chosen: args.sparse.is_some(),
        compress,
        target_is_zero: args.target_is_zero,
        layer_only: args.no_create && args.backing.is_some(),
        rate: args.rate,
        watched: args.progress != ShowProgress::No && !args.quiet,
        salvage: args.salvage,
        offload: args.copy_range,
        range: args.range,
        granularity: args.preset.map_or(1, |preset| preset.granularity),
        bitmaps: args.bitmaps(),
        checksum: args.checksum,
        sent_to,
    });
    let job = context.job(verb, files.facts());
    let ended = guest.run(&job, files, Arc::clone(progress))?;
    let scene = scene(args, &names, ended.files(), &creating);
    concluded(&ended.reports, &scene, context.program)?;
    let digest = match args.checksum {
        Some(algorithm) => Some((algorithm, digest::hexadecimal(&ended.reports)?)),
        None => None,
    };
    ended
        .files()
        .commit(options.cache != instar_engine::Cache::Unsafe)?;
    target::warn_unless_readable(ended.files(), slot, &given, context);
    Ok(digest.map(|(algorithm, digest)| digest::line(algorithm, &digest, args.target.as_bytes())))
}

fn lanes(args: &Args, source_mode: CacheMode) -> u32 {
    // A bad mode of the target's is said later, after the sources have been opened.
    let direct = source_mode.is_direct() || args.target_mode().is_ok_and(CacheMode::is_direct);
    if direct {
        instar_run::direct_lanes(args.parallel)
    } else {
        instar_run::lanes(args.parallel)
    }
}

/// What is being done to the target, for messages.
fn creating(args: &Args) -> String {
    let format = args.output_format.as_deref().unwrap_or(OsStr::new("raw"));
    format!("error while converting {}", format.display())
}

fn open_sources(
    args: &Args,
    mode: CacheMode,
    opened: &Files,
    names: &mut Names,
) -> Step<(Vec<Place>, Vec<Source>)> {
    let mut places = Vec::new();
    let mut sources = Vec::new();
    for name in &args.sources {
        let place = args.source.place(name)?;
        let facts = place.image().source(opened, mode.is_direct())?;
        names.set(facts.slot, place.path.as_bytes());
        let mut source = place.image().described(opened, facts, args.snapshot.clone())?;
        source.spool = place.image().spool(opened, facts)?;
        names.spool(&source, &place);
        sources.push(source);
        places.push(place);
    }
    Ok((places, sources))
}

/// What is written to.
struct Writing {
    target: Target,
    /// Its data is compressed.
    compress: bool,
    /// How it was opened.
    options: TargetOptions,
    /// Names that a new image is given.
    given: Vec<Given>,
    /// The stream that it goes to, if it is standard output.
    sent_to: Option<Slot>,
}

fn open_target(
    args: &Args,
    driver: Step<Driver>,
    creating: &str,
    opened: &Files,
    names: &mut Names,
    context: &Context<'_>,
    places: &[Place],
) -> Step<Writing> {
    if args.no_create {
        return open_existing(args, driver, opened, context);
    }
    let settings = settings(args, driver?)?;
    let options = files::target_options(args.target_mode()?, context.policy);
    let path = target::path_of(&args.target)?;
    let mut size = || size::of_sources(context, places, args.snapshot.as_ref());
    let new = NewTarget {
        given: &args.target,
        creating,
        settings: &settings,
        options,
        program: context.program,
        keeps: args.replace,
        is_filled: true,
        size: &mut size,
    };
    // Values are looked at before the backing file is opened, as the image would be made before it.
    let (mut target, sent_to) = if output::is_named(&args.target) {
        let (target, stream) = output::open(&settings, opened)?;
        (target, Some(stream))
    } else {
        (new.open(opened, None)?, None)
    };
    target.backing = target::backing(opened, names, path, &settings)?;
    let given = target::remember(opened, target.slot, path, &settings);
    let stream = matches!(
        &target.create,
        Create::Vmdk(vmdk) if vmdk.subformat == VmdkSubformat::StreamOptimized
    );
    Ok(Writing {
        target,
        compress: args.compress || stream,
        options,
        given,
        sent_to,
    })
}

const ONE_SOURCE: &str =
    "Having a backing file for the target makes no sense when concatenating multiple input images";

/// The options of the new image, and what they forbid.
fn settings(args: &Args, driver: Driver) -> Step<Settings> {
    let ground = ground(driver, Some(&args.target));
    let mut settings = Settings::parse_on(driver, ground, args.options.as_deref()).map_err(Stop::Message)?;
    settings
        .set_backing(args.backing.as_deref(), args.backing_format.as_deref())
        .map_err(Stop::Message)?;
    let has_backing = settings.text("backing_file");
    forbid([
        (has_backing.is_some() && args.sources.len() > 1, ONE_SOURCE),
        (
            has_backing.is_some() && settings.text("backing_fmt").is_none(),
            "Use of backing file requires explicit backing format",
        ),
        (
            args.compress && !settings.can_compress(),
            "Compression not supported for this file format",
        ),
        (
            args.compress && settings.encrypts(),
            "Compression and encryption not supported at the same time",
        ),
        (
            args.compress && settings.preallocates(),
            "Compression and preallocation not supported at the same time",
        ),
        (
            has_backing.is_some_and(<[u8]>::is_empty),
            "the name of the backing file is empty",
        ),
    ])?;
    Ok(settings)
}

/// `-n`: the image is there and stays.
fn open_existing(args: &Args, driver: Step<Driver>, opened: &Files, context: &Context<'_>) -> Step<Writing> {
    let options = TargetOptions {
        is_range: args.range.is_some(),
        ..files::target_options(args.target_mode()?, context.policy)
    };
    let given = args.target.as_os_str();
    if args.target_is_zero && args.backing.is_some() {
        return Err(Stop::say(
            "Cannot use --target-is-zero when the destination image has a backing file",
        ));
    }
    if args.backing.is_some() && args.sources.len() > 1 {
        return Err(Stop::say(ONE_SOURCE));
    }
    let (place, format) = if args.target_image_opts || given.as_bytes().starts_with(b"json:") {
        let named = if args.target_image_opts {
            args.output_format.as_deref()
        } else {
            Some(OsStr::from_bytes(driver?.name().as_bytes()))
        };
        let reading = Reading {
            format: named,
            image_opts: args.target_image_opts,
            share: false,
        };
        let place = Place::parse(given, reading).map_err(Stop::Message)?;
        place.image().writable()?;
        whole(&place).map_err(|why| Stop::Message(cannot_open(given, why)))?;
        let format = place.format.ok_or_else(|| {
            Stop::say("--target-image-opts needs a driver= for the target, because the format of a target is never guessed")
        })?;
        (place, format)
    } else {
        let driver = driver?;
        let reading = Reading {
            format: Some(OsStr::from_bytes(driver.name().as_bytes())),
            ..Reading::default()
        };
        (
            Place::parse(given, reading).map_err(Stop::Message)?,
            driver.format(),
        )
    };
    let mut target = target::existing(opened, &place, format, &options)?;
    data_file::open(context, &place, &mut target, opened, &options)?;
    if args.range.is_some() && format != Format::Raw {
        return Err(Stop::say(format!(
            "--range requires a raw target (-O raw), not {}",
            format.name()
        )));
    }
    if args.compress && !matches!(target.create.format(), Format::Qcow2 | Format::Vmdk) {
        return Err(Stop::say("Compression not supported for this file format"));
    }
    Ok(Writing {
        target,
        compress: args.compress,
        options,
        given: Vec::new(),
        sent_to: None,
    })
}

/// Why an image cannot be a target as the user describes it.
fn whole(place: &Place) -> Result<(), &'static [u8]> {
    if place.is_shaped() {
        return Err(b"instar does not write into a part of a file ('offset', 'size', 'force_size_calc')");
    }
    if place.below != Below::Named {
        return Err(b"instar does not write into an image whose 'backing' is replaced");
    }
    Ok(())
}

/// What messages refer to.
fn scene<'a>(args: &'a Args, names: &'a Names, files: &'a Files, creating: &'a str) -> RunScene<'a> {
    RunScene {
        sources: args.sources.iter().map(|name| name.as_bytes()).collect(),
        creating,
        ..RunScene::of(names, files, args.target.as_bytes())
    }
}
