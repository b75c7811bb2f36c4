//! What L2 entries mean: from a run of them to one [`Mapping`].

use instar_disk::fault::qcow2 as faults;
use instar_disk::job::Compression;
use instar_disk::{
    Codec, Encoded, Fault, File, Kind, Mapping, Result, Sealed, Slot, Tweak, align_down, fault, to_usize,
};
use zerocopy::big_endian::U64;

use crate::header::Header;
use crate::luks;
use crate::raw::{SUBCLUSTER_BITS, SUBCLUSTERS, entry, subcluster};

/// How the L2 entries of one image read.
pub(crate) struct Reading {
    cluster_bits: u32,
    extended: bool,
    /// Zero flags exist: version 3.
    zero_flag: bool,
    /// Plain clusters are in a data file, each at its guest offset.
    external: bool,
    data: Slot,
    /// The file of the tables, which has the compressed clusters too.
    own: Slot,
    own_size: u64,
    codec: Codec,
    /// What the cipher counts, where clusters are encrypted.
    tweak: Option<Tweak>,
}

impl Reading {
    pub(crate) fn new(header: &Header, own: File<'_>, data: Slot) -> Self {
        Self {
            cluster_bits: header.cluster_bits,
            extended: header.features.extended_l2(),
            zero_flag: header.version >= 3,
            external: header.features.data_file(),
            data,
            own: own.slot(),
            own_size: own.size(),
            codec: match header.compression {
                Compression::Zlib => Codec::Deflate,
                Compression::Zstd => Codec::Zstd,
            },
            tweak: luks::tweak(header),
        }
    }

    /// The longest run with one answer from `offset` on. `entries` begin with the one of its cluster.
    #[inline(always)]
    pub(crate) fn run(&self, entries: &[U64], offset: u64) -> Result<Mapping> {
        if self.extended {
            let (pairs, _) = entries.as_chunks::<2>();
            return self.extended_run(pairs, offset);
        }
        let (first, rest) = entries.split_first().ok_or_else(internal)?;
        let first = first.get();
        if first & entry::COMPRESSED != 0 {
            return self.compressed(first, offset);
        }
        let within = self.within(offset);
        let host = first & entry::OFFSET;
        let zero = first & entry::ZERO != 0;
        if zero && !self.zero_flag {
            return Err(Fault::new(faults::ZERO_IN_V2).with([offset]).in_file(self.own));
        }
        let allocated = self.is_allocated(first) && !(zero && host == 0);
        if allocated {
            self.check_host(host, offset)?;
        }
        let kind = match (zero, allocated) {
            (true, true) => self.zero_at(host, within),
            (true, false) => Kind::Zero { at: None },
            (false, true) => self.data_at(host, offset),
            (false, false) => Kind::Unallocated,
        };
        let mask = match (allocated, self.external) {
            (false, true) => KEY | entry::COPIED,
            _ => KEY,
        };
        let step = if allocated { self.cluster_size() } else { 0 };
        let clusters = contiguous(rest, first & mask, mask, step).saturating_add(1);
        Ok(Mapping {
            length: clusters
                .saturating_mul(self.cluster_size())
                .saturating_sub(within),
            kind,
        })
    }

    #[inline(never)]
    fn extended_run(&self, pairs: &[[U64; 2]], offset: u64) -> Result<Mapping> {
        let (first, rest) = pairs.split_first().ok_or_else(internal)?;
        if first[0].get() & entry::COMPRESSED != 0 {
            return self.compressed(first[0].get(), offset);
        }
        let subcluster_size = self.cluster_size() >> SUBCLUSTER_BITS;
        let within = self.within(offset);
        let index = within >> self.cluster_bits.saturating_sub(SUBCLUSTER_BITS);
        let index = u32::try_from(index).unwrap_or(SUBCLUSTERS);
        let pair = Pair::new(first, self);
        if pair.contradicts() {
            return Err(Fault::new(faults::SUBCLUSTERS).with([offset]).in_file(self.own));
        }
        if pair.allocated {
            self.check_host(pair.host, offset)?;
        }
        let class = pair.class(index);
        let kind = match (class, pair.allocated) {
            (Class::Zero, true) => self.zero_at(pair.host, within),
            (Class::Zero, false) => Kind::Zero { at: None },
            (Class::Data, _) => self.data_at(pair.host, offset),
            (Class::Unallocated, _) => Kind::Unallocated,
        };
        let run = pair.run(class, index);
        let mut subclusters = u64::from(run);
        let mut last = pair;
        if index.saturating_add(run) == SUBCLUSTERS {
            let alike = self.alike(&last, class, rest);
            subclusters = subclusters.saturating_add(alike << SUBCLUSTER_BITS);
            if class != Class::Unallocated && last.allocated {
                last.host = last.host.wrapping_add(alike << self.cluster_bits);
            }
            // The next cluster may begin like the one before and end otherwise.
            let after = rest.get(to_usize(alike)?..).and_then(<[_]>::first);
            if let Some(next) = after.map(|next| Pair::new(next, self))
                && self.continues(&last, &next, class)
            {
                subclusters = subclusters.saturating_add(u64::from(next.run(class, 0)));
            }
        }
        let inside = within & subcluster_size.saturating_sub(1);
        Ok(Mapping {
            length: subclusters.saturating_mul(subcluster_size).saturating_sub(inside),
            kind,
        })
    }

    /// The space kept for the unallocated subcluster at `offset`, and for how many bytes that answer holds.
    pub(crate) fn reserved(&self, entries: &[U64], offset: u64) -> Option<(Option<(Slot, u64)>, u64)> {
        let (pairs, _) = entries.as_chunks::<2>();
        let pair = Pair::new(pairs.first()?, self);
        let within = self.within(offset);
        let rest = self.cluster_size().saturating_sub(within);
        let place =
            (pair.allocated && self.tweak.is_none()).then(|| (self.data, pair.host.saturating_add(within)));
        Some((place, rest))
    }

    /// How many of the next clusters are wholly of `class` and go on where `last` ended.
    fn alike(&self, last: &Pair, class: Class, rest: &[[U64; 2]]) -> u64 {
        let bits = match class {
            Class::Zero => subcluster::ZERO,
            Class::Data => subcluster::ALLOCATED,
            Class::Unallocated => 0,
        };
        let copied = if self.external { entry::COPIED } else { 0 };
        let place = entry::COMPRESSED | entry::OFFSET;
        let (mask, first, step) = match class {
            // With or without space waiting for it, as long as that is no fault.
            Class::Unallocated if !self.external => {
                let misplaced = entry::OFFSET & self.cluster_size().wrapping_sub(1);
                (entry::COMPRESSED | misplaced, 0, 0)
            }
            Class::Zero | Class::Data if last.allocated => (place, last.host, self.cluster_size()),
            _ => (place | copied, 0, 0),
        };
        let mut expected = first.wrapping_add(step);
        let mut count = 0_u64;
        for [value, subclusters] in rest {
            if value.get() & mask != expected || subclusters.get() != bits {
                break;
            }
            expected = expected.wrapping_add(step);
            count = count.wrapping_add(1);
        }
        count
    }

    /// Whether a run of `class` that reached the end of `last` goes on at the start of `next`.
    fn continues(&self, last: &Pair, next: &Pair, class: Class) -> bool {
        if next.compressed || next.contradicts() || next.class(0) != class {
            return false;
        }
        let follows = next.host == last.host.wrapping_add(self.cluster_size());
        match class {
            Class::Data => follows && next.allocated,
            Class::Zero if last.allocated => follows && next.allocated,
            Class::Zero => !next.allocated,
            Class::Unallocated => !next.allocated || self.within(next.host) == 0 && !self.external,
        }
    }

    #[inline(never)]
    fn compressed(&self, value: u64, offset: u64) -> Result<Mapping> {
        if self.external {
            let fault = Fault::new(faults::COMPRESSED_IN_DATA_FILE).with([offset]);
            return Err(fault.in_file(self.own));
        }
        // The sector count has cluster_bits - 8 bits below bit 62, the byte offset all bits below those.
        let offset_bits = 70_u32.saturating_sub(self.cluster_bits);
        let place = value & low_bits(offset_bits);
        let more_sectors = (value & low_bits(62)).checked_shr(offset_bits).unwrap_or(0);
        let sectors_end = more_sectors
            .saturating_add(1)
            .saturating_mul(entry::COMPRESSED_SECTOR);
        let stored = sectors_end.saturating_sub(place & entry::COMPRESSED_SECTOR.saturating_sub(1));
        // Its last byte is in its last sector.
        let least = stored.saturating_sub(entry::COMPRESSED_SECTOR).saturating_add(1);
        // The last sector of a file is rarely whole.
        let present = self.own_size.saturating_sub(place).max(1);
        let within = self.within(offset);
        Ok(Mapping {
            length: self.cluster_size().saturating_sub(within),
            kind: Kind::Encoded(Encoded {
                codec: self.codec,
                slot: self.own,
                offset: place,
                stored: small(stored.min(present))?,
                least: small(least.min(present))?,
                unit: small(self.cluster_size())?,
                within: small(within)?,
            }),
        })
    }

    fn is_allocated(&self, value: u64) -> bool {
        // Offset 0 is the header's in an ordinary image and the first cluster's in a data file.
        value & entry::OFFSET != 0 || self.external && value & entry::COPIED != 0
    }

    fn check_host(&self, host: u64, offset: u64) -> Result<()> {
        if self.within(host) != 0 {
            let fault = Fault::new(faults::CLUSTER_UNALIGNED).with([host, offset]);
            return Err(fault.in_file(self.own));
        }
        let guest = align_down(offset, self.cluster_size());
        if self.external && host != guest {
            let fault = Fault::new(faults::DATA_FILE_OFFSET).with([host, guest]);
            return Err(fault.in_file(self.own));
        }
        Ok(())
    }

    /// The bytes of the disk at `guest`, in the cluster at `host`.
    fn data_at(&self, host: u64, guest: u64) -> Kind {
        let (slot, offset) = (self.data, host.saturating_add(self.within(guest)));
        let position = match self.tweak {
            None => return Kind::Data { slot, offset },
            Some(Tweak::Disk) => guest,
            Some(Tweak::File) => offset,
        };
        Kind::Sealed(Sealed {
            slot,
            offset,
            position,
        })
    }

    /// Of an encrypted image no place of zeros is told, as by the reference tool: zeros there would not read as zeros.
    fn zero_at(&self, host: u64, within: u64) -> Kind {
        let place = (self.data, host.saturating_add(within));
        Kind::Zero {
            at: self.tweak.is_none().then_some(place),
        }
    }

    const fn cluster_size(&self) -> u64 {
        1 << self.cluster_bits
    }

    const fn within(&self, offset: u64) -> u64 {
        offset & self.cluster_size().wrapping_sub(1)
    }
}

/// What a subcluster is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Zero,
    Data,
    Unallocated,
}

/// An extended L2 entry.
struct Pair {
    host: u64,
    allocated: bool,
    compressed: bool,
    data: u32,
    zero: u32,
}

impl Pair {
    fn new(raw: &[U64; 2], reading: &Reading) -> Self {
        let (value, bits) = (raw[0].get(), raw[1].get());
        Self {
            host: value & entry::OFFSET,
            allocated: reading.is_allocated(value),
            compressed: value & entry::COMPRESSED != 0,
            data: u32::try_from(bits & u64::from(u32::MAX)).unwrap_or(0),
            zero: u32::try_from(bits >> 32).unwrap_or(0),
        }
    }

    /// A subcluster is data and zero at once, or data in no cluster.
    const fn contradicts(&self) -> bool {
        if self.allocated {
            self.data & self.zero != 0
        } else {
            self.data != 0
        }
    }

    const fn class(&self, index: u32) -> Class {
        let bit = 1_u32.wrapping_shl(index);
        if self.zero & bit != 0 {
            Class::Zero
        } else if self.data & bit != 0 {
            Class::Data
        } else {
            Class::Unallocated
        }
    }

    /// Subclusters of `class` from `index` on.
    const fn run(&self, class: Class, index: u32) -> u32 {
        let pattern = match class {
            Class::Zero => self.zero,
            Class::Data => self.data,
            Class::Unallocated => !(self.data | self.zero),
        };
        // The shift brings in zeros from above: the run ends with the cluster.
        pattern.wrapping_shr(index).trailing_ones()
    }
}

/// Entries that go on as `first` begins: each, under `mask`, is `step` more than the one before.
fn contiguous(entries: &[U64], first: u64, mask: u64, step: u64) -> u64 {
    let mut expected = first.wrapping_add(step);
    let mut count = 0_u64;
    let (eights, _) = entries.as_chunks::<8>();
    // The first few are looked at one by one, since in a fragmented image there is no more to find.
    for value in entries.iter().take(8) {
        if value.get() & mask != expected {
            return count;
        }
        expected = expected.wrapping_add(step);
        count = count.wrapping_add(1);
    }
    for eight in eights.iter().skip(1) {
        let mut next = expected;
        let mut differs = 0;
        for value in eight {
            differs |= (value.get() & mask) ^ next;
            next = next.wrapping_add(step);
        }
        if differs != 0 {
            break;
        }
        expected = next;
        count = count.wrapping_add(8);
    }
    let seen = usize::try_from(count).unwrap_or(usize::MAX);
    for value in entries.iter().skip(seen) {
        if value.get() & mask != expected {
            break;
        }
        expected = expected.wrapping_add(step);
        count = count.wrapping_add(1);
    }
    count
}

/// The bits of a plain entry that say what and where its cluster is.
const KEY: u64 = entry::COMPRESSED | entry::ZERO | entry::OFFSET;

const fn low_bits(bits: u32) -> u64 {
    match 1_u64.checked_shl(bits) {
        Some(above) => above.wrapping_sub(1),
        None => u64::MAX,
    }
}

fn small(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Fault::new(fault::core::OVERFLOW).with([value]))
}

fn internal() -> Fault {
    Fault::new(fault::core::INTERNAL).with([u64::from(line!())])
}
