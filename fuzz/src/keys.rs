//! What deriving a key of a LUKS header would cost.
//!
//! A header may ask for half a minute of work, which the program grants. A search that waits for it finds nothing else.

use instar_testkit::Content;

/// Iterations of one slot. Ours: less than a millisecond.
pub(crate) const ITERATIONS: u32 = 1000;

/// Where the iterations of the digest and of the eight slots of version 1 stand.
pub(crate) const FIELDS: [u64; 9] = [164, 212, 260, 308, 356, 404, 452, 500, 548];

/// Whether keys of this header can be tried: it is of version 1 and every count is small. The second version has functions that take
/// memory, too, and none of its images is unlocked here.
#[must_use]
pub(crate) fn are_cheap(header: &Content) -> bool {
    let count = |at: &u64| {
        let mut field = [0; 4];
        header.read(*at, &mut field);
        u32::from_be_bytes(field)
    };
    let mut version = [0; 2];
    header.read(6, &mut version);
    version == [0, 1] && FIELDS.iter().all(|at| count(at) <= ITERATIONS)
}
