//! Rows under a memory limit: whether they end at all, and what the limit cost.

use std::fmt::Write as _;

use crate::corpus::Corpus;
use crate::measure;
use crate::options::Options;
use crate::rows::Row;
use crate::site::{MEMORY_BYTES, Pressure, Site};
use crate::table;

/// What one program met.
#[derive(Debug)]
struct Outcome {
    program: String,
    walls: Vec<f64>,
    complaints: Vec<String>,
    worst: Pressure,
}

/// What the programs of a row met, or why the row was not run.
#[derive(Debug)]
pub(crate) struct Report {
    name: &'static str,
    outcomes: Result<Vec<Outcome>, String>,
}

/// Measures one row. A program that fails or is killed is a result.
pub(crate) fn measure(options: &Options, corpus: &Corpus, row: &Row) -> Report {
    Report {
        name: row.name,
        outcomes: Site::prepare(row, corpus).and_then(|mut site| take_turns(options, row, &mut site)),
    }
}

fn take_turns(options: &Options, row: &Row, site: &mut Site) -> Result<Vec<Outcome>, String> {
    let sandboxes = options.sandboxes.iter().map(|sandbox| Some(*sandbox));
    let programs: Vec<Option<&str>> = [None].into_iter().chain(sandboxes).collect();
    let mut outcomes: Vec<Outcome> = programs
        .iter()
        .map(|sandbox| Outcome {
            program: sandbox.map_or_else(|| "qemu-img".to_owned(), |name| format!("instar, {name}")),
            walls: Vec::new(),
            complaints: Vec::new(),
            worst: Pressure::default(),
        })
        .collect();
    for _ in 0..options.runs(row.runs) {
        for (sandbox, outcome) in programs.iter().zip(&mut outcomes) {
            site.renew_group()?;
            site.make_ready()?;
            let command = match sandbox {
                None => row.command(site, &options.qemu, &[]),
                Some(sandbox) => row.command(site, &options.instar, &["--sandbox", sandbox]),
            };
            let ended = measure::run(site.inside(command))?;
            let pressure = site.pressure();
            outcome.complaints.extend(ended.complaint());
            outcome.walls.push(ended.wall().as_secs_f64());
            outcome.worst = Pressure {
                peak_bytes: outcome.worst.peak_bytes.max(pressure.peak_bytes),
                met: outcome.worst.met.max(pressure.met),
                killed: outcome.worst.killed.max(pressure.killed),
            };
        }
    }
    Ok(outcomes)
}

/// The table, in Markdown.
pub(crate) fn render(reports: &[Report]) -> String {
    let mut text = format!(
        "In a control group with {} MB of memory, page cache included, sources cold:\n\n\
         | work | program | time | to qemu-img | ended | killed for memory | peak | limit met |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        MEMORY_BYTES / 1_000_000
    );
    for report in reports {
        match &report.outcomes {
            Err(reason) => {
                let _ = writeln!(text, "| {} | skipped: {} |", report.name, table::cell(reason));
            }
            Ok(outcomes) => {
                let reference = outcomes.first().map_or(0.0, Outcome::wall);
                for outcome in outcomes {
                    let _ = writeln!(
                        text,
                        "| {} | {} |",
                        report.name,
                        outcome.cells(reference).join(" | ")
                    );
                }
            }
        }
    }
    text
}

impl Outcome {
    fn wall(&self) -> f64 {
        let mut walls = self.walls.clone();
        walls.sort_by(f64::total_cmp);
        walls.get(walls.len() / 2).copied().unwrap_or_default()
    }

    fn cells(&self, reference: f64) -> Vec<String> {
        let ended = match self.complaints.first() {
            None => "well".to_owned(),
            Some(first) => format!(
                "**{} of {} failed**: {}",
                self.complaints.len(),
                self.walls.len(),
                table::cell(first)
            ),
        };
        vec![
            self.program.clone(),
            table::seconds(self.wall()),
            table::ratio(self.wall(), reference),
            ended,
            self.worst.killed.to_string(),
            format!("{} MB", self.worst.peak_bytes / 1_000_000),
            format!("{} times", self.worst.met),
        ]
    }
}
