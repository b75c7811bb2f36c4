//! Where requests write to, and what has to be there before them.
//!
//! A format gives places to whole units. The rest of a unit that gets a new one is brought there first, under the lock, so that no other
//! request has written to it by then. Where the old bytes are is asked of the image as it was opened: its answers stay right for units
//! to which nothing has been written yet, and no others are asked for.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use instar_abi::job::{self, Bench, Create};
use instar_abi::report::Stage;
use instar_disk::{
    Action, Fault, Format, Host, Io, Placement, Result, Slot, Target, ZeroHow, align_down, align_up, fault,
    to_usize,
};

use crate::chain::Chain;
use crate::copier::{Assembler, Piece, Span};
use crate::formats;
use crate::located::Origin;
use crate::session::{At, Outcome, Session, internal};

/// Bytes of one write; a longer stretch is written in several, from the same buffer. Ours.
const WRITE: u64 = 1 << 20;

/// Bytes of a file that requests write.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub(super) slot: Slot,
    pub(super) offset: u64,
    /// At most [`WRITE`].
    pub(super) length: u64,
}

/// The image being written to.
pub(super) struct Writer<'h> {
    target: Box<dyn Target + 'h>,
    slot: Slot,
    /// Bytes of the disk.
    size: u64,
    touched: Units,
    /// What has to be brought to new places before the batch at hand is written.
    copies: Copies,
}

/// What is brought from old places to new ones.
#[derive(Default)]
struct Copies {
    pieces: Vec<Piece>,
    /// Where they go: they follow each other in the buffer.
    places: Vec<Stretch>,
    zeros: Vec<Stretch>,
    used: u64,
    assembler: Assembler,
    spans: Vec<Span>,
    buffer: Vec<u8>,
}

impl<'h> Writer<'h> {
    /// Takes the image that `chain` shows for writing to it.
    ///
    /// # Errors
    /// What speaks against it; the host's.
    pub(super) fn open(session: &Session<'h>, job: &Bench, chain: &Chain<'_>) -> Result<Self> {
        let format = chain.format().ok_or_else(|| internal(line!()))?;
        let slot = job.image.slot;
        let existing = job::Target {
            slot,
            create: defaults(format)
                .ok_or_else(|| Fault::new(fault::core::READ_ONLY_FORMAT).in_file(slot))?,
            existing: true,
            backing: None,
            encrypt: job::Encryption::default(),
            export: None,
        };
        Ok(Self {
            target: formats::create(session, &existing, 0, false, None)?,
            slot,
            size: chain.size(),
            touched: Units::default(),
            copies: Copies::default(),
        })
    }

    /// The image's file.
    pub(super) const fn slot(&self) -> Slot {
        self.slot
    }

    /// Where a part of a request of about `range` ends: not inside a unit, of which the rest would be brought in vain.
    pub(super) fn cut(&self, range: Range<u64>) -> u64 {
        let unit = self.target.unit();
        let whole = align_down(range.end, unit);
        if whole > range.start {
            return whole;
        }
        align_down(range.start, unit).saturating_add(unit)
    }

    /// Gives `range` of the disk its places. Says how many bytes have to be brought to them first.
    pub(super) fn place(
        &mut self,
        chain: &mut Chain<'_>,
        range: Range<u64>,
        stretches: &mut Vec<Stretch>,
    ) -> Result<u64> {
        if let Some(slot) = self.target.plain() {
            owe(
                stretches,
                slot,
                range.start,
                range.end.saturating_sub(range.start),
            );
            return Ok(0);
        }
        let before = self.copies.used;
        let unit = self.target.unit();
        let stop = align_up(range.end, unit)?.min(self.target.size());
        let mut start = align_down(range.start, unit);
        while start < stop {
            let placement = self.target.allocate(start, stop.saturating_sub(start))?;
            let end = start.saturating_add(placement.length.max(1)).min(stop);
            let written = range.start.max(start)..range.end.min(end);
            self.complete(chain, start..end, &written, &placement)?;
            let within = written.start.saturating_sub(start);
            let length = written.end.saturating_sub(written.start);
            owe(
                stretches,
                placement.slot,
                placement.offset.saturating_add(within),
                length,
            );
            start = end;
        }
        Ok(self.copies.used.saturating_sub(before))
    }

    /// Sees to what stands in the units of `placed` beside what is `written`.
    fn complete(
        &mut self,
        chain: &mut Chain<'_>,
        placed: Range<u64>,
        written: &Range<u64>,
        placement: &Placement,
    ) -> Result<()> {
        let unit = self.target.unit();
        let mut start = placed.start;
        while start < placed.end {
            let end = start.saturating_add(unit).min(placed.end);
            if self.touched.add(start.checked_div(unit).unwrap_or(0)) {
                for rest in [start..written.start.min(end), written.end.max(start)..end] {
                    self.keep(chain, rest, placed.start, placement)?;
                }
            }
            start = end;
        }
        Ok(())
    }

    /// What `range` of the disk holds is to be at its place, in a placement of the bytes from `first` on.
    fn keep(
        &mut self,
        chain: &mut Chain<'_>,
        range: Range<u64>,
        first: u64,
        placement: &Placement,
    ) -> Result<()> {
        let (mut at, end) = (range.start, range.end.min(self.size));
        while at < end {
            let located = chain.map(at)?;
            let length = located.length.min(end.saturating_sub(at)).max(1);
            let offset = placement.offset.saturating_add(at.saturating_sub(first));
            let slot = placement.slot;
            match located.from {
                Origin::Data {
                    slot: known,
                    offset: place,
                } if (known, place) == (slot, offset) => {}
                Origin::Zero if placement.fresh => {}
                Origin::Zero => owe(&mut self.copies.zeros, slot, offset, length),
                from => self.copies.add(from, length, slot, offset),
            }
            at = at.saturating_add(length);
        }
        Ok(())
    }

    /// Brings what has to be there before the batch at hand is written.
    pub(super) fn copy_up(&mut self, host: &dyn Host) -> Outcome<()> {
        self.copies.carry_out(host)
    }

    /// Completes the image.
    pub(super) fn finish(mut self) -> Result<()> {
        self.target.finish()
    }
}

impl Copies {
    fn add(&mut self, from: Origin, length: u64, slot: Slot, offset: u64) {
        self.pieces.push(Piece {
            target: self.used,
            length,
            from,
            stretch: 0,
            look: false,
        });
        self.places.push(Stretch { slot, offset, length });
        self.used = self.used.saturating_add(length);
    }

    fn carry_out(&mut self, host: &dyn Host) -> Outcome<()> {
        let stage = Stage::Write(0);
        let mut batch = Vec::new();
        for zeros in &self.zeros {
            batch.push(Io::new(Action::Zero {
                slot: zeros.slot,
                offset: zeros.offset,
                length: zeros.length,
                how: ZeroHow::MayUnmap,
            }));
        }
        if !self.pieces.is_empty() {
            self.assembler
                .lay_out(&self.pieces, true, 1, &mut self.spans, &mut self.buffer)
                .at(stage)?;
            self.assembler
                .fetch(host, false, Vec::new(), &[], &mut self.buffer)?;
        }
        let mut rest = self.buffer.as_slice();
        for place in &self.places {
            let (from, after) = to_usize(place.length)
                .and_then(|length| rest.split_at_checked(length).ok_or_else(|| internal(line!())))
                .at(stage)?;
            rest = after;
            batch.push(Io::new(Action::Write {
                slot: place.slot,
                offset: place.offset,
                from,
            }));
        }
        submit(host, &mut batch).at(stage)?;
        self.zeros.clear();
        self.pieces.clear();
        self.places.clear();
        self.used = 0;
        Ok(())
    }
}

/// Adds bytes of a file that are to be written.
fn owe(stretches: &mut Vec<Stretch>, slot: Slot, offset: u64, length: u64) {
    let mut done = 0_u64;
    while done < length {
        let step = length.saturating_sub(done).min(WRITE);
        stretches.push(Stretch {
            slot,
            offset: offset.saturating_add(done),
            length: step,
        });
        done = done.saturating_add(step);
    }
}

/// Writes the start of `pattern` to each of the `stretches`, and flushes if that is due.
pub(super) fn write(
    host: &dyn Host,
    stretches: &[Stretch],
    pattern: &[u8],
    flush: Option<Slot>,
) -> Result<()> {
    let mut batch = Vec::new();
    for stretch in stretches {
        let from = pattern
            .get(..to_usize(stretch.length)?)
            .ok_or_else(|| internal(line!()))?;
        batch.push(Io::new(Action::Write {
            slot: stretch.slot,
            offset: stretch.offset,
            from,
        }));
    }
    batch.extend(flush.map(|slot| Io::new(Action::Flush { slot })));
    submit(host, &mut batch)
}

/// Flushes the file.
pub(super) fn flush(host: &dyn Host, slot: Slot) -> Result<()> {
    submit(host, &mut [Io::new(Action::Flush { slot })])
}

fn submit(host: &dyn Host, batch: &mut [Io<'_>]) -> Result<()> {
    host.submit(batch);
    for io in batch {
        let (Action::Write { slot, .. } | Action::Zero { slot, .. } | Action::Flush { slot }) = io.action
        else {
            return Err(internal(line!()));
        };
        io.outcome.map_err(|error| error.fault(slot))?;
    }
    Ok(())
}

/// An image of this format that is there already: of its layout nothing else counts.
fn defaults(format: Format) -> Option<Create> {
    Some(match format {
        Format::Raw => Create::Raw(job::RawCreate::default()),
        Format::Qcow2 => Create::Qcow2(job::Qcow2Create::default()),
        Format::Vmdk => Create::Vmdk(job::VmdkCreate::default()),
        Format::Vpc => Create::Vpc(job::VpcCreate::default()),
        Format::Vhdx => Create::Vhdx(job::VhdxCreate {
            fixed: false,
            block_size: 0,
            log_size: 0,
            block_state_zero: false,
        }),
        Format::Vdi => Create::Vdi(job::VdiCreate::default()),
        Format::Parallels => Create::Parallels(job::ParallelsCreate::default()),
        Format::Qcow => Create::Qcow(job::QcowCreate::default()),
        Format::Qed => Create::Qed(job::QedCreate::default()),
        Format::Luks => Create::Luks(job::LuksCreate::default()),
        instar_abi::read_only_formats!() => return None,
    })
}

/// A set of units, dense or not.
#[derive(Debug, Default)]
struct Units(BTreeMap<u64, u64>);

impl Units {
    /// Adds one; `false` if it was there.
    fn add(&mut self, unit: u64) -> bool {
        let word = self.0.entry(unit >> 6).or_default();
        let bit = 1_u64.wrapping_shl(u32::try_from(unit & 63).unwrap_or(0));
        let new = *word & bit == 0;
        *word |= bit;
        new
    }
}

#[cfg(test)]
mod tests {
    use super::Units;

    #[test]
    fn a_unit_is_new_once() {
        let mut units = Units::default();
        for unit in [0, 63, 64, 1 << 50, u64::MAX] {
            assert!(units.add(unit));
            assert!(!units.add(unit));
        }
        assert!(units.add(1));
    }
}
