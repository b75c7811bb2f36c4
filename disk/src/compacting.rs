//! Less space for the same disk.

use instar_abi::job::Compact;

use crate::Fetch;

/// What an image is to give up, and what it takes to find it.
pub struct Compacting<'a> {
    /// What is wanted.
    pub wanted: Compact,
    /// Brings bytes that stand in no file as they are.
    pub fetch: &'a mut Fetch<'a>,
}
