//! `checksum`, carried out.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::job::{self, Source, Verb};

use super::args::Args;
use crate::json::{Object, pretty};
use crate::run::files::{self, Names};
use crate::run::guest::Guest;
use crate::run::progress::Progress;
use crate::run::scene::ImageScene;
use crate::run::{Context, concluded};
use crate::stop::Step;
use crate::verbs::shared::digest;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let place = args.source.place(&args.image)?;
    let guest = Guest::prepare_guarded(context.policy, Context::lanes(args.parallel))?;
    let files = files::none(context.policy, place.share)?;
    let (facts, busy) = files::source_or_busy(&files, &place, false)?;
    let mut names = Names::new();
    names.set(facts.slot, place.path.as_bytes());
    let source = files::described(&files, facts, &place, args.snapshot.clone())?;
    let verb = Verb::Checksum(job::Checksum {
        source: Source { busy, ..source },
        algorithm: args.algorithm,
    });
    let job = context.job(verb, files.facts());
    let progress = Arc::new(Progress::new(
        args.progress,
        false,
        context.program.is_reference(),
    )?);
    progress.begin();
    let ended = guest.run(&job, files, Arc::clone(&progress));
    progress.finish(ended.is_ok());
    let ended = ended?;
    let scene = ImageScene {
        names: &names,
        given: place.given.as_bytes(),
        files: ended.files(),
    };
    let done = concluded(&ended.reports, &scene, context.program)?;
    let value = digest::hexadecimal(&ended.reports)?;
    let text = if args.json {
        let object = Object::new()
            .with("filename", place.given.as_bytes())
            .with("virtual-size", done.virtual_size)
            .with("algorithm", digest::name(args.algorithm).as_str())
            .with("checksum", value.as_str());
        let mut text = pretty(&object.into());
        text.push('\n');
        text.into_bytes()
    } else {
        digest::line(args.algorithm, &value, place.given.as_bytes()).into_bytes()
    };
    context.console.print(&text);
    Ok(0)
}
