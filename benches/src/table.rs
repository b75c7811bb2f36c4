//! The tables.

mod typical;

use std::fmt::Write as _;

use crate::measure::{Results, approximate};
use crate::options::Options;
use crate::peers::COLUMNS;
use crate::rows::Row;
use typical::Measured;

/// One row's result.
#[derive(Debug)]
pub(crate) struct Line {
    row: Row,
    result: Result<Measured, Absent>,
}

/// Why there are no figures.
#[derive(Debug)]
enum Absent {
    /// Something went wrong: no goal is reached.
    Failed(String),
    /// The machine lacks what the row needs.
    Skipped(String),
}

impl Line {
    pub(crate) fn measured(row: &Row, results: Results) -> Self {
        let measured = Measured::of(&results);
        Self {
            row: *row,
            result: measured.ok_or_else(|| Absent::Failed("not measured".to_owned())),
        }
    }

    pub(crate) fn failed(row: &Row, message: String) -> Self {
        Self {
            row: *row,
            result: Err(Absent::Failed(message)),
        }
    }

    pub(crate) fn skipped(row: &Row, reason: String) -> Self {
        Self {
            row: *row,
            result: Err(Absent::Skipped(reason)),
        }
    }

    /// For somebody who watches.
    pub(crate) fn brief(&self) -> String {
        match &self.result {
            Ok(measured) => {
                let ratios: Vec<String> = measured
                    .ours
                    .iter()
                    .map(|ours| ratio(ours.wall, measured.reference.wall))
                    .collect();
                format!("{:.3} s, ours {}", measured.reference.wall, ratios.join(" and "))
            }
            Err(absent) => absent.to_string(),
        }
    }

    /// Whether the goals hold; none where there is no goal, or the row was skipped.
    fn holds(&self) -> Option<bool> {
        match &self.result {
            Ok(measured) => measured.missed(&self.row).map(|missed| missed.is_empty()),
            Err(Absent::Failed(_)) => self.row.goal.map(|_| false),
            Err(Absent::Skipped(_)) => None,
        }
    }

    fn cells(&self) -> Vec<String> {
        let row = &self.row;
        let mut cells = vec![row.name.to_owned()];
        let measured = match &self.result {
            Ok(measured) => measured,
            Err(absent) => {
                cells.push(cell(&absent.to_string()));
                return cells;
            }
        };
        let reference = &measured.reference;
        cells.push(seconds(reference.wall));
        cells.push(row.goal.map_or_else(String::new, |goal| format!("{goal}")));
        let ours = &measured.ours;
        cells.extend(ours.iter().map(|ours| ratio(ours.wall, reference.wall)));
        cells.extend(ours.iter().map(|ours| {
            let ratio = ratio(ours.processor, reference.processor);
            if row.plain && measured.costs_more(ours) {
                return format!("**{ratio}**");
            }
            ratio
        }));
        cells.extend(ours.iter().map(|ours| ratio(ours.memory, reference.memory)));
        cells.push(match ours.first() {
            Some(ours) if reference.output > 0.0 => ratio(ours.output, reference.output),
            _ => String::new(),
        });
        cells.push(match measured.missed(row) {
            Some(missed) if missed.is_empty() => "yes".to_owned(),
            Some(missed) => format!("**no**: {}", missed.join(", ")),
            None => String::new(),
        });
        cells
    }

    /// The row beside other programs, if there are any.
    fn cells_of_peers(&self) -> Option<Vec<String>> {
        let measured = self.result.as_ref().ok()?;
        if self.row.peers.is_empty() && measured.limit.is_none() {
            return None;
        }
        let mut cells = vec![self.row.name.to_owned()];
        cells.extend(
            COLUMNS
                .iter()
                .map(|column| match measured.peer(&self.row, column) {
                    None => String::new(),
                    Some(None) => "not installed".to_owned(),
                    Some(Some(peer)) => ratio(peer.wall, measured.reference.wall),
                }),
        );
        let cp = measured.peer(&self.row, "cp").flatten();
        let ours = || measured.ours.iter();
        cells.extend(ours().map(|ours| cp.map_or_else(String::new, |cp| ratio(ours.wall, cp.wall))));
        let limit = measured.limit_bytes_per_second();
        cells.extend(ours().map(|ours| {
            let part = |limit: f64| format!("{:.0} %", 100.0 * ours.data / ours.wall / limit);
            limit.map_or_else(String::new, part)
        }));
        cells.push(limit.map_or_else(String::new, |limit| {
            format!("{:.2} GiB/s", limit / approximate(1 << 30))
        }));
        Some(cells)
    }
}

impl std::fmt::Display for Absent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(message) => write!(f, "failed: {message}"),
            Self::Skipped(reason) => write!(f, "skipped: {reason}"),
        }
    }
}

/// The tables as Markdown, and the verdicts.
pub(crate) fn render(lines: &[Line], options: &Options) -> String {
    let mut text = String::new();
    let each = |what: &str| {
        let sandboxes = options.sandboxes.iter();
        sandboxes
            .map(|sandbox| format!("{what}, {sandbox}"))
            .collect::<Vec<_>>()
    };
    let mut head = ["work", "qemu-img", "goal"].map(str::to_owned).to_vec();
    head.extend(["time", "CPU", "memory"].into_iter().flat_map(each));
    head.extend(["size", "reached"].map(str::to_owned));
    table(&mut text, &head, lines.iter().map(Line::cells));
    let judged: Vec<bool> = lines.iter().filter_map(Line::holds).collect();
    let reached = judged.iter().filter(|holds| **holds).count();
    let _ = writeln!(
        text,
        "\nAll columns from the fourth to *size* are ratios to qemu-img in the same run. Rows that reach their goals: {reached} of {}.\n\
         Bold processor time is above qemu-img's where data is only moved.",
        judged.len()
    );
    if let Some(worst) = worst_of_kvm(lines) {
        let _ = writeln!(
            text,
            "Slowest conversion under KVM, as a ratio to the process sandbox: {worst:.2} (goal 1.25)."
        );
    }
    let peers: Vec<Vec<String>> = lines.iter().filter_map(Line::cells_of_peers).collect();
    if !peers.is_empty() {
        text.push_str("\nBeside others:\n\n");
        let mut head = vec!["work".to_owned()];
        head.extend(COLUMNS.map(str::to_owned));
        head.extend(["to cp", "part of the limit"].into_iter().flat_map(each));
        head.push("limit".to_owned());
        table(&mut text, &head, peers.into_iter());
        text.push_str(
            "\nPeers are ratios to qemu-img, *to cp* is instar as a ratio to cp. The limit is the first write of new pages by\n\
             two threads, as many as qemu-img's output has data; the part is what instar writes in a second, divided by it.\n",
        );
    }
    if lines.iter().any(|line| line.row.place.is_cold()) {
        text.push_str(
            "Cold: before each run, sync, then posix_fadvise(DONTNEED) over each source; what other files the machine keeps in memory stays.\n",
        );
    }
    if options.quick {
        text.push_str("Quick run: smaller images, fewer turns; not the figures to publish.\n");
    }
    text
}

fn worst_of_kvm(lines: &[Line]) -> Option<f64> {
    lines
        .iter()
        .filter(|line| line.row.conversion)
        .filter_map(|line| match line.result.as_ref().ok()?.ours.as_slice() {
            [process, kvm] => Some(kvm.wall / process.wall),
            _ => None,
        })
        .reduce(f64::max)
}

pub(crate) fn table(text: &mut String, head: &[String], lines: impl Iterator<Item = Vec<String>>) {
    push(text, head);
    push(text, &vec!["---".to_owned(); head.len()]);
    for mut cells in lines {
        cells.resize(head.len(), String::new());
        push(text, &cells);
    }
}

fn push(text: &mut String, cells: &[String]) {
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// A message as one cell of a table.
pub(crate) fn cell(message: &str) -> String {
    message.replace('|', "/").replace('\n', " ")
}

/// `ours` divided by `reference`, to be printed.
pub(crate) fn ratio(ours: f64, reference: f64) -> String {
    let ratio = ours / reference;
    if ratio < 0.1 {
        format!("{ratio:.3}")
    } else {
        format!("{ratio:.2}")
    }
}

/// Seconds, to be printed.
pub(crate) fn seconds(value: f64) -> String {
    if value < 0.1 {
        format!("{:.1} ms", value * 1000.0)
    } else {
        format!("{value:.2} s")
    }
}
