//! The MBR: four partitions, one of which may hold more.

use alloc::vec::Vec;

use instar_disk::fault::partitions as found;
use instar_disk::partitions::{Partition, PartitionKind};
use instar_disk::{Fault, Result};
use zerocopy::FromBytes;

use crate::Disk;
use crate::raw::{ACTIVE, EXTENDED, MAGIC, PROTECTIVE, RawMbr, RawSlot};

/// Bytes of an MBR, whatever a sector has.
pub(crate) const BYTES: u64 = 512;
/// The sector in which the partition of a protective MBR starts: that of the GPT's header.
const AFTER_MBR: u32 = 1;
/// Where the boot sector of a file system that Windows knows has the bytes of a sector.
const SECTOR_FIELD: usize = 11;

/// An MBR.
#[derive(Debug)]
pub(crate) struct Mbr {
    raw: RawMbr,
}

impl Mbr {
    /// That of the disk, if it has one.
    pub(crate) fn read(disk: &mut dyn Disk) -> Result<Option<Self>> {
        let mut bytes = [0; 512];
        if disk.size() < BYTES {
            return Ok(None);
        }
        disk.read(0, &mut bytes)?;
        let found = table(&bytes).map(|raw| Self { raw });
        Ok(found.filter(|mbr| !mbr.is_boot_sector()))
    }

    /// The signature of the disk.
    pub(crate) fn disk(&self) -> u32 {
        self.raw.disk_id.get()
    }

    /// Whether it says that a GPT follows.
    pub(crate) fn is_protective(&self) -> bool {
        let slots = self.raw.slots.iter();
        slots
            .filter(|slot| slot.type_id == PROTECTIVE)
            .any(|slot| slot.start.get() == AFTER_MBR)
    }

    /// Its partitions in the order of their slots, with the numbers that Linux gives them.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, &RawSlot)> {
        (1..).zip(&self.raw.slots).filter(|(_, slot)| is_used(slot))
    }

    /// Its partitions beside the one that stands for a GPT.
    pub(crate) fn unprotected(&self, sector_size: u32, disk_size: u64) -> Vec<Partition> {
        self.slots()
            .filter(|(_, slot)| slot.type_id != PROTECTIVE)
            .map(|(number, slot)| partition(number, slot, 0, sector_size, disk_size))
            .collect()
    }

    /// Whether it is the boot sector of a file system without partitions: a program, and no table behind it.
    fn is_boot_sector(&self) -> bool {
        let code = &self.raw.boot_code;
        let jumps = matches!(code.first(), Some(0xeb | 0xe9));
        let sector = code.get(SECTOR_FIELD..).and_then(|field| field.first_chunk());
        let sector = sector.map_or(0, |bytes| u16::from_le_bytes(*bytes));
        let sized = (512..=4096).contains(&sector) && sector.is_power_of_two();
        jumps && sized && self.slots().next().is_none()
    }
}

/// The table in a sector, if it is one: each partition is one to boot from or not.
pub(crate) fn table(bytes: &[u8]) -> Option<RawMbr> {
    let (raw, _) = RawMbr::read_from_prefix(bytes).ok()?;
    let marked = |slot: &RawSlot| matches!(slot.status, 0 | ACTIVE);
    (raw.magic == MAGIC && raw.slots.iter().all(marked)).then_some(raw)
}

/// Whether a slot has a partition.
pub(crate) fn is_used(slot: &RawSlot) -> bool {
    slot.type_id != 0 && slot.sectors.get() != 0
}

/// Whether logical partitions are inside.
pub(crate) fn is_extended(slot: &RawSlot) -> bool {
    EXTENDED.contains(&slot.type_id)
}

/// The partition in a slot that counts from sector `base`.
pub(crate) fn partition(
    number: u32,
    slot: &RawSlot,
    base: u64,
    sector_size: u32,
    disk_size: u64,
) -> Partition {
    let sector = u64::from(sector_size);
    let first = base.saturating_add(slot.start.get().into());
    let start = first.saturating_mul(sector);
    let size = u64::from(slot.sectors.get()).saturating_mul(sector);
    let end = start.saturating_add(size);
    let beyond = || Fault::new(found::BEYOND_DISK).with([number.into(), start, end, disk_size]);
    Partition {
        number,
        start,
        size,
        kind: PartitionKind::Mbr {
            type_id: slot.type_id,
            is_active: slot.status == ACTIVE,
        },
        fault: (end > disk_size).then(beyond),
    }
}
