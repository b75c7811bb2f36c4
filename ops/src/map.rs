//! `map`: where every byte of the virtual disk is, as runs, streamed in bounded batches.

use alloc::vec::Vec;

use instar_abi::Report;
use instar_abi::job::Map;
use instar_abi::report::{Done, MapRun, Stage};
use instar_disk::{Fault, Host, Status, fault};

use crate::chain::Chain;
use crate::session::{At, Outcome, Session};

/// Runs in a report. Ours: one doorbell for many, and little memory.
const RUNS: usize = 1024;

/// Carries out `map`.
pub(crate) fn run(session: &Session<'_>, job: &Map) -> Outcome<Done> {
    let mut chain = Chain::open(session, &job.source, Stage::OpenSource(0))?;
    chain.report_names(session.host);
    let virtual_size = chain.size();
    let end = job.length.map_or(virtual_size, |length| {
        virtual_size.min(job.start.saturating_add(length))
    });
    let mut list = List {
        host: session.host,
        placed_only: job.placed_only,
        last: None,
        runs: Vec::new(),
    };
    // The host's picture of the outcome starts here: what was opened could be opened.
    session.host.report(&Report::Size(virtual_size));
    let mut at = job.start;
    while at < end {
        let run = match chain.status(at) {
            Ok((status, depth)) => of(at, status, depth, end),
            Err(fault) => {
                // What came before is known.
                list.finish().at(Stage::Other)?;
                return Err(fault).at(Stage::Read(at));
            }
        };
        at = at.saturating_add(run.length);
        list.add(run).at(Stage::Other)?;
    }
    if job.start >= end {
        list.add(nothing(job.start)).at(Stage::Other)?;
    }
    list.finish().at(Stage::Other)?;
    Ok(Done {
        virtual_size,
        ..Done::default()
    })
}

fn of(start: u64, status: Status, depth: u32, end: u64) -> MapRun {
    MapRun {
        start,
        length: status.length.min(end.saturating_sub(start)),
        depth,
        present: status.present,
        zero: status.zero,
        data: status.data,
        compressed: status.compressed,
        place: status.place,
    }
}

/// qemu-img's answer where there is nothing to map: one run without bytes.
const fn nothing(start: u64) -> MapRun {
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

/// Runs on their way to the host.
struct List<'h> {
    host: &'h dyn Host,
    placed_only: bool,
    /// May still grow.
    last: Option<MapRun>,
    runs: Vec<MapRun>,
}

impl List<'_> {
    fn add(&mut self, run: MapRun) -> instar_disk::Result<()> {
        match &mut self.last {
            Some(last) if goes_on(last, &run) => {
                last.length = last.length.saturating_add(run.length);
                Ok(())
            }
            last => {
                let complete = last.replace(run);
                self.keep(complete)
            }
        }
    }

    fn keep(&mut self, run: Option<MapRun>) -> instar_disk::Result<()> {
        let Some(run) = run else { return Ok(()) };
        if self.placed_only {
            if run.data && run.place.is_none() {
                self.send();
                return Err(Fault::new(fault::core::NOT_PLACED));
            }
            if !run.data || run.zero {
                return Ok(());
            }
        }
        self.runs.push(run);
        if self.runs.len() >= RUNS {
            self.send();
        }
        Ok(())
    }

    fn finish(&mut self) -> instar_disk::Result<()> {
        let last = self.last.take();
        self.keep(last)?;
        self.send();
        Ok(())
    }

    fn send(&mut self) {
        if !self.runs.is_empty() {
            let report = Report::Map(core::mem::take(&mut self.runs));
            self.host.report(&report);
            // The room that it took is used again.
            if let Report::Map(mut runs) = report {
                runs.clear();
                self.runs = runs;
            }
        }
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
