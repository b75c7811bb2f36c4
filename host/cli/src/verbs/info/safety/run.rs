//! `info --safety`, carried out.

use std::os::unix::ffi::OsStrExt;

use instar_abi::Report;
use instar_abi::job::Verb;
use instar_abi::safety::Risk;
use instar_engine::Policy as GatePolicy;

use super::super::args::Args;
use super::show::{Findings, finding};
use crate::json::pretty;
use crate::run::Context;
use crate::run::one_image::Look;
use crate::stop::{Step, Stop};

pub(in crate::verbs::info) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let place = args.source.place(&args.image)?;
    let place = place.plainly().map_err(Stop::Message)?;
    let opened = Look::at(&place, GatePolicy::Nothing).open(context.policy)?;
    let seen = opened.run(Verb::Safety, context)?;
    seen.concluded(context)?;
    let report = seen.answer(
        |report| match report {
            Report::Safety(safety) => Some(&**safety),
            _ => None,
        },
        "a verdict",
    )?;
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
