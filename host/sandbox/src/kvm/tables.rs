//! The processor's own tables: page tables, descriptors, interrupt gates, task states.
//!
//! They lie in a memory slot of their own. The guest's page tables map the slot for ring 0 only, so that the processor
//! can deliver an exception, and of the page tables themselves nothing is mapped at all.
//!
//! ```text
//!  page  0      PML4
//!        1      PDPT
//!        2, 3   page directories of 0..1 GiB and 1..2 GiB
//!        4..=8  page tables of the layout's first 10 MiB: image, stacks, control
//!        9      page table of this slot
//!        10     GDT, IDT               ring 0, read
//!        11     exception stubs        ring 0, execute
//!        12 + n task state of lane n, its I/O bitmap, and at the end its exception stack
//! ```

use instar_abi::layout::{BASE, DOORBELL_PORT, HEAP, PAGE};

use crate::image::Access;
use crate::plan::Region;

/// Where the slot lies, physical and linear alike: above the largest guest memory.
pub(super) const SYSTEM: u64 = 0x7000_0000;
/// Port on which a stub reports; closed to ring 3 by the I/O bitmap.
pub(super) const FAULT_PORT: u8 = 0xf4;
/// The GDT's entries, as selectors.
pub(super) const USER_DATA: u16 = 3 << 3 | 3;
pub(super) const USER_CODE: u16 = 4 << 3 | 3;
const KERNEL_CODE: u16 = 1 << 3;

pub(super) const GDT: u64 = SYSTEM + 10 * PAGE;
pub(super) const GDT_LIMIT: u16 = 5 * 8 - 1;
pub(super) const IDT: u64 = GDT + 1024;
pub(super) const IDT_LIMIT: u16 = 32 * 16 - 1;
const STUBS: u64 = SYSTEM + 11 * PAGE;
const STUB_BYTES: usize = 16;
const TASKS: u64 = SYSTEM + 12 * PAGE;
/// Of the task state and its bitmap, less one.
pub(super) const TASK_LIMIT: u32 = 104 + (DOORBELL_PORT as u32 / 8 + 1);

/// Bytes of the slot.
pub(super) const fn bytes(lanes: u32) -> u64 {
    TASKS - SYSTEM + PAGE * lanes as u64
}

/// Physical address of the top page table.
pub(super) const ROOT: u64 = SYSTEM;

/// The task state of a lane.
pub(super) const fn task(lane: u32) -> u64 {
    TASKS + PAGE * lane as u64
}

/// The record that a stub leaves on the exception stack of a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    /// The faulting address (CR2).
    pub(super) address: u64,
    pub(super) vector: u64,
    pub(super) instruction: u64,
}

/// Bytes of a frame: CR2, vector, error code, RIP, CS, RFLAGS, RSP, SS.
pub(super) const FRAME_BYTES: u64 = 8 * 8;

impl Frame {
    /// Offset of a lane's frame in the slot.
    pub(super) const fn offset(lane: u32) -> u64 {
        task(lane) - SYSTEM + PAGE - FRAME_BYTES
    }

    pub(super) fn parse(bytes: [u8; FRAME_BYTES as usize]) -> Self {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        let [address, vector, _, instruction, ..] = words;
        Self {
            address,
            vector,
            instruction,
        }
    }
}

/// The content of the slot.
pub(super) fn build(regions: &[Region], lanes: u32) -> Vec<u8> {
    let mut slot = Slot(vec![0; usize::try_from(bytes(lanes)).unwrap_or(0)]);
    slot.page_tables(regions, lanes);
    slot.descriptors();
    slot.stubs();
    for lane in 0..lanes {
        slot.task(lane);
    }
    slot.0
}

struct Slot(Vec<u8>);

impl Slot {
    fn put(&mut self, at: u64, bytes: &[u8]) {
        let place = usize::try_from(at - SYSTEM)
            .ok()
            .and_then(|at| self.0.get_mut(at..)?.get_mut(..bytes.len()));
        if let Some(place) = place {
            place.copy_from_slice(bytes);
        }
    }

    /// Entry `index` of the page table on page `table`.
    fn entry(&mut self, table: u64, index: u64, value: u64) {
        self.put(SYSTEM + table * PAGE + index * 8, &value.to_le_bytes());
    }

    fn page_tables(&mut self, regions: &[Region], lanes: u32) {
        let table = |page: u64| (SYSTEM + page * PAGE) | PRESENT | WRITE | ACCESSED;
        self.entry(0, 0, table(1) | USER);
        self.entry(1, 0, table(2) | USER);
        self.entry(1, 1, table(3) | USER);
        for small in 0..SMALL_TABLES {
            self.entry(2, BASE / LARGE + small, table(4 + small) | USER);
        }
        self.entry(3, SYSTEM % GIB / LARGE, table(9));
        for region in regions {
            let flags = PRESENT | USER | ACCESSED | access_flags(region.access);
            let large = region.start >= HEAP;
            let step = if large { LARGE } else { PAGE };
            let mut address = region.start;
            while address < region.end() {
                if large {
                    let directory = 2 + address / GIB;
                    self.entry(directory, address % GIB / LARGE, address | flags | LARGE_PAGE);
                } else {
                    let small = (address - BASE) / LARGE;
                    self.entry(4 + small, address % LARGE / PAGE, address | flags);
                }
                address += step;
            }
        }
        for page in 10..12 + u64::from(lanes) {
            let flags = match page {
                10 => NO_EXECUTE,
                11 => 0,
                _ => WRITE | DIRTY | NO_EXECUTE,
            };
            let place = SYSTEM + page * PAGE;
            self.entry(9, place % LARGE / PAGE, place | PRESENT | ACCESSED | flags);
        }
    }

    fn descriptors(&mut self) {
        // Null, ring 0 code and data, ring 3 data and code: flat, 64 bits, already accessed.
        let descriptors: [u64; 5] = [
            0,
            0x00af_9b00_0000_ffff,
            0x00cf_9300_0000_ffff,
            0x00cf_f300_0000_ffff,
            0x00af_fb00_0000_ffff,
        ];
        for (place, descriptor) in (GDT..).step_by(8).zip(descriptors) {
            self.put(place, &descriptor.to_le_bytes());
        }
        for (vector, gate) in (0..32_u64).zip((IDT..).step_by(16)) {
            let stub = STUBS + vector * STUB_BYTES as u64;
            let interrupt_gate = 0x8e00_u64 << 32 | u64::from(KERNEL_CODE) << 16;
            let low = interrupt_gate | stub & 0xffff | (stub >> 16 & 0xffff) << 48;
            self.put(gate, &low.to_le_bytes());
            self.put(gate + 8, &(stub >> 32).to_le_bytes());
        }
    }

    fn stubs(&mut self) {
        const PUSH: u8 = 0x6a;
        const JUMP: u8 = 0xe9;
        let common = STUBS + 32 * STUB_BYTES as u64;
        for vector in 0..32_u8 {
            let stub = STUBS + u64::from(vector) * STUB_BYTES as u64;
            let mut code = Vec::with_capacity(STUB_BYTES);
            if !pushes_error_code(vector) {
                code.extend([PUSH, 0]);
            }
            code.extend([PUSH, vector, JUMP]);
            let next = stub + code.len() as u64 + 4;
            code.extend(u32::try_from(common - next).unwrap_or(0).to_le_bytes());
            self.put(stub, &code);
        }
        // mov rax, cr2; push rax; out FAULT_PORT, al; hlt; and once more, should anything go on from there.
        let code = [0x0f, 0x20, 0xd0, 0x50, 0xe6, FAULT_PORT, 0xf4, 0xeb, 0xfb];
        self.put(common, &code);
    }

    fn task(&mut self, lane: u32) {
        let task = task(lane);
        let stack = task + PAGE;
        self.put(task + 4, &stack.to_le_bytes());
        self.put(task + 102, &104_u16.to_le_bytes());
        // A set bit closes a port. A 4-byte write needs four clear ones.
        let doorbell = DOORBELL_PORT / 8;
        for byte in 0..=u64::from(doorbell) + 1 {
            self.put(task + 104 + byte, &[0xff]);
        }
        self.put(task + 104 + u64::from(doorbell), &[0xf0]);
    }
}

fn access_flags(access: Access) -> u64 {
    match access {
        Access::Read => NO_EXECUTE,
        Access::Write => WRITE | DIRTY | NO_EXECUTE,
        Access::Execute => 0,
    }
}

const fn pushes_error_code(vector: u8) -> bool {
    matches!(vector, 8 | 10..=14 | 17 | 21 | 29 | 30)
}

const PRESENT: u64 = 1;
const WRITE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE_PAGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;

const LARGE: u64 = 2 << 20;
const GIB: u64 = 1 << 30;
/// Page tables with small pages: the layout below the heap.
const SMALL_TABLES: u64 = (HEAP - BASE) / LARGE;

const _: () = {
    assert!(SMALL_TABLES == 5 && BASE.is_multiple_of(LARGE) && HEAP.is_multiple_of(LARGE));
    assert!(BASE < GIB && SYSTEM >= BASE + instar_abi::layout::MAX_BYTES && SYSTEM < 2 * GIB);
    // The bitmap's last byte but one must open exactly the doorbell.
    assert!(DOORBELL_PORT.is_multiple_of(8));
    assert!(TASK_LIMIT as u64 + FRAME_BYTES < PAGE / 2);
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Guest;
    use crate::plan::plan;
    use instar_abi::layout::{DEFAULT_BYTES, MAX_BYTES, STACKS};

    /// Looks a linear address up in the tables: physical address, and flags of the whole walk.
    fn walk(slot: &[u8], address: u64) -> Option<(u64, u64)> {
        let mut table = ROOT;
        let mut user = USER;
        let mut write = WRITE;
        for shift in [39, 30, 21, 12] {
            let at = usize::try_from(table - SYSTEM + (address >> shift & 511) * 8).unwrap();
            let entry = u64::from_le_bytes(slot[at..at + 8].try_into().unwrap());
            if entry & PRESENT == 0 {
                return None;
            }
            user &= entry;
            write &= entry;
            let frame = entry & 0x000f_ffff_ffff_f000;
            if shift == 12 || entry & LARGE_PAGE != 0 {
                let inside = address & ((1 << shift) - 1);
                return Some((frame + inside, user | write | entry & NO_EXECUTE));
            }
            table = frame;
        }
        None
    }

    #[test]
    fn guest_pages_are_mapped_as_planned_and_none_is_writable_and_executable() {
        let image = Guest::embedded().parse().unwrap();
        for memory in [DEFAULT_BYTES, MAX_BYTES] {
            let regions = plan(&image, 2, memory);
            let slot = build(&regions, 2);
            for address in (0..2 * GIB).step_by(4096) {
                let Some((physical, flags)) = walk(&slot, address) else {
                    assert!(
                        !regions.iter().any(|r| (r.start..r.end()).contains(&address)),
                        "{address:x}"
                    );
                    continue;
                };
                assert_eq!(physical, address);
                assert!(flags & WRITE == 0 || flags & NO_EXECUTE != 0, "{address:x}");
                let region = regions.iter().find(|r| (r.start..r.end()).contains(&address));
                match region {
                    Some(region) => {
                        assert_ne!(flags & USER, 0);
                        assert_eq!(flags & WRITE != 0, region.access == Access::Write);
                        assert_eq!(flags & NO_EXECUTE == 0, region.access == Access::Execute);
                    }
                    // The slot, without its page tables.
                    None => {
                        assert_eq!(flags & USER, 0);
                        assert!((GDT..SYSTEM + bytes(2)).contains(&address), "{address:x}");
                    }
                }
            }
            assert_eq!(walk(&slot, STACKS), None);
            assert_eq!(walk(&slot, 1 << 32), None);
        }
    }

    #[test]
    fn the_bitmap_opens_the_four_ports_of_the_doorbell_and_no_other() {
        let slot = build(&[], 3);
        for lane in 0..3 {
            let start = usize::try_from(task(lane) - SYSTEM).unwrap();
            let limit = usize::try_from(TASK_LIMIT).unwrap();
            let base = usize::from(u16::from_le_bytes(
                slot[start + 102..start + 104].try_into().unwrap(),
            ));
            for port in 0..=0xffff_usize {
                let at = base + port / 8;
                // The processor reads two bytes and refuses when they reach past the limit.
                let open = at < limit && slot[start + at] >> (port % 8) & 1 == 0;
                let doorbell = usize::from(DOORBELL_PORT);
                assert_eq!(open, (doorbell..doorbell + 4).contains(&port), "{port:x}");
            }
        }
    }

    #[test]
    fn every_stub_ends_in_the_common_part() {
        let slot = build(&[], 1);
        let stubs = usize::try_from(STUBS - SYSTEM).unwrap();
        for vector in 0..32_u8 {
            let stub = stubs + usize::from(vector) * STUB_BYTES;
            let with_code = pushes_error_code(vector);
            let at = if with_code { stub } else { stub + 2 };
            assert_eq!(slot[at..at + 3], [0x6a, vector, 0xe9]);
            let distance = u32::from_le_bytes(slot[at + 3..at + 7].try_into().unwrap());
            assert_eq!(at + 7 + distance as usize, stubs + 512);
        }
    }
}
