//! Two binaries of instar in turns, so that a change can be judged in a minute.

use std::path::Path;
use std::time::Duration;

use crate::corpus::Corpus;
use crate::measure::{self, Sample, median};
use crate::options::Options;
use crate::rows::Row;
use crate::site::Site;
use crate::table::{self, cell, ratio, seconds};

/// Measures the rows, and renders a table: what `other` takes, and what instar takes in relation to it.
pub(crate) fn report(options: &Options, corpus: &Corpus, rows: &[&Row], other: &Path) -> String {
    let mut head = vec!["work".to_owned()];
    for sandbox in &options.sandboxes {
        head.extend([
            format!("other, {sandbox}"),
            format!("time, {sandbox}"),
            format!("CPU, {sandbox}"),
        ]);
    }
    let lines = rows.iter().map(|row| {
        eprintln!("{} …", row.name);
        let mut cells = vec![row.name.to_owned()];
        match measure(options, corpus, row, other) {
            Ok(pairs) => cells.extend(pairs.iter().flat_map(Pair::cells)),
            Err(reason) => cells.push(cell(&reason)),
        }
        eprintln!("  {}", cells.get(1..).unwrap_or_default().join("  "));
        cells
    });
    let mut text = String::new();
    table::table(&mut text, &head, lines);
    text.push_str("\nRatios are to the other binary in the same run, medians of both.\n");
    text
}

/// Runs of both in one sandbox.
#[derive(Default)]
struct Pair {
    other: Vec<Sample>,
    ours: Vec<Sample>,
}

impl Pair {
    fn cells(&self) -> [String; 3] {
        let typical = |samples: &[Sample], part: fn(&Sample) -> Duration| {
            median(samples.iter().map(part)).unwrap_or(f64::NAN)
        };
        let wall = |samples: &[Sample]| typical(samples, |sample| sample.wall);
        let processor = |samples: &[Sample]| typical(samples, |sample| sample.processor);
        [
            seconds(wall(&self.other)),
            ratio(wall(&self.ours), wall(&self.other)),
            ratio(processor(&self.ours), processor(&self.other)),
        ]
    }
}

fn measure(options: &Options, corpus: &Corpus, row: &Row, other: &Path) -> Result<Vec<Pair>, String> {
    let site = Site::prepare(row, corpus)?;
    let mut pairs: Vec<Pair> = options.sandboxes.iter().map(|_| Pair::default()).collect();
    for turn in 0..=options.runs(row.runs) {
        for (sandbox, pair) in options.sandboxes.iter().zip(&mut pairs) {
            let run = |program: &Path| {
                site.make_ready()?;
                let command = row.command(&site, program, &["--sandbox", sandbox]);
                measure::time(site.inside(command)).map_err(|error| format!("{}: {error}", program.display()))
            };
            // Whoever goes first meets what the other left to be written back: they change places.
            let (other, ours) = if turn % 2 == 0 {
                let other = run(other)?;
                (other, run(&options.instar)?)
            } else {
                let ours = run(&options.instar)?;
                (run(other)?, ours)
            };
            // The first turn warms the page cache up.
            if turn > 0 {
                pair.other.push(other);
                pair.ours.push(ours);
            }
        }
    }
    Ok(pairs)
}
