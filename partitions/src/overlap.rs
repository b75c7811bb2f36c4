//! Partitions that share bytes.

use alloc::vec::Vec;

use instar_disk::Fault;
use instar_disk::fault::partitions as found;
use instar_disk::partitions::{Partition, PartitionKind};

use crate::raw::EXTENDED;

/// One finding for each partition that starts before another one ends. What holds logical partitions is not one of them.
pub(crate) fn overlaps(partitions: &[Partition]) -> Vec<Fault> {
    let mut sorted: Vec<&Partition> = partitions
        .iter()
        .filter(|partition| partition.fault.is_none() && !holds_others(partition))
        .collect();
    sorted.sort_by_key(|partition| (partition.start, partition.number));
    let mut findings = Vec::new();
    let mut longest: Option<&Partition> = None;
    for partition in sorted {
        if let Some(before) = longest
            && partition.start < end(before)
        {
            let pair = [before.number.into(), partition.number.into()];
            findings.push(Fault::new(found::OVERLAP).with(pair));
        }
        if longest.is_none_or(|before| end(partition) > end(before)) {
            longest = Some(partition);
        }
    }
    findings
}

fn holds_others(partition: &Partition) -> bool {
    matches!(&partition.kind, PartitionKind::Mbr { type_id, .. } if EXTENDED.contains(type_id))
}

const fn end(partition: &Partition) -> u64 {
    partition.start.saturating_add(partition.size)
}
