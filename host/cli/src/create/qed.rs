//! QED: what its options mean, and the reference tool's words when they mean nothing.

use instar_abi::ImageText;
use instar_abi::job::QedCreate;

use super::{Settings, not_accepted};
use crate::value::driver;

/// Cluster sizes that the format allows: spec.
const CLUSTER: std::ops::RangeInclusive<u64> = 4096..=64 << 20;
/// Clusters of a table that the format allows: spec.
const TABLE: std::ops::RangeInclusive<u64> = 1..=16;
/// Longest name of a backing file that the reference tool reads.
const NAME_BYTES: usize = 4095;
/// Bytes in front of the name.
const HEADER_BYTES: usize = 64;

pub(super) fn create(settings: &Settings) -> Result<QedCreate, Vec<u8>> {
    let backing_format = settings.text("backing_fmt");
    if let Some(name) = backing_format.filter(|name| !driver::is_driver(name)) {
        return Err(not_accepted("backing-fmt", name));
    }
    settings.protocol_preallocation()?;
    let usual = QedCreate::default();
    let cluster_size = settings.size("cluster_size").unwrap_or(usual.cluster_size);
    if !cluster_size.is_power_of_two() || !CLUSTER.contains(&cluster_size) {
        return Err(b"QED cluster size must be within range [4096, 67108864] and power of 2".to_vec());
    }
    let table_size = settings.size("table_size").unwrap_or(usual.table_size);
    if !table_size.is_power_of_two() || !TABLE.contains(&table_size) {
        return Err(b"QED table size must be within range [1, 16] and power of 2".to_vec());
    }
    if table_size == 1 {
        return Err(b"qemu-img refuses to open images with table_size=1; use 2, 4, 8 or 16".to_vec());
    }
    let backing_file = settings.text("backing_file");
    let room = usize::try_from(cluster_size).unwrap_or(usize::MAX) - HEADER_BYTES;
    if backing_file.is_some_and(|name| name.len() > NAME_BYTES.min(room)) {
        return Err(b"Backing file name too long".to_vec());
    }
    Ok(QedCreate {
        cluster_size,
        table_size,
        backing_file: backing_file.map(ImageText::new),
        backing_raw: backing_format == Some(b"raw"),
    })
}
