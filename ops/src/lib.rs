//! The verbs: one file each, and the one copier that moves data from any image to any image.
//!
//! ```text
//!  Job ─► info ──► detect, formats, chain ─────────────► Report::Info
//!      ─► convert ┐
//!      ─► dd ─────┴► source (chains, windows) ─► plan ─► copier ─► target (formats)
//! ```
//!
//! Nothing here knows where it runs: everything outside is reached through [`Host`]. [`run`] never fails, it reports.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing
    )
)]

extern crate alloc;

mod account;
mod bench;
mod bitmap;
mod bitmaps;
mod chain;
mod change;
mod check;
mod checksum;
mod commit;
mod compact;
mod compare;
mod convert;
mod copier;
mod create;
mod dd;
mod detect;
mod digests;
mod flow;
mod formats;
mod info;
mod keys;
mod leaves;
mod located;
mod locks;
mod map;
mod marks;
mod measure;
mod naming;
mod outflow;
mod packed;
mod partition;
mod pass;
mod rebase;
mod rehearsal;
mod remote;
mod resize;
mod safety;
mod session;
mod snapshots;
mod source;
mod spool;
mod through;
mod tree;
mod within;

use alloc::vec::Vec;

use instar_abi::job::Verb;
use instar_abi::report::Done;
use instar_abi::{Job, NamedSecret, Report};
use instar_disk::Host;

use spool::Entered;

/// Does what `job` says and reports how it went; [`Report::Done`] or [`Report::Failed`] is the last report.
/// `secrets` unlock images, and are gone before any other byte of an image is looked at.
pub fn run(host: &dyn Host, job: &Job, secrets: Vec<NamedSecret>) {
    let outcome = if remote::is_needed(job) {
        remote::Remote::new(host, job).and_then(|(remote, job)| {
            let done = among_files(&remote, &job, secrets);
            remote.close(done)
        })
    } else {
        among_files(host, job, secrets)
    };
    host.report(&match outcome {
        Ok(done) => Report::Done(done),
        Err(failure) => Report::Failed(failure),
    });
}

/// The same when all that the job names can be read and written as a file, once it is in one.
fn among_files(host: &dyn Host, job: &Job, secrets: Vec<NamedSecret>) -> session::Outcome<Done> {
    match spool::enter(host, job)? {
        Entered::Done(done) => Ok(done),
        Entered::AsItIs => among_parts(host, job, secrets),
        Entered::Spooled(spooled, job) => among_parts(&spooled, &job, secrets),
    }
}

/// The same when all that the job names can be read from any place.
fn among_parts(host: &dyn Host, job: &Job, secrets: Vec<NamedSecret>) -> session::Outcome<Done> {
    let within = within::Within::new(host);
    let job = within.named(job)?;
    let session = session::Session::new(&within, &job).unlocked(&secrets);
    drop(secrets);
    let done = carry_out(&session)?;
    session.conclude()?;
    Ok(done)
}

fn carry_out(session: &session::Session<'_>) -> session::Outcome<Done> {
    match &session.job.verb {
        Verb::Info(info) => info::run(session, info),
        Verb::Convert(convert) => convert::run(session, convert),
        Verb::Dd(dd) => dd::run(session, dd),
        Verb::Map(map) => map::run(session, map),
        Verb::Create(create) => create::run(session, create),
        Verb::Measure(measure) => measure::run(session, measure),
        Verb::Change(change) => change::run(session, change),
        Verb::Bitmaps(change) => bitmap::run(session, change),
        Verb::Bench(bench) => bench::run(session, bench),
        Verb::Rebase(rebase) => rebase::run(session, rebase),
        Verb::Commit(commit) => commit::run(session, commit),
        Verb::Check(check) => check::run(session, check),
        Verb::Compare(compare) => compare::run(session, compare),
        Verb::Checksum(checksum) => checksum::run(session, checksum),
        Verb::Snapshots(source) => snapshots::run(session, source),
        Verb::Safety(source) => safety::run(session, source),
        Verb::Partitions(job) => partition::run(session, job),
    }
}
