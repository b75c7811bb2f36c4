//! `info --partitions`, carried out.

use std::os::unix::ffi::OsStrExt;

use instar_abi::Report;
use instar_abi::job::{self, Verb};
use instar_engine::Policy as GatePolicy;

use super::super::args::Args;
use super::show::Shown;
use crate::json::pretty;
use crate::run::Context;
use crate::run::one_image::Look;
use crate::stop::Step;

pub(in crate::verbs::info) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let table = args.partitions.unwrap_or_default();
    let place = args.source.place(&args.image)?;
    let look = Look::at(&place, GatePolicy::Beside).with_busy_layers();
    let opened = look
        .direct(args.cache.is_direct() || place.direct)
        .open(context.policy)?;
    let seen = opened.run(
        |source| Verb::Partitions(job::Partitions { source, table }),
        context,
    )?;
    seen.concluded(context)?;
    let table = seen.answer(
        |report| match report {
            Report::Partitions(table) => Some(&**table),
            _ => None,
        },
        "a partition table",
    )?;
    let shown = Shown {
        name: place.path.as_bytes(),
        table,
    };
    let text = if args.json {
        let mut text = pretty(&shown.json());
        text.push('\n');
        text.into_bytes()
    } else {
        shown.human()
    };
    context.console.print(&text);
    Ok(0)
}
