//! Medians.

use std::time::Duration;

use crate::measure::{Results, Sample, approximate, median};
use crate::rows::Row;

/// Medians of one program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Typical {
    pub(super) wall: f64,
    pub(super) processor: f64,
    pub(super) memory: f64,
    pub(super) output: f64,
    pub(super) data: f64,
}

impl Typical {
    /// Of timed runs; the one that measured memory counts for memory alone.
    pub(super) fn of(samples: &[Sample]) -> Option<Self> {
        let timed: Vec<&Sample> = samples
            .iter()
            .filter(|sample| sample.memory_bytes.is_none())
            .collect();
        let median = |part: fn(&Sample) -> Duration| median(timed.iter().map(|sample| part(sample)));
        let memory = samples.iter().filter_map(|sample| sample.memory_bytes).max()?;
        let last = samples.last()?;
        Some(Self {
            wall: median(|sample| sample.wall)?,
            processor: median(|sample| sample.processor)?,
            memory: approximate(memory),
            output: approximate(last.output_bytes),
            data: approximate(last.data_bytes),
        })
    }
}

/// Medians of a row.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) reference: Typical,
    /// One a sandbox.
    pub(super) ours: Vec<Typical>,
    /// In the order of the row's peers; none where the peer is not installed.
    pub(super) peers: Vec<Option<Typical>>,
    /// The machine, writing as many bytes as the reference.
    pub(super) limit: Option<Typical>,
}

impl Measured {
    pub(super) fn of(results: &Results) -> Option<Self> {
        let peers = results.peers.iter();
        Some(Self {
            reference: Typical::of(&results.reference)?,
            ours: results
                .ours
                .iter()
                .map(|ours| Typical::of(ours))
                .collect::<Option<_>>()?,
            peers: peers.map(|peer| Typical::of(peer.as_deref()?)).collect(),
            limit: Typical::of(&results.limit),
        })
    }

    /// The peer of a column, if the row has it: not there where it is not installed.
    pub(super) fn peer(&self, row: &Row, column: &str) -> Option<Option<Typical>> {
        let place = row.peers.iter().position(|peer| peer.column() == column)?;
        self.peers.get(place).copied()
    }

    /// What the machine writes in a second, where the row has that limit.
    pub(super) fn limit_bytes_per_second(&self) -> Option<f64> {
        Some(self.reference.data / self.limit?.wall)
    }

    /// Goals that are not reached, and none where the row has no goal.
    pub(super) fn missed(&self, row: &Row) -> Option<Vec<&'static str>> {
        let goal = row.goal?;
        let best = self
            .ours
            .iter()
            .map(|ours| ours.wall)
            .fold(f64::INFINITY, f64::min);
        let mut missed = Vec::new();
        if best > goal * self.reference.wall {
            missed.push("time");
        }
        let kvm = self.ours.get(1).zip(row.kvm_goal);
        if kvm.is_some_and(|(kvm, goal)| kvm.wall > goal * self.reference.wall) {
            missed.push("time under KVM");
        }
        if row.plain && self.ours.iter().any(|ours| self.costs_more(ours)) {
            missed.push("CPU");
        }
        if row.plain && self.peer(row, "cp").flatten().is_some_and(|cp| best > cp.wall) {
            missed.push("cp");
        }
        Some(missed)
    }

    /// Whether it took more processor time than qemu-img.
    pub(super) fn costs_more(&self, ours: &Typical) -> bool {
        ours.processor > self.reference.processor
    }
}
