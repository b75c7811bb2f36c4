//! `check`, carried out.

use std::os::unix::ffi::OsStrExt;

use instar_abi::job::{self, Verb};
use instar_abi::report::{Checked, Failure};
use instar_abi::{Fault, Format, Report, fault};
use instar_engine::Policy as GatePolicy;
use instar_run::Cause;

use super::args::Args;
use super::show;
use crate::console::Console;
use crate::json::pretty;
use crate::run::one_image::Look;
use crate::run::{Context, concluded};
use crate::stop::{Step, Stop, silent};
use crate::words::{self, Scene};

/// Exit codes, as the reference tool has them.
mod code {
    pub(super) const SOUND: u8 = 0;
    pub(super) const CORRUPT: u8 = 2;
    pub(super) const LEAKS: u8 = 3;
    pub(super) const UNSUPPORTED: u8 = 63;
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let place = args.source.place(&args.image)?;
    let look = Look::at(&place, GatePolicy::Beside).with_busy_layers();
    let look = match args.repair {
        Some(_) => look.changing(args.cache),
        None => look.direct(args.cache.is_direct()),
    };
    let opened = look.open(context.policy)?;
    let repair = args.repair;
    let seen = opened.run(|source| Verb::Check(job::Check { source, repair }), context)?;
    let (reports, scene) = (seen.reports(), seen.scene());
    let unsupported = reports.iter().any(|report| {
        matches!(report, Report::Failed(Failure { fault, .. }) if fault.code == fault::check::UNSUPPORTED)
    });
    if repair.is_some() {
        seen.warn_of_guess();
    }
    let summary = said(args, reports, &scene, context);
    if unsupported {
        let text = words::fault(&Fault::new(fault::check::UNSUPPORTED));
        return Err(Stop::Coded(code::UNSUPPORTED, text.into_bytes()));
    }
    // The rest has been said, each in its place.
    let last: Vec<Report> = reports.last().cloned().into_iter().collect();
    concluded(&last, &scene, context.program)?;
    let (format, checked) = summary.ok_or_else(|| silent("reporting a result"))?;
    if !args.quiet {
        let name = place.given.as_bytes();
        let text = if args.json {
            pretty(&show::json(&checked, name, format.name())) + "\n"
        } else {
            show::human(&checked)
        };
        context.console.print(text.as_bytes());
    }
    if checked.check_errors > 0 {
        return Err(Stop::say("Check failed").because(Cause::Image));
    }
    Ok(match (checked.corruptions, checked.leaks) {
        (0, 0) => code::SOUND,
        (0, _) => code::LEAKS,
        _ => code::CORRUPT,
    })
}

/// Says what was found and what was repaired, in its order, warnings among it. Gives the counters of the last look, with what an earlier one
/// repaired.
fn said(
    args: &Args,
    reports: &[Report],
    scene: &dyn Scene,
    context: &mut Context<'_>,
) -> Option<(Format, Checked)> {
    let mut last: Option<(Format, Checked)> = None;
    for report in reports {
        let text = match report {
            Report::Findings(found) => words::findings(found, context.program),
            Report::Warning(failure) => words::warning(failure, scene, context.program),
            Report::Checked(format, checked) => {
                let mut checked = *checked;
                if let Some((_, before)) = last {
                    checked.corruptions_fixed = before.corruptions_fixed;
                    checked.leaks_fixed = before.leaks_fixed;
                } else if checked.has_repaired() && !args.quiet && !args.json {
                    context.console.print(show::repaired(&checked).as_bytes());
                }
                last = Some((*format, checked));
                words::left_out(&checked, context.program)
            }
            _ => continue,
        };
        Console::complain(&text);
    }
    last
}
