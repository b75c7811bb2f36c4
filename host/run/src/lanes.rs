//! How many lanes a run is given.

/// Lanes for work that can be shared out: as many as asked for, else one for each CPU.
#[must_use]
pub fn lanes(asked: Option<u64>) -> u32 {
    let cpus = cpus();
    asked.map_or(cpus, bounded).min(cpus)
}

/// Lanes for work past the page cache, which waits for its devices with every request: more of them than there are CPUs can
/// be of use, and one alone never writes while it reads.
#[must_use]
pub fn direct_lanes(asked: Option<u64>) -> u32 {
    asked.map_or(cpus().max(2), bounded)
}

fn cpus() -> u32 {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u64::try_from(cpus).map_or(1, bounded)
}

fn bounded(lanes: u64) -> u32 {
    u32::try_from(lanes).unwrap_or(u32::MAX).clamp(1, MOST)
}

/// [`instar_abi::limits::LANES`], as lanes are counted.
const MOST: u32 = 16;
const _: () = assert!(instar_abi::limits::LANES == 16);
