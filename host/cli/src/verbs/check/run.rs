//! `check`, carried out.

use std::os::unix::ffi::OsStrExt;

use instar_abi::job::{self, Verb};
use instar_abi::report::{Checked, Failure};
use instar_abi::{Fault, Format, Report, fault};
use instar_engine::Policy as GatePolicy;

use super::args::Args;
use super::show;
use crate::console::Console;
use crate::json::pretty;
use crate::program::Program;
use crate::run::one_image::Look;
use crate::run::{Context, concluded};
use crate::stop::{Step, Stop};
use crate::words::{self, Scene};

/// Exit codes, as the reference tool has them.
mod code {
    pub(super) const SOUND: u8 = 0;
    pub(super) const CORRUPT: u8 = 2;
    pub(super) const LEAKS: u8 = 3;
    pub(super) const UNSUPPORTED: u8 = 63;
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    if args.repair {
        return Err(Stop::say(
            "--repair (-r) is not supported yet; if you trust the image, use qemu-img check -r",
        ));
    }
    let place = args.source.place(&args.image)?;
    let opened = Look::at(&place, GatePolicy::Beside)
        .with_busy_layers()
        .direct(args.cache.is_direct())
        .open(context.policy)?;
    let seen = opened.run(|source| Verb::Check(job::Check { source }), context)?;
    let (reports, scene) = (seen.reports(), seen.scene());
    let unsupported = reports.iter().any(|report| {
        matches!(report, Report::Failed(Failure { fault, .. }) if fault.code == fault::check::UNSUPPORTED)
    });
    findings(reports, &scene, context.program);
    if unsupported {
        let text = words::fault(&Fault::new(fault::check::UNSUPPORTED));
        Console::complain(&context.program.message(text.as_bytes()));
        return Ok(code::UNSUPPORTED);
    }
    let summary = summary(reports);
    if let Some((_, checked)) = summary.filter(|(_, checked)| checked.left_out > 0) {
        let text = format!("{} further messages were left out", checked.left_out);
        Console::complain(&context.program.message(text.as_bytes()));
    }
    // Warnings have been said, in their place among the findings.
    let last: Vec<Report> = reports.last().cloned().into_iter().collect();
    concluded(&last, &scene, context.program)?;
    let (format, checked) =
        summary.ok_or_else(|| Stop::say("the sandbox exited without reporting a result"))?;
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
        return Err(Stop::say("Check failed"));
    }
    Ok(match (checked.corruptions, checked.leaks) {
        (0, 0) => code::SOUND,
        (0, _) => code::LEAKS,
        _ => code::CORRUPT,
    })
}

/// Says what was found, in its order, warnings among it.
fn findings(reports: &[Report], scene: &dyn Scene, program: &Program) {
    let mut text = Vec::new();
    for report in reports {
        match report {
            Report::Findings(found) => {
                for fault in found {
                    let words = words::fault(fault).into_bytes();
                    if fault::check::is_prefixed(fault.code) {
                        text.extend_from_slice(&program.message(&words));
                    } else {
                        text.extend_from_slice(&words);
                        text.push(b'\n');
                    }
                }
            }
            Report::Warning(failure) => {
                let words = [b"warning: ".to_vec(), words::failure(failure, scene)].concat();
                text.extend_from_slice(&program.message(&words));
            }
            _ => {}
        }
    }
    Console::complain(&text);
}

fn summary(reports: &[Report]) -> Option<(Format, Checked)> {
    reports.iter().find_map(|report| match report {
        Report::Checked(format, checked) => Some((*format, *checked)),
        _ => None,
    })
}
