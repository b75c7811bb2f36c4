//! Looking the block allocation table through.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::job::Repair;
use instar_disk::report::{Backing, Checked};
use instar_disk::{Budget, Check, Fault, File, Findings, Format, Result, fault, to_usize};

use crate::header::Header;
use crate::layout::{Chunks, MIB, state};
use crate::log::replay;
use crate::metadata::Metadata;
use crate::raw::RawHeader;
use crate::region::Regions;
use crate::repair;
use crate::replayed::Replayed;

/// Opens a VHDX to look it through: its table is not judged yet.
///
/// # Errors
/// What is wrong with headers, log and regions; the host's.
pub fn check<'h>(file: File<'h>) -> Result<Box<dyn Check + 'h>> {
    let checker = open(file).map_err(|fault| Fault {
        slot: Some(file.slot()),
        ..fault
    })?;
    Ok(Box::new(checker))
}

fn open(file: File<'_>) -> Result<Checker<'_>> {
    let (header, raw) = Header::read(&file)?;
    let (replayed, dirty) = replay(file, &header)?;
    let regions = Regions::read(&replayed, &header)?;
    let metadata = Metadata::read(&replayed, regions.metadata)?;
    let chunks = Chunks::new(metadata.block_size, metadata.sector_size);
    let needed = chunks.entries(metadata.size, metadata.differencing);
    let there = regions.bat.length / 8;
    if needed > there {
        return Err(Fault::new(fault::vhdx::TABLE_TOO_SMALL).with([needed, there]));
    }
    Ok(Checker {
        file: replayed,
        metadata,
        regions,
        chunks,
        entries: needed,
        to_replay: dirty.then_some((header, raw)),
    })
}

struct Checker<'h> {
    file: Replayed<'h>,
    metadata: Metadata,
    regions: Regions,
    chunks: Chunks,
    entries: u64,
    /// The header that counts, while its log has changes that the file lacks.
    to_replay: Option<(Header, RawHeader)>,
}

impl Check for Checker<'_> {
    fn format(&self) -> Format {
        Format::Vhdx
    }

    fn backing(&self) -> Option<Backing> {
        self.metadata.parent.backing.clone()
    }

    fn run(&mut self, findings: &mut Findings<'_>) -> Result<Checked> {
        let mut wrong = 0_u64;
        let mut buffer = Vec::new();
        let mut entry = 0_u64;
        let mut payload = self.chunks.ratio;
        let mut budget = Budget::new(*self.file.file());
        while entry < self.entries {
            let now = self.entries.saturating_sub(entry).min(PIECE);
            budget.spend(now.saturating_mul(8))?;
            buffer.resize(to_usize(now.saturating_mul(8))?, 0);
            let at = self.regions.bat.offset.saturating_add(entry.saturating_mul(8));
            self.file.read(at, &mut buffer)?;
            for value in buffer.as_chunks::<8>().0 {
                let value = u64::from_le_bytes(*value);
                if value & 7 == state::FULLY_PRESENT {
                    let mut say = |fault| {
                        wrong = wrong.saturating_add(1);
                        findings.say(fault);
                    };
                    let offset = value & !(MIB.saturating_sub(1));
                    self.place(entry, offset, &mut say);
                    // As qemu-img counts: present blocks only, and the one after so many of them is not looked at.
                    match payload.checked_sub(1) {
                        Some(less) => {
                            payload = less;
                            self.overlap(offset, &mut say);
                        }
                        None => payload = self.chunks.ratio,
                    }
                }
                entry = entry.saturating_add(1);
            }
        }
        Ok(Checked {
            corruptions: wrong,
            ..Checked::default()
        })
    }

    /// The log is replayed into the file; nothing else is repaired, as with the reference.
    fn repair(&mut self, _: Repair, findings: &mut Findings<'_>) -> Result<Checked> {
        let mut fixed = 0;
        if let Some((header, raw)) = &self.to_replay {
            let slot = self.file.file().slot();
            repair::write(&self.file, header, raw).map_err(|fault| fault.in_file(slot))?;
            self.to_replay = None;
            fixed = 1;
        }
        let checked = self.run(findings)?;
        Ok(Checked {
            corruptions_fixed: fixed,
            ..checked
        })
    }
}

impl Checker<'_> {
    /// Whether a block is in the file.
    fn place(&self, entry: u64, offset: u64, say: &mut dyn FnMut(Fault)) {
        let (size, block) = (self.file.size(), self.chunks.block_size);
        if offset > FILE_END.saturating_sub(block) {
            say(Fault::new(fault::check::VHDX_OVERFLOW).with([entry]));
        }
        if offset >= size {
            say(Fault::new(fault::check::VHDX_START).with([entry, offset, size]));
            return;
        }
        // The last block of the disk may be cut short. Bitmaps count as blocks here, as in qemu-img.
        let left = self.metadata.size.wrapping_sub(entry.saturating_mul(block));
        let end = offset.saturating_add(left.min(block));
        if end > size {
            let numbers = [entry, end.saturating_sub(1), size];
            say(Fault::new(fault::check::VHDX_END).with(numbers));
        }
    }

    /// Whether a block lies in a region or the log.
    fn overlap(&self, offset: u64, say: &mut dyn FnMut(Fault)) {
        let end = offset.wrapping_add(self.chunks.block_size);
        for (start, stop) in self.regions.listed.iter().rev() {
            if offset < *stop && end > *start {
                say(Fault::new(fault::check::VHDX_REGION).with([offset, end, *start, *stop]));
                return;
            }
        }
    }
}

/// Entries read at once. Ours.
const PIECE: u64 = 64 << 10;
/// The largest file offset that qemu-img has.
const FILE_END: u64 = 0x7fff_ffff_ffff_ffff;
