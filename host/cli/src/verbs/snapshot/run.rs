//! `snapshot`, carried out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::{SystemTime, UNIX_EPOCH};

use instar_abi::job::{Change, NewSnapshot, Verb};
use instar_abi::{Fault, Report, fault};
use instar_engine::Policy as GatePolicy;

use super::args::{Action, Args};
use crate::release::{self, Fact};
use crate::run::Context;
use crate::run::change::Changing;
use crate::run::one_image::Look;
use crate::show::{LocalTime, snapshot};
use crate::stop::Step;
use crate::value::place::Place;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let place = args.source.place(&args.image)?;
    let (doing, name, change) = match &args.action {
        Action::List => return list(&place, context),
        Action::Create(name) => ("create", name, Change::CreateSnapshot(new(name))),
        Action::Apply(name) => ("apply", name, Change::ApplySnapshot(name.as_bytes().to_vec())),
        Action::Delete(name) => ("delete", name, Change::DeleteSnapshot(name.as_bytes().to_vec())),
    };
    let failed = |fault: &Fault, why: &[u8]| {
        let head = format!("Could not {doing} snapshot '");
        let with_number =
            matches!(args.action, Action::Create(_)) && !release::has(Fact::SnapshotErrorsAreWords);
        let why = match fault.code {
            fault::core::IO if with_number => {
                [format!("-{} (", fault.numbers[0]).as_bytes(), why, b")"].concat()
            }
            _ => why.to_vec(),
        };
        [head.as_bytes(), name.as_bytes(), b"': ", &why].concat()
    };
    Changing {
        place: &place,
        failed: &failed,
    }
    .run(change, context)?;
    Ok(0)
}

/// A snapshot of this moment.
fn new(name: &OsStr) -> NewSnapshot {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    NewSnapshot {
        name: name.as_bytes().to_vec(),
        // The field of the format has 32 bits.
        seconds: u32::try_from(now.as_secs()).unwrap_or(u32::MAX),
        nanoseconds: now.subsec_nanos(),
    }
}

fn list(place: &Place, context: &mut Context<'_>) -> Step<u8> {
    let opened = Look::at(place, GatePolicy::Pieces).open(context.policy)?;
    // Read before our own process is confined.
    let time = LocalTime::load();
    let seen = opened.run(Verb::Snapshots, context)?;
    seen.concluded(context)?;
    for report in seen.reports() {
        if let Report::Snapshots(snapshots) = report {
            context.console.print(snapshot::list(snapshots, &time).as_bytes());
        }
    }
    Ok(0)
}
