//! Which of the tables of a disk counts, and whether the others agree with it.

use alloc::vec::Vec;

use instar_disk::fault::partitions as found;
use instar_disk::partitions::{Label, Partition, PartitionChoice, PartitionTable, TableChoice};
use instar_disk::{Fault, FaultCode, Result};

use crate::Disk;
use crate::chain::Chain;
use crate::gpt::Gpt;
use crate::mbr::{self, Mbr};
use crate::overlap::overlaps;

/// Sizes of a sector, as disks have them.
const SECTOR_SIZES: [u32; 2] = [512, 4096];
/// The size of a sector where nothing says it.
const USUAL: u32 = 512;
/// Where a primary GPT stands.
const PRIMARY: u64 = 1;
/// The number of the first logical partition in an MBR.
pub const FIRST_LOGICAL: u32 = 5;

/// The partition table of `disk`: the one that `choice` says.
///
/// # Errors
/// The disk cannot be read, or has no such table.
pub fn read(disk: &mut dyn Disk, choice: TableChoice) -> Result<PartitionTable> {
    let mbr = Mbr::read(disk)?;
    if choice == TableChoice::Mbr {
        let mbr = mbr.ok_or_else(|| Fault::new(found::NO_MBR))?;
        return of_mbr(disk, &mbr);
    }
    let Both { primary, backup } = Both::read(disk)?;
    let missing = |code: FaultCode| move || Fault::new(code);
    match choice {
        TableChoice::Gpt => {
            let gpt = primary.or(backup).ok_or_else(missing(found::NO_GPT))?;
            Ok(of_gpt(disk, gpt))
        }
        TableChoice::Backup => {
            let gpt = backup.ok_or_else(missing(found::NO_BACKUP))?;
            Ok(of_gpt(disk, gpt))
        }
        TableChoice::Agreed | TableChoice::Mbr => agreed(disk, mbr, Both { primary, backup }),
    }
}

/// Where the partition that `choice` says is on the disk of `table`: its first byte, and its bytes.
///
/// # Errors
/// There is none, or it is not inside the disk, or other programs would see another one.
pub fn find(table: &PartitionTable, choice: PartitionChoice) -> Result<(u64, u64)> {
    if let Some(why) = &table.disputed {
        return Err(why.clone());
    }
    if table.label.is_none() {
        return Err(Fault::new(found::NO_TABLE));
    }
    let partitions = &table.partitions;
    let wanted = partitions
        .iter()
        .find(|partition| partition.number == choice.number);
    let Some(partition) = wanted else {
        let count = u64::try_from(partitions.len()).unwrap_or(u64::MAX);
        return Err(Fault::new(found::NO_PARTITION).with([choice.number.into(), count]));
    };
    match &partition.fault {
        Some(fault) => Err(fault.clone()),
        None => Ok((partition.start, partition.size)),
    }
}

/// The GPTs of a disk, as far as they are sound.
struct Both {
    primary: Option<Gpt>,
    backup: Option<Gpt>,
}

impl Both {
    fn read(disk: &mut dyn Disk) -> Result<Self> {
        let primary = only(disk, |_| PRIMARY)?;
        let backup = match &primary {
            Some(gpt) if gpt.header.alternate == PRIMARY => None,
            Some(gpt) => Gpt::read(disk, gpt.header.sector_size, gpt.header.alternate)?,
            None => only(disk, |last| last)?,
        };
        Ok(Self { primary, backup })
    }
}

/// The GPT in the sector that `at` makes of the last one, whatever the size of a sector.
fn only(disk: &mut dyn Disk, at: fn(u64) -> u64) -> Result<Option<Gpt>> {
    let mut only = None;
    for sector_size in SECTOR_SIZES {
        let last = last_sector(disk.size(), sector_size);
        let found = Gpt::read(disk, sector_size, at(last))?;
        if only.is_some() && found.is_some() {
            return Err(Fault::new(found::TWO_SECTOR_SIZES));
        }
        only = only.or(found);
    }
    Ok(only)
}

fn last_sector(disk_size: u64, sector_size: u32) -> u64 {
    let sectors = disk_size.checked_div(sector_size.into()).unwrap_or(0);
    sectors.saturating_sub(1)
}

/// The table that Linux uses, and what other programs may see.
fn agreed(disk: &mut dyn Disk, mbr: Option<Mbr>, both: Both) -> Result<PartitionTable> {
    let protected = mbr.as_ref().is_some_and(Mbr::is_protective);
    let has_others = mbr.as_ref().is_some_and(|mbr| mbr.slots().next().is_some());
    let mut table = match (both.primary, both.backup) {
        (Some(primary), backup) => with_backup(disk, primary, backup),
        (None, Some(backup)) if protected || !has_others => {
            let mut table = of_gpt(disk, backup);
            let damaged = Fault::new(found::PRIMARY_DAMAGED).with([PRIMARY]);
            table.findings.insert(0, damaged);
            table
        }
        (None, stale) => return without_gpt(disk, mbr, stale),
    };
    let dispute = match &mbr {
        Some(mbr) if protected => hybrid(mbr, &table),
        _ => Some(Fault::new(found::NO_PROTECTIVE)),
    };
    table.disputed = table.disputed.or(dispute);
    Ok(table)
}

/// The table of a disk without a GPT, or with one that only `stale` remains of.
fn without_gpt(disk: &mut dyn Disk, mbr: Option<Mbr>, stale: Option<Gpt>) -> Result<PartitionTable> {
    let Some(mbr) = mbr else {
        return Ok(PartitionTable {
            disk_size: disk.size(),
            label: None,
            partitions: Vec::new(),
            findings: Vec::new(),
            disputed: None,
        });
    };
    let mut table = of_mbr(disk, &mbr)?;
    if mbr.is_protective() {
        table.disputed = Some(Fault::new(found::GPT_DAMAGED));
    }
    let stale = stale.map(|gpt| Fault::new(found::STALE_BACKUP).with([gpt.header.at]));
    table.findings.extend(stale);
    Ok(table)
}

/// What a primary GPT says, and whether its backup agrees.
fn with_backup(disk: &mut dyn Disk, primary: Gpt, backup: Option<Gpt>) -> PartitionTable {
    let at = primary.header.alternate;
    let last = last_sector(disk.size(), primary.header.sector_size);
    let disagree = backup.as_ref().is_some_and(|backup| !primary.agrees_with(backup));
    let mut table = of_gpt(disk, primary);
    match backup {
        None => table.findings.push(Fault::new(found::BACKUP_DAMAGED).with([at])),
        Some(_) if at != last => {
            table
                .findings
                .push(Fault::new(found::BACKUP_NOT_LAST).with([at, last]));
        }
        Some(_) => {}
    }
    table.disputed = disagree.then(|| Fault::new(found::GPT_DISAGREE));
    table
}

/// What is wrong if the MBR of a GPT has partitions that the GPT has not.
fn hybrid(mbr: &Mbr, table: &PartitionTable) -> Option<Fault> {
    let sector_size = match table.label {
        Some(Label::Gpt { sector_size, .. }) => sector_size,
        _ => USUAL,
    };
    let place = |partition: &Partition| (partition.start, partition.size);
    let others = mbr.unprotected(sector_size, table.disk_size);
    let alone = others
        .iter()
        .find(|other| !table.partitions.iter().any(|known| place(known) == place(other)));
    alone.map(|other| Fault::new(found::HYBRID_DISAGREES).with([other.number.into()]))
}

fn of_gpt(disk: &dyn Disk, gpt: Gpt) -> PartitionTable {
    let Gpt {
        header,
        partitions,
        mut findings,
    } = gpt;
    findings.extend(overlaps(&partitions));
    PartitionTable {
        disk_size: disk.size(),
        label: Some(Label::Gpt {
            disk: header.disk,
            sector_size: header.sector_size,
            is_backup: header.at != PRIMARY,
        }),
        partitions,
        findings,
        disputed: None,
    }
}

fn of_mbr(disk: &mut dyn Disk, mbr: &Mbr) -> Result<PartitionTable> {
    let mut partitions: Vec<Partition> = mbr
        .slots()
        .map(|(number, slot)| mbr::partition(number, slot, 0, USUAL, disk.size()))
        .collect();
    let mut chain = Chain::new(USUAL);
    for (_, slot) in mbr.slots().filter(|(_, slot)| mbr::is_extended(slot)) {
        chain.follow(disk, slot, FIRST_LOGICAL)?;
    }
    partitions.append(&mut chain.partitions);
    let mut findings = chain.findings;
    findings.extend(overlaps(&partitions));
    Ok(PartitionTable {
        disk_size: disk.size(),
        label: Some(Label::Mbr {
            disk: mbr.disk(),
            sector_size: USUAL,
        }),
        partitions,
        findings,
        disputed: None,
    })
}
