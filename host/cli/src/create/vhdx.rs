//! VHDX: what its options mean.

use instar_abi::job::VhdxCreate;

use super::Settings;

const MIB: u64 = 1 << 20;
/// Largest block: spec.
const LARGEST_BLOCK: u64 = 256 * MIB;

pub(super) fn create(settings: &Settings) -> Result<VhdxCreate, Vec<u8>> {
    settings.protocol_preallocation()?;
    let fixed = settings.is_fixed()?;
    let log_size = settings.size("log_size").unwrap_or(MIB);
    if log_size >= 1 << 32 {
        return Err(b"Log size must be smaller than 4 GB".to_vec());
    }
    let block_size = settings.size("block_size").unwrap_or(0);
    let rounded = block_size
        .checked_next_multiple_of(MIB)
        .unwrap_or(LARGEST_BLOCK)
        .min(LARGEST_BLOCK);
    if rounded != 0 && !rounded.is_power_of_two() {
        return Err(b"Block size must be a power of two".to_vec());
    }
    Ok(VhdxCreate {
        fixed,
        block_size,
        log_size,
        block_state_zero: settings.flag("block_state_zero").unwrap_or(true),
    })
}
