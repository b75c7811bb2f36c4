//! The programs take turns.

use std::process::Command;

use crate::corpus::Corpus;
use crate::machine;
use crate::measure::{self, Results, Sample};
use crate::options::Options;
use crate::peers::Peer;
use crate::rows::Row;
use crate::site::Site;
use crate::table::Line;

/// Rows that write less than this say nothing about the machine's limits.
const LEAST_DATA: u64 = 16 << 20;

/// One program that does the work of a row.
#[derive(Clone, Copy, Debug)]
enum Program {
    Reference,
    /// Ours, in a sandbox.
    Ours(&'static str),
    Peer(Peer),
    /// This program, writing as much as qemu-img wrote.
    Limit,
}

/// Measures one row, or says why it cannot be.
pub(crate) fn measure(options: &Options, corpus: &Corpus, row: &Row) -> Line {
    match Site::prepare(row, corpus) {
        Ok(site) => match take_turns(options, row, &site) {
            Ok(results) => Line::measured(row, results),
            Err(message) => Line::failed(row, message),
        },
        Err(reason) => Line::skipped(row, reason),
    }
}

fn take_turns(options: &Options, row: &Row, site: &Site) -> Result<Results, String> {
    let mut programs = vec![Program::Reference];
    programs.extend(options.sandboxes.iter().copied().map(Program::Ours));
    let present = row.peers.iter().copied().filter(|peer| peer.is_installed());
    programs.extend(present.map(Program::Peer));
    let mut samples: Vec<Vec<Sample>> = programs.iter().map(|_| Vec::new()).collect();
    let mut limit = Vec::new();
    for turn in 0..=options.runs(row.runs) {
        // The first turn warms the page cache up, measures memory, and is not timed.
        let measure = if turn == 0 { measure::memory } else { measure::time };
        for (program, samples) in programs.iter().zip(&mut samples) {
            site.make_ready()?;
            let command = command(*program, options, row, site, 0);
            let sample = measure(site.inside(command)).map_err(|error| format!("{program:?}: {error}"))?;
            let (output_bytes, data_bytes) = site.written();
            samples.push(Sample {
                output_bytes,
                data_bytes,
                ..sample
            });
        }
        let data = samples[0][0].data_bytes;
        if row.plain && data >= LEAST_DATA {
            site.make_ready()?;
            limit.push(measure(command(Program::Limit, options, row, site, data))?);
        }
    }
    Ok(sorted(row, options.sandboxes.len(), samples, limit))
}

fn command(program: Program, options: &Options, row: &Row, site: &Site, data: u64) -> Command {
    match program {
        Program::Reference => row.command(site, &options.qemu, &[]),
        Program::Ours(sandbox) => row.command(site, &options.instar, &["--sandbox", sandbox]),
        Program::Peer(peer) => peer.command(row, site, &options.qemu),
        Program::Limit => machine::write_limit(data, site.output()),
    }
}

fn sorted(row: &Row, sandboxes: usize, samples: Vec<Vec<Sample>>, limit: Vec<Sample>) -> Results {
    let mut all = samples.into_iter();
    Results {
        reference: all.next().unwrap_or_default(),
        ours: all.by_ref().take(sandboxes).collect(),
        peers: row
            .peers
            .iter()
            .map(|peer| if peer.is_installed() { all.next() } else { None })
            .collect(),
        limit,
    }
}
