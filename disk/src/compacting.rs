//! Less space for the same disk.

use instar_abi::job::Compact;

use crate::Fetch;

/// What an image is to give up, and what it takes to find it.
pub struct Compacting<'a> {
    /// What is wanted.
    pub wanted: Compact,
    /// Bytes that are moved between two flushes at least, where there are so many: [`ROUND`], but for tests.
    pub round: u64,
    /// Brings bytes that stand in no file as they are.
    pub fetch: &'a mut Fetch<'a>,
}

/// Bytes that are moved between two flushes at least. Ours: a flush costs next to nothing beside them.
pub const ROUND: u64 = 256 << 20;
