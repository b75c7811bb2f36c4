//! The table.

use std::fmt::Write as _;
use std::time::Duration;

use crate::measure::Sample;
use crate::rows::Row;

/// One row's result.
#[derive(Debug)]
pub(crate) struct Line {
    row: Row,
    reference: Option<Typical>,
    ours: Vec<Typical>,
    peer: Option<Typical>,
    failure: Option<String>,
}

/// Medians of one program.
#[derive(Clone, Copy, Debug)]
struct Typical {
    wall: f64,
    processor: f64,
    memory: f64,
    output: f64,
}

impl Typical {
    fn of(samples: &[Sample]) -> Option<Self> {
        let timed: Vec<&Sample> = samples
            .iter()
            .filter(|sample| sample.memory_bytes.is_none())
            .collect();
        let median = |part: fn(&Sample) -> Duration| {
            let mut all: Vec<Duration> = timed.iter().map(|sample| part(sample)).collect();
            all.sort();
            all.get(all.len() / 2).map(Duration::as_secs_f64)
        };
        let memory = samples.iter().filter_map(|sample| sample.memory_bytes).max()?;
        Some(Self {
            wall: median(|sample| sample.wall)?,
            processor: median(|sample| sample.processor)?,
            memory: approximate(memory),
            output: approximate(samples.last()?.output_bytes),
        })
    }
}

/// A count as a number to divide.
#[expect(clippy::cast_precision_loss, reason = "ratios need no more digits")]
fn approximate(value: u64) -> f64 {
    value as f64
}

impl Line {
    pub(crate) fn new(row: &Row, samples: &[Vec<Sample>], sandboxes: usize, failure: Option<String>) -> Self {
        let mut all = samples.iter().map(|samples| Typical::of(samples));
        Self {
            row: *row,
            reference: all.next().flatten(),
            ours: all
                .by_ref()
                .take(sandboxes)
                .map_while(|typical| typical)
                .collect(),
            peer: all.next().flatten(),
            failure,
        }
    }

    /// For somebody who watches.
    pub(crate) fn brief(&self) -> String {
        match (&self.failure, &self.reference) {
            (Some(message), _) => message.clone(),
            (None, Some(reference)) => {
                let ratios: Vec<String> = self
                    .ours
                    .iter()
                    .map(|ours| ratio(ours.wall, reference.wall))
                    .collect();
                format!("{:.3} s, ours {}", reference.wall, ratios.join(" and "))
            }
            (None, None) => "not measured".to_owned(),
        }
    }

    /// Whether the goals hold; none where there is no goal.
    fn holds(&self) -> Option<bool> {
        let reference = self.reference?;
        let goal = self.row.goal?;
        let best = self
            .ours
            .iter()
            .map(|ours| ours.wall / reference.wall)
            .fold(f64::INFINITY, f64::min);
        let kvm = self.ours.get(1).map(|ours| ours.wall / reference.wall);
        let own = self.row.kvm_goal.zip(kvm).is_none_or(|(goal, kvm)| kvm <= goal);
        Some(self.failure.is_none() && best <= goal && own)
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.row.name.to_owned()];
        let (Some(reference), None) = (self.reference, &self.failure) else {
            cells.push(format!(
                "failed: {}",
                self.failure
                    .as_deref()
                    .unwrap_or("not measured")
                    .replace('|', "/")
            ));
            return cells;
        };
        cells.push(seconds(reference.wall));
        cells.push(self.row.goal.map_or_else(String::new, |goal| format!("{goal}")));
        for part in [
            |typical: &Typical| typical.wall,
            |typical: &Typical| typical.processor,
            |typical: &Typical| typical.memory,
        ] {
            cells.extend(self.ours.iter().map(|ours| ratio(part(ours), part(&reference))));
        }
        cells.push(match (&self.peer, self.row.peer) {
            (Some(peer), Some(words)) => format!(
                "{}: {}",
                words.join(" ").replace('@', "").trim_end(),
                ratio(peer.wall, reference.wall)
            ),
            _ => String::new(),
        });
        cells.push(match self.ours.first() {
            Some(ours) if reference.output > 0.0 => ratio(ours.output, reference.output),
            _ => String::new(),
        });
        cells.push(match self.holds() {
            Some(true) => "yes".to_owned(),
            Some(false) => "**no**".to_owned(),
            None => String::new(),
        });
        cells
    }
}

/// The whole table as Markdown, and the verdicts.
pub(crate) fn render(lines: &[Line], sandboxes: &[&str], quick: bool) -> String {
    let mut head = vec!["work".to_owned(), "qemu-img".to_owned(), "goal".to_owned()];
    for what in ["time", "CPU", "memory"] {
        head.extend(sandboxes.iter().map(|sandbox| format!("{what}, {sandbox}")));
    }
    head.extend(["peer, time", "size", "reached"].map(str::to_owned));
    let mut text = String::new();
    push(&mut text, &head);
    push(&mut text, &vec!["---".to_owned(); head.len()]);
    for line in lines {
        push(&mut text, &line.cells());
    }
    let judged: Vec<bool> = lines.iter().filter_map(Line::holds).collect();
    let reached = judged.iter().filter(|holds| **holds).count();
    let _ = writeln!(
        text,
        "\nAll columns but the second are ratios to qemu-img in the same run. Goals reached: {reached} of {}.",
        judged.len()
    );
    if let Some(worst) = worst_of_kvm(lines) {
        let _ = writeln!(
            text,
            "Slowest conversion under KVM, as a ratio to the process sandbox: {worst:.2} (goal 1.25)."
        );
    }
    if quick {
        text.push_str("Quick run: smaller images, fewer turns; not the figures to publish.\n");
    }
    text
}

fn worst_of_kvm(lines: &[Line]) -> Option<f64> {
    lines
        .iter()
        .filter(|line| line.row.conversion)
        .filter_map(|line| match line.ours.as_slice() {
            [process, kvm] => Some(kvm.wall / process.wall),
            _ => None,
        })
        .reduce(f64::max)
}

fn push(text: &mut String, cells: &[String]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

fn ratio(ours: f64, reference: f64) -> String {
    let ratio = ours / reference;
    if ratio < 0.1 {
        format!("{ratio:.3}")
    } else {
        format!("{ratio:.2}")
    }
}

fn seconds(value: f64) -> String {
    if value < 0.1 {
        format!("{:.1} ms", value * 1000.0)
    } else {
        format!("{value:.2} s")
    }
}
