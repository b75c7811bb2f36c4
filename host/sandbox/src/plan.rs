//! What each page of guest memory may be used for: one plan, carried out by page tables under KVM and by mprotect in
//! the process.
//!
//! What the plan does not name is not there: guard pages, the stacks of lanes that do not run, the rest of the image's
//! place.

use instar_abi::layout::{
    BASE, BootInfo, CONTROL, GUARD_BYTES, HEAP, JOB, LAST_WORDS, LAST_WORDS_BYTES, MAILBOX_STRIDE, MAILBOXES,
    PAGE, SECRETS, STACK_STRIDE, STACKS,
};

use crate::image::{Access, Image};

/// Pages of guest memory with one kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Region {
    /// Its first guest address.
    pub(crate) start: u64,
    /// Bytes, whole pages.
    pub(crate) length: u64,
    pub(crate) access: Access,
}

impl Region {
    pub(crate) const fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

/// The regions of a run, ascending and apart.
pub(crate) fn plan(image: &Image<'_>, lanes: u32, memory_bytes: u64) -> Vec<Region> {
    let region = |start: u64, length: u64, access| Region {
        start,
        length,
        access,
    };
    let mut regions: Vec<Region> = image
        .segments
        .iter()
        .map(|segment| region(segment.address, segment.length, segment.access))
        .collect();
    for lane in 0..u64::from(lanes) {
        let guard = STACKS.saturating_add(STACK_STRIDE.saturating_mul(lane));
        regions.push(region(
            guard.saturating_add(GUARD_BYTES),
            STACK_STRIDE.saturating_sub(GUARD_BYTES),
            Access::Write,
        ));
    }
    const { assert!(size_of::<BootInfo>() as u64 <= PAGE) };
    regions.push(region(CONTROL, PAGE, Access::Read));
    let mailboxes = MAILBOX_STRIDE.saturating_mul(u64::from(lanes));
    regions.push(region(MAILBOXES, mailboxes, Access::Write));
    regions.push(region(LAST_WORDS, LAST_WORDS_BYTES, Access::Write));
    regions.push(region(JOB, SECRETS.saturating_sub(JOB), Access::Read));
    // The guest wipes it.
    regions.push(region(SECRETS, HEAP.saturating_sub(SECRETS), Access::Write));
    let end = BASE.saturating_add(memory_bytes);
    regions.push(region(HEAP, end.saturating_sub(HEAP), Access::Write));
    regions
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Guest;
    use instar_abi::layout::{BACKEND, DEFAULT_BYTES, IMAGE_BYTES};
    use instar_abi::limits::LANES;

    #[test]
    fn regions_ascend_on_whole_pages_and_leave_the_guards_out() {
        let image = Guest::embedded().parse().unwrap();
        for lanes in [1, 2, LANES as u32] {
            let regions = plan(&image, lanes, DEFAULT_BYTES);
            let mut free = BASE;
            for region in &regions {
                assert!(region.start >= free && region.length > 0, "{region:x?}");
                assert!(region.start.is_multiple_of(PAGE) && region.length.is_multiple_of(PAGE));
                free = region.end();
            }
            assert_eq!(free, BASE + DEFAULT_BYTES);
            let mapped = |address: u64| regions.iter().any(|r| (r.start..r.end()).contains(&address));
            for lane in 0..LANES as u64 {
                assert!(!mapped(STACKS + lane * STACK_STRIDE));
                assert_eq!(
                    mapped(STACKS + (lane + 1) * STACK_STRIDE - 1),
                    lane < u64::from(lanes)
                );
            }
            assert!(!mapped(BACKEND) && !mapped(JOB - 1) && !mapped(BASE + IMAGE_BYTES - 1));
        }
    }
}
