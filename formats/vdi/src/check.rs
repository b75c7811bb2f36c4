//! Looking the block map through.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::report::Checked;
use instar_disk::{Budget, Check, Fault, File, Findings, Format, Places, Result, fault, to_usize};
use zerocopy::{FromZeros, IntoBytes};

use crate::header::Header;
use crate::raw::{DISCARDED, RawHeader};
use crate::table::BlockMap;

/// Opens a VDI to look it through.
///
/// # Errors
/// As [`crate::open`].
pub fn check<'h>(file: File<'h>) -> Result<Box<dyn Check + 'h>> {
    let mut raw = RawHeader::new_zeroed();
    file.read_padded(0, raw.as_mut_bytes())?;
    let header = Header::parse(&raw).map_err(|fault| fault.in_file(file.slot()))?;
    // The map must be there, as for reading.
    BlockMap::new(file, &header)?;
    Ok(Box::new(Checker {
        file,
        header,
        allocated: raw.blocks_allocated.get(),
    }))
}

struct Checker<'h> {
    file: File<'h>,
    header: Header,
    /// Blocks that have places, as the header says.
    allocated: u32,
}

impl Check for Checker<'_> {
    fn format(&self) -> Format {
        Format::Vdi
    }

    /// One bit a block: 64 MiB for the largest disk.
    fn run(&mut self, findings: &mut Findings<'_>) -> Result<Checked> {
        let blocks = self.header.blocks;
        let mut used = Places::new(blocks.into())?;
        let mut wrong = 0_u64;
        let mut allocated = 0_u32;
        let mut say = |findings: &mut Findings<'_>, fault| {
            wrong = wrong.saturating_add(1);
            findings.say(fault);
        };
        let mut buffer = Vec::new();
        let (mut at, end) = (0, self.header.map_bytes());
        let mut block = 0_u32;
        let mut budget = Budget::new(self.file);
        while at < end {
            budget.spend(PIECE)?;
            buffer.resize(to_usize(end.saturating_sub(at).min(PIECE))?, 0);
            self.file
                .read_exact(self.header.map_offset.saturating_add(at), &mut buffer)?;
            for entry in buffer.as_chunks::<4>().0 {
                let place = u32::from_le_bytes(*entry);
                if place >= blocks && place < DISCARDED {
                    let numbers = [block.into(), place.into()];
                    say(findings, Fault::new(fault::check::VDI_LARGE).with(numbers));
                } else if place < blocks {
                    allocated = allocated.saturating_add(1);
                    if used.take(place.into()) {
                        say(
                            findings,
                            Fault::new(fault::check::VDI_SHARED).with([place.into()]),
                        );
                    }
                }
                block = block.saturating_add(1);
            }
            at = at.saturating_add(PIECE);
        }
        if allocated != self.allocated {
            let numbers = [allocated.into(), self.allocated.into()];
            say(findings, Fault::new(fault::check::VDI_COUNT).with(numbers));
        }
        Ok(Checked {
            corruptions: wrong,
            ..Checked::default()
        })
    }
}

/// Bytes of the map read at once. Ours.
const PIECE: u64 = 1 << 20;
