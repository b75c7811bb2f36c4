//! Making a new image.

use alloc::boxed::Box;

use instar_disk::fault::parallels as faults;
use instar_disk::job::ParallelsCreate;
use instar_disk::{Fault, File, FileKind, Preallocate, Result, Target, align_up, fault};
use zerocopy::FromZeros;

use crate::header::Header;
use crate::raw::{HEADER_BYTES, MAGIC, RawHeader, SECTOR, VERSION, entry, limit};
use crate::target::making;

/// Makes a Parallels disk of `size` bytes, rounded up to 512. Nothing in the file says that it is one until
/// [`finish`](Target::finish).
///
/// # Errors
/// `CREATE_CLUSTER` and `CREATE_SIZE` for what the reference tool does not make, what it says of images that it makes and cannot open; else the host's.
pub fn create<'h>(file: File<'h>, options: &ParallelsCreate, size: u64) -> Result<Box<dyn Target + 'h>> {
    let (size, cluster) = (align_up(size, SECTOR)?, align_up(options.cluster_size, SECTOR)?);
    if cluster >= CLUSTER_MAX {
        return Err(Fault::new(faults::CREATE_CLUSTER));
    }
    if size >= cluster.saturating_mul(CLUSTERS_MAX) {
        return Err(Fault::new(faults::CREATE_SIZE));
    }
    if cluster.div_ceil(SECTOR) > limit::TRACKS.into() {
        return Err(Fault::new(faults::CLUSTER_LARGE));
    }
    let entries = size.div_ceil(cluster);
    if entries > limit::ENTRIES {
        return Err(Fault::new(faults::CATALOG_LARGE));
    }
    let bytes = HEADER_BYTES.saturating_add(entries.saturating_mul(entry::BYTES));
    let data = begins_at(bytes.div_ceil(SECTOR), cluster / SECTOR).saturating_mul(SECTOR);
    let mut raw = RawHeader::new_zeroed();
    raw.magic = MAGIC;
    raw.version.set(VERSION);
    raw.heads.set(narrow(HEADS)?);
    let sectors = size / SECTOR;
    // It wraps round, and nobody reads it.
    let cylinders = (sectors / HEADS / TRACK_SECTORS) & u64::from(u32::MAX);
    raw.cylinders.set(narrow(cylinders)?);
    raw.tracks.set(narrow(cluster / SECTOR)?);
    raw.bat_entries.set(narrow(entries)?);
    raw.nb_sectors.set(sectors);
    raw.data_off.set(narrow(data / SECTOR)?);
    let header = Header::parse(&raw, data)?;
    if file.kind() == FileKind::Regular {
        file.resize(0, Preallocate::Off)?;
    }
    Ok(making(file.emptied(), header, raw))
}

/// Where clusters of so many sectors begin, sectors, behind the first `sectors`. The reference tool rounds up in a way that is right for powers of two
/// only, and condemns images in which they begin before what it arrives at.
const fn begins_at(sectors: u64, cluster: u64) -> u64 {
    let asked = sectors.saturating_add(cluster).saturating_sub(1) & cluster.wrapping_neg();
    let least = if asked > sectors { asked } else { sectors };
    least.next_multiple_of(cluster)
}

fn narrow(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Fault::new(fault::core::OVERFLOW).with([value]))
}

/// Bytes of a cluster: below this, reference tool.
const CLUSTER_MAX: u64 = u64::MAX / 2 / CLUSTERS_MAX;
/// Clusters of a disk: below this, reference tool.
const CLUSTERS_MAX: u64 = 1 << 32;
/// A geometry that nobody reads.
const HEADS: u64 = 16;
const TRACK_SECTORS: u64 = 32;
