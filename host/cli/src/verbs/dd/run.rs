//! `dd`, carried out.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::job::{self, Verb};

use super::args::Args;
use crate::console::Console;
use crate::create::Settings;
use crate::run::files::{self, Names};
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::target::NewTarget;
use crate::run::{Context, concluded, output, size};
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::value::progress::ShowProgress;
use instar_run::Guest;

/// What messages say when the output cannot be made.
const CREATING: &str = "error while creating output image";

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let guest = Guest::prepare_guarded(context.policy, instar_run::lanes(None))?;
    let place = args.source.place(&args.input)?;
    let files = files::none_beside(context.policy, place.share, &args.output)?;
    let facts = place.image().source(&files, false)?;
    let mut names = Names::new();
    names.set(facts.slot, place.path.as_bytes());
    let mut source = place.image().described(&files, facts, None)?;
    source.spool = place.image().spool(&files, facts)?;
    names.spool(&source, &place);
    let settings = Settings::parse(args.target_driver()?, None).map_err(Stop::Message)?;
    let mut size = || {
        let whole = size::of_sources(context, std::slice::from_ref(&place), None)?;
        Ok(window(whole, args))
    };
    // The reference tool writes dd's output through the page cache and flushes it at the end.
    let options = files::target_options(CacheMode::Unsafe, context.policy);
    let new = NewTarget {
        given: &args.output,
        creating: CREATING,
        settings: &settings,
        options,
        program: context.program,
        keeps: false,
        is_filled: true,
        size: &mut size,
    };
    let (target, sent_to) = if output::is_named(&args.output) {
        let (target, stream) = output::open(&settings, &files)?;
        (target, Some(stream))
    } else {
        (new.open(&files, None)?, None)
    };
    names.set(target.slot, args.output.as_bytes());
    let verb = Verb::Dd(job::Dd {
        source,
        target,
        block_size: args.block_size,
        count: args.count,
        skip: args.skip,
        sent_to,
    });
    let job = context.job(verb, files.facts());
    let progress = Progress::new(ShowProgress::No, false, context.program.is_reference())?;
    let progress = Arc::new(progress);
    let ended = guest.run(&job, files, Arc::clone(&progress));
    progress.finish(ended.is_ok());
    let ended = ended?;
    let scene = RunScene {
        sources: vec![args.input.as_bytes()],
        creating: CREATING,
        moving: Some([
            "error while reading from input image file",
            "error while writing to output image file",
        ]),
        ..RunScene::of(&names, ended.files(), args.output.as_bytes())
    };
    let done = concluded(&ended.reports, &scene, context.program)?;
    ended.files().commit(false)?;
    if done.skipped_past_end {
        let text = [args.input.as_bytes(), b": cannot skip to specified offset"].concat();
        Console::complain(&context.program.message(&text));
    }
    Ok(0)
}

/// The bytes that are copied of a disk of `whole` bytes: cut at the end first, then at the start.
fn window(whole: u64, args: &Args) -> u64 {
    let end = args
        .count
        .map_or(whole, |count| whole.min(count.saturating_mul(args.block_size)));
    end.saturating_sub(args.skip.saturating_mul(args.block_size))
}
