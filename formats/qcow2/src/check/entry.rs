//! One L2 entry: what it refers to, and what is wrong with it.

use instar_disk::{Fault, fault};

use super::cells::Claim;
use super::frame::Frame;
use crate::entry::compressed_range;
use crate::raw::{entry, subcluster};

/// Where references and findings go.
pub(super) trait Sink {
    /// Something is wrong.
    fn found(&mut self, fault: Fault);
    /// Something is wrong with the entry, which will lead nowhere.
    fn zeroed(&mut self, fault: Fault);
    /// The bytes from `offset` on are in use.
    fn refer(&mut self, offset: u64, bytes: u64, claim: Claim);
}

/// What an L2 entry leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Nowhere,
    /// Bytes of a stream.
    Packed,
    /// A cluster at this offset.
    At(u64),
}

/// Bits without meaning, unless the cluster is compressed.
pub(super) const RESERVED: u64 = 0x3f00_0000_0000_01fe;

/// What qemu-img calls the type of an entry.
pub(super) const fn place(frame: &Frame<'_>, value: u64) -> Place {
    let offset = value & entry::OFFSET;
    if value & entry::COMPRESSED != 0 {
        return Place::Packed;
    }
    if value & entry::ZERO != 0 && !frame.header.features.extended_l2() {
        return if offset == 0 {
            Place::Nowhere
        } else {
            Place::At(offset)
        };
    }
    // Offset 0 is a place in a data file only.
    if offset == 0 && !(frame.external && value & entry::COPIED != 0) {
        return Place::Nowhere;
    }
    Place::At(offset)
}

/// Looks at the entry `value` with the subcluster bits `bits`.
pub(super) fn look(frame: &Frame<'_>, number: u64, value: u64, bits: u64, sink: &mut impl Sink) -> Place {
    let place = place(frame, value);
    if place != Place::Packed && value & RESERVED != 0 {
        sink.found(Fault::new(fault::check::L2_RESERVED).with([value]));
    }
    match place {
        Place::Nowhere => {
            if bits & subcluster::ALLOCATED != 0 {
                sink.found(Fault::new(fault::check::SUBCLUSTERS_UNALLOCATED));
            }
            Place::Nowhere
        }
        Place::Packed => packed(frame, number, value, bits, sink),
        Place::At(offset) => {
            if at(frame, offset, value, bits, sink) {
                place
            } else {
                Place::Nowhere
            }
        }
    }
}

/// Whether the entry leads to a place at which no cluster can be, and would read the same without it.
pub(super) fn is_misplaced_zero(frame: &Frame<'_>, value: u64, bits: u64) -> bool {
    let data = if frame.header.features.extended_l2() {
        bits & subcluster::ALLOCATED != 0
    } else {
        value & entry::ZERO == 0
    };
    matches!(place(frame, value), Place::At(offset) if frame.within(offset) != 0) && !data
}

fn packed(frame: &Frame<'_>, number: u64, value: u64, bits: u64, sink: &mut impl Sink) -> Place {
    let (offset, end) = compressed_range(frame.header.cluster_bits, value);
    if value & entry::COPIED != 0 {
        sink.found(Fault::new(fault::check::COMPRESSED_COPIED).with([offset]));
    }
    let value = value & !entry::COPIED;
    if frame.external {
        sink.found(Fault::new(fault::check::COMPRESSED_EXTERNAL).with([number, value]));
        return Place::Nowhere;
    }
    if bits != 0 {
        sink.found(Fault::new(fault::check::COMPRESSED_SUBCLUSTERS).with([number, value]));
        return Place::Nowhere;
    }
    sink.refer(offset, end.saturating_sub(offset), Claim::Silent);
    Place::Packed
}

/// Gives whether the entry keeps its place.
fn at(frame: &Frame<'_>, offset: u64, value: u64, bits: u64, sink: &mut impl Sink) -> bool {
    if bits.wrapping_shr(32) & bits != 0 {
        sink.found(Fault::new(fault::check::SUBCLUSTERS).with([offset]));
    }
    if frame.within(offset) != 0 {
        if !is_misplaced_zero(frame, value, bits) {
            sink.found(Fault::new(fault::check::DATA_UNALIGNED).with([offset]));
        } else if frame.zeroes {
            sink.zeroed(Fault::new(fault::check::REPAIRING_PREALLOCATED).with([offset]));
            return false;
        } else {
            sink.found(Fault::new(fault::check::PREALLOCATED_UNALIGNED).with([offset]));
        }
    }
    if !frame.external {
        let claim = Claim::of(value & entry::COPIED != 0);
        sink.refer(offset, frame.cluster_size(), claim);
    }
    true
}
