//! `info --safety`, carried out.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::Report;
use instar_abi::job::{Source, Verb};
use instar_abi::safety::Risk;
use instar_engine::Policy as GatePolicy;

use super::super::args::Args;
use super::show::{Findings, finding};
use crate::json::pretty;
use crate::run::files::{self, Names};
use crate::run::guest::Guest;
use crate::run::progress::Progress;
use crate::run::scene::ImageScene;
use crate::run::{Context, concluded};
use crate::stop::{Step, Stop};

pub(in crate::verbs::info) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let place = args.source.place(&args.image)?;
    let place = place.plainly().map_err(Stop::Message)?;
    let guest = Guest::prepare(context.policy, 1)?;
    let files = files::none_naming(context.policy, place.share, GatePolicy::Nothing)?;
    let (facts, busy) = files::source_or_busy(&files, &place, false)?;
    let mut names = Names::new();
    names.set(facts.slot, place.path.as_bytes());
    let source = files::described(&files, facts, &place, None)?;
    let verb = Verb::Safety(Source { busy, ..source });
    let job = context.job(verb, files.facts());
    let ended = guest.run(&job, files, Arc::new(Progress::none()))?;
    let scene = ImageScene {
        names: &names,
        given: place.given.as_bytes(),
        files: ended.files(),
    };
    concluded(&ended.reports, &scene, context.program)?;
    let report = ended.reports.iter().find_map(|report| match report {
        Report::Safety(safety) => Some(&**safety),
        _ => None,
    });
    let report = report.ok_or_else(|| Stop::say("the sandbox ended without a verdict"))?;
    let findings = Findings {
        name: place.path.as_bytes(),
        report,
        findings: Risk::ALL.into_iter().map(|risk| finding(report, risk)).collect(),
    };
    let text = if args.json {
        let mut text = pretty(&findings.json());
        text.push('\n');
        text.into_bytes()
    } else {
        findings.human()
    };
    context.console.print(&text);
    Ok(u8::from(!findings.safe()))
}
