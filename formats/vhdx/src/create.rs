//! Making a new image.

use alloc::boxed::Box;

use instar_disk::fault::vhdx as faults;
use instar_disk::job::{Seed, VhdxCreate};
use instar_disk::{Fault, File, FileKind, Identifiers, Preallocate, Result, Target, ZeroHow, align_up};

use crate::layout::{Chunks, DISK_MAX, HEADER_SECTION, MIB};
use crate::plan::Plan;
use crate::target;

/// Bytes of a sector of a new disk, as qemu-img makes them.
const SECTOR_SIZE: u64 = 512;

/// Bytes of a block at most, by the specification.
const BLOCK_MAX: u64 = 256 * MIB;

/// Between the BAT's end and the data: the metadata, and room that qemu-img leaves.
const BEFORE_DATA: u64 = 5 * MIB;

/// Makes a VHDX of `size` bytes, rounded up to 512. Nothing in the file says that it is one until
/// [`finish`](Target::finish).
///
/// # Errors
/// `SIZE`, `BLOCK_SIZE`, `LOG_SIZE*` for what the format cannot be; else the host's.
pub fn create<'h>(
    file: File<'h>,
    options: &VhdxCreate,
    size: u64,
    seed: &Seed,
) -> Result<Box<dyn Target + 'h>> {
    let plan = plan(options, size, &mut Identifiers::new(seed, b"vhdx"))?;
    if file.kind() == FileKind::Regular {
        file.resize(0, Preallocate::Off)?;
    }
    let file = file.emptied();
    if options.fixed && file.kind() == FileKind::Fresh {
        file.resize(plan.fixed_end(), Preallocate::Off)?;
    } else if options.fixed {
        // A device holds somebody's data, and all blocks have places in it at once.
        let data = plan.fixed_end().saturating_sub(plan.data_offset);
        file.zero(plan.data_offset, data, ZeroHow::MayUnmap)?;
    }
    Ok(target::making(file, plan))
}

fn plan(options: &VhdxCreate, size: u64, identifiers: &mut Identifiers) -> Result<Plan> {
    let size = align_up(size, 512)?;
    if size > DISK_MAX {
        return Err(Fault::new(faults::SIZE));
    }
    let log_length = align_up(options.log_size, MIB)?;
    if log_length == 0 {
        return Err(Fault::new(faults::LOG_SIZE));
    }
    if log_length > u64::from(u32::MAX) {
        return Err(Fault::new(faults::LOG_SIZE_MAX));
    }
    let block_size = match options.block_size {
        0 => usual_block_size(size),
        wanted => align_up(wanted, MIB)?.min(BLOCK_MAX),
    };
    if !block_size.is_power_of_two() {
        return Err(Fault::new(faults::BLOCK_SIZE));
    }
    let chunks = Chunks::new(block_size, SECTOR_SIZE);
    let bat_offset = HEADER_SECTION.saturating_add(log_length);
    let bat_length = align_up(table_entries(&chunks, size).saturating_mul(8), MIB)?;
    let metadata_offset = bat_offset.saturating_add(bat_length);
    Ok(Plan {
        size,
        chunks,
        sector_size: SECTOR_SIZE,
        fixed: options.fixed,
        absent_is_zero: options.block_state_zero,
        log_length,
        bat_offset,
        bat_length,
        metadata_offset,
        data_offset: metadata_offset.saturating_add(BEFORE_DATA),
        sequence: identifiers.next_u64() >> 32,
        file_write_guid: identifiers.guid(),
        data_write_guid: identifiers.guid(),
        page_83: identifiers.guid(),
    })
}

/// Block sizes by disk size, as qemu-img chooses them.
const fn usual_block_size(size: u64) -> u64 {
    const GIB: u64 = 1 << 30;
    match size {
        size if size > 32 << 40 => 64 * MIB,
        size if size > 100 * GIB => 32 * MIB,
        size if size > GIB => 16 * MIB,
        _ => 8 * MIB,
    }
}

/// Entries for which a new BAT has room. For a disk of no size qemu-img counts the entry before the first one, modulo
/// 2^32, and refuses an image whose table has not room for as many: so that it can read ours, they get it.
fn table_entries(chunks: &Chunks, size: u64) -> u64 {
    match chunks.entries(size, false) {
        0 => u64::from(u32::MAX).checked_div(chunks.ratio).unwrap_or(0),
        entries => entries,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_sizes_grow_with_the_disk() {
        let sizes = [
            0,
            1 << 30,
            (1 << 30) + 1,
            100 << 30,
            (100 << 30) + 1,
            32 << 40,
            (32 << 40) + 1,
            64 << 40,
        ];
        let wanted = [8, 8, 16, 16, 32, 32, 64, 64].map(|mib| mib << 20);
        assert_eq!(sizes.map(usual_block_size), wanted);
    }
}
