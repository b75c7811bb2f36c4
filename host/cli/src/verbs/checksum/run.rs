//! `checksum`, carried out.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::job::{self, Verb};
use instar_engine::Policy as GatePolicy;

use super::args::Args;
use crate::json::{Object, pretty};
use crate::run::Context;
use crate::run::one_image::Look;
use crate::run::progress::Progress;
use crate::stop::Step;
use crate::verbs::shared::digest;
use instar_run::Guest;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let place = args.source.place(&args.image)?;
    let guest = Guest::prepare_guarded(context.policy, instar_run::lanes(args.parallel))?;
    let opened = Look::at(&place, GatePolicy::Beside)
        .snapshot(args.snapshot.clone())
        .open_for(guest, context.policy)?;
    let verb = |source| {
        Verb::Checksum(job::Checksum {
            source,
            algorithm: args.algorithm,
        })
    };
    let progress = Arc::new(Progress::new(
        args.progress,
        false,
        context.program.is_reference(),
    )?);
    progress.begin();
    let seen = opened.run_heard(verb, context, Arc::clone(&progress), None);
    progress.finish(seen.is_ok());
    let seen = seen?;
    let done = seen.concluded(context)?;
    let value = digest::hexadecimal(seen.reports())?;
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
