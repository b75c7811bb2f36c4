//! Any disk, taken for one with partitions: each partition that is shown is the part of the disk that it says, or is refused.

use instar_abi::job::{Bounds, Partitions, Source, Verb};
use instar_abi::partitions::{PartitionChoice, PartitionTable, TableChoice};
use instar_abi::{Format, Report, Slot};

use super::image::same_disk;
use crate::Case;
use crate::jobs::{read, run};
use crate::memory::Memory;

/// Bytes of a partition that is read. Ours: larger ones take too long to be read often.
const USUAL: u64 = 8 << 20;

/// Reads the table of the disk in the case, and one of its partitions.
///
/// # Panics
/// If a partition is not what the table says.
pub fn judge(input: &[u8]) {
    let case = Case::decode(input);
    let mut dice = case.dice();
    let disk = &case.files[0];
    let table = dice.of(&[
        TableChoice::Agreed,
        TableChoice::Agreed,
        TableChoice::Gpt,
        TableChoice::Backup,
        TableChoice::Mbr,
    ]);
    let Some(found) = look(&case, table) else { return };
    let numbers = found.partitions.iter().map(|partition| partition.number);
    assert!(numbers.is_sorted_by(|one, next| one < next), "{found:?}");
    for partition in &found.partitions {
        let end = partition.start.checked_add(partition.size);
        let inside = end.is_some_and(|end| end <= found.disk_size);
        assert!(inside || partition.fault.is_some(), "{partition:?}");
    }
    let number = dice.below(8) as u32;
    let partition = match found.partitions.get(dice.index(found.partitions.len())) {
        Some(partition) if number > 0 => Some(partition),
        _ => found
            .partitions
            .iter()
            .find(|partition| partition.number == number),
    };
    if partition.is_some_and(|partition| partition.size > USUAL && partition.fault.is_none()) {
        return;
    }
    let number = partition.map_or(number, |partition| partition.number);
    let memory = Memory::default();
    let files = [memory.source(disk)];
    let source = Source {
        partition: Some(PartitionChoice { table, number }),
        ..Source::new(Slot(0), Some(Format::Raw))
    };
    let shown = read(&memory, &files, source, Bounds::default());
    let Some(partition) = partition.filter(|partition| partition.fault.is_none() && found.disputed.is_none())
    else {
        assert!(shown.is_err(), "{number} of {found:?}");
        return;
    };
    let shown = shown.unwrap_or_else(|failure| panic!("{failure:?}: {partition:?}"));
    let mut bytes = vec![0; partition.size as usize];
    disk.read(partition.start, &mut bytes);
    let expected = instar_testkit::Content::from(bytes.as_slice());
    assert!(same_disk(&shown, &expected), "{partition:?}");
}

fn look(case: &Case, table: TableChoice) -> Option<PartitionTable> {
    let memory = Memory::default();
    let files = [memory.source(&case.files[0])];
    let job = Partitions {
        source: Source::new(Slot(0), Some(Format::Raw)),
        table,
    };
    let ran = run(&memory, &files, Verb::Partitions(job), Bounds::default());
    ran.end.ok()?;
    let mut tables = ran.reports.into_iter().filter_map(|report| match report {
        Report::Partitions(table) => Some(*table),
        _ => None,
    });
    let only = tables.next().unwrap_or_else(|| panic!("no table is told"));
    assert!(tables.next().is_none(), "two tables are told");
    Some(only)
}
