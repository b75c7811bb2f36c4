//! `map`: where every byte of the virtual disk is, as runs, streamed in bounded batches.

use alloc::vec::Vec;

use instar_abi::Report;
use instar_abi::job::Map;
use instar_abi::report::{Done, MapRun, Stage};

use crate::allowance::{Allowance, Effort};
use crate::chain::Chain;
use crate::session::{At, Outcome, Session};

/// Runs in a report. Ours: one doorbell for many, and little memory.
const RUNS: usize = 1024;

/// Carries out `map`.
pub(crate) fn run(session: &Session<'_>, job: &Map) -> Outcome<Done> {
    let mut chain = Chain::open(session, &job.source, Stage::OpenSource(0))?;
    chain.as_written();
    let mut allowance = Allowance::new(chain.physical());
    let virtual_size = chain.size();
    let end = job.length.map_or(virtual_size, |length| {
        virtual_size.min(job.start.saturating_add(length))
    });
    let mut runs: Vec<MapRun> = Vec::new();
    let mut at = job.start;
    while at < end {
        let mut run = chain.status(at).at(Stage::Read(at))?;
        run.length = run.length.min(end.saturating_sub(at));
        let effort = if run.data { Effort::Read } else { Effort::None };
        let effort = if run.compressed { Effort::Decode } else { effort };
        allowance.spend(effort, run.length).at(Stage::Read(at))?;
        at = at.saturating_add(run.length);
        match runs.last_mut() {
            Some(last) if goes_on(last, &run) => last.length = last.length.saturating_add(run.length),
            _ => {
                if runs.len() >= RUNS {
                    // The last run may still grow, so it stays for the next report.
                    let last = runs.pop();
                    session.host.report(&Report::Map(core::mem::take(&mut runs)));
                    runs.extend(last);
                }
                runs.push(run);
            }
        }
    }
    if job.start >= virtual_size {
        runs.push(past_end(job.start));
    }
    session.host.report(&Report::Map(runs));
    Ok(Done {
        virtual_size,
        ..Done::default()
    })
}

/// qemu-img's answer to a start past the end: one run without bytes.
const fn past_end(start: u64) -> MapRun {
    MapRun {
        start,
        length: 0,
        depth: 0,
        present: false,
        zero: false,
        data: false,
        compressed: false,
        place: None,
    }
}

fn goes_on(last: &MapRun, next: &MapRun) -> bool {
    let place = match (last.place, next.place) {
        (None, None) => true,
        (Some((slot, offset)), Some((next_slot, next_offset))) => {
            slot == next_slot && offset.checked_add(last.length) == Some(next_offset)
        }
        _ => false,
    };
    let flags = |run: &MapRun| (run.depth, run.present, run.zero, run.data, run.compressed);
    place && flags(last) == flags(next)
}
