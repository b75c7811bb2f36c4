//! `checksum`, carried out.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::Report;
use instar_abi::job::{self, Algorithm, Source, Verb};

use super::files::{self, Names};
use super::guest::Guest;
use super::progress::Progress;
use super::scene::ImageScene;
use super::{Context, concluded};
use crate::json::{Object, pretty};
use crate::show::Escaped;
use crate::stop::{Step, Stop};
use crate::verb::checksum::Args;

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
    let digest = hexadecimal(&ended.reports)?;
    let text = if args.json {
        let object = Object::new()
            .with("filename", place.given.as_bytes())
            .with("virtual-size", done.virtual_size)
            .with("algorithm", name(args.algorithm).as_str())
            .with("checksum", digest.as_str());
        let mut text = pretty(&object.into());
        text.push('\n');
        text.into_bytes()
    } else {
        line(args.algorithm, &digest, place.given.as_bytes()).into_bytes()
    };
    context.console.print(&text);
    Ok(0)
}

/// One line for people and scripts, with a newline.
pub(super) fn line(algorithm: Algorithm, digest: &str, file: &[u8]) -> String {
    format!("{}:{digest}  {}\n", name(algorithm), Escaped(file))
}

/// What the tree over a hash function is called: nobody shall take it for the function's own value.
fn name(algorithm: Algorithm) -> String {
    format!("{}-tree", algorithm.name())
}

/// The checksum that was reported.
pub(super) fn hexadecimal(reports: &[Report]) -> Step<String> {
    let digest = reports.iter().find_map(|report| match report {
        Report::Checksum(digest) => Some(digest),
        _ => None,
    });
    let digest = digest.ok_or_else(|| Stop::say("the sandbox ended without a checksum"))?;
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
