//! The last cluster of a disk that does not end with it: what is in it behind the end must read as zero once the disk goes on there.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Distant, File, Kind, Resizing, Result, Sealing, from_usize, to_usize};
use zerocopy::big_endian::U64;

use super::grow::Place;
use crate::edit::transaction::Look;
use crate::entry::compressed_range;
use crate::num::{add, index, internal, shl, shr};
use crate::raw::{entry, subcluster};
use crate::read::entries::Reading;

/// What becomes of the last cluster.
#[derive(Default)]
pub(super) struct Tail {
    /// Its entry, and the bits of its subclusters.
    pub(super) old: (u64, u64),
    /// The bits from now on.
    pub(super) bits: u64,
    pub(super) place: Place,
    /// What is written into it: where in the cluster, and what.
    pub(super) writes: Vec<(u64, Vec<u8>)>,
    /// Bytes of the file with the data that become zero.
    pub(super) cleared: Option<Range<u64>>,
    /// What it leaves.
    pub(super) left: Option<Range<u64>>,
}

/// The end of the old disk, and what is around it.
pub(super) struct End<'a, 'h> {
    pub(super) look: &'a mut Look<'h>,
    /// Bytes of the old disk.
    pub(super) old: u64,
    /// The file with the data.
    pub(super) data: File<'h>,
    /// How data is encrypted, if it is.
    pub(super) sealing: Option<&'a Sealing>,
    /// Space is reserved for what is added, and for this cluster with it.
    pub(super) reserved: bool,
    /// All of the subclusters that are added are allocated, and those of this cluster with them.
    pub(super) whole: bool,
}

impl Tail {
    /// Whether the entry stays as it is.
    pub(super) fn keeps_entry(&self) -> bool {
        self.place == Place::Stays && self.bits == self.old.1
    }
}

impl End<'_, '_> {
    /// What has to happen to the last cluster, which has this entry and these subcluster bits.
    pub(super) fn tail(&mut self, old: (u64, u64), to: &mut Resizing<'_>) -> Result<Tail> {
        let tail = Tail {
            old,
            bits: old.1,
            ..Tail::default()
        };
        if old.0 & entry::COMPRESSED != 0 {
            self.compressed(tail, to)
        } else if self.look.layout.extended_l2() {
            self.subclusters(tail, to)
        } else {
            self.plain(tail, to)
        }
    }

    /// Where the cluster starts on the disk.
    const fn start(&self) -> u64 {
        instar_disk::align_down(self.old, self.look.layout.cluster())
    }

    /// Bytes of the cluster that the old disk has.
    const fn within(&self) -> u64 {
        self.old.saturating_sub(self.start())
    }

    fn compressed(&mut self, mut tail: Tail, to: &mut Resizing<'_>) -> Result<Tail> {
        let look = &mut *self.look;
        let reading = Reading::new(&look.header, look.file, look.file.slot());
        let words = [U64::new(tail.old.0), U64::new(tail.old.1)];
        let start = instar_disk::align_down(self.old, look.layout.cluster());
        let Kind::Encoded(encoded) = reading.run(&words, start)?.kind else {
            return Err(internal(line!()));
        };
        let mut bytes = alloc::vec![0; to_usize(look.layout.cluster())?];
        (to.fetch)(Distant::Encoded(encoded), &mut bytes)?;
        if clear(&mut bytes, self.within(), u64::MAX) {
            let bits = self.look.layout.cluster_bits();
            let (start, end) = compressed_range(bits, tail.old.0);
            tail.bits = if self.look.layout.extended_l2() {
                subcluster::ALLOCATED
            } else {
                0
            };
            self.moves(
                &mut tail,
                bytes,
                shr(start, bits)..add(shr(end.saturating_sub(1), bits), 1)?,
            )?;
        }
        Ok(tail)
    }

    fn plain(&mut self, mut tail: Tail, to: &mut Resizing<'_>) -> Result<Tail> {
        let (word, _) = tail.old;
        if word & entry::ZERO != 0 {
            return Ok(tail);
        }
        if let Some(host) = self.host(word)? {
            return self.clear_place(tail, host, self.look.layout.cluster());
        }
        if to.below > self.old || (self.reserved && to.below > self.start()) {
            let bytes = self.below(to, 0, self.look.layout.cluster())?;
            tail.writes.push((0, bytes));
            tail.place = Place::Taken;
        }
        if self.reserved {
            tail.place = Place::Reserved;
            if self.sealing.is_some() && tail.writes.is_empty() {
                let zeros = alloc::vec![0; to_usize(self.look.layout.cluster())?];
                tail.writes.push((0, zeros));
            }
        }
        Ok(tail)
    }

    fn subclusters(&mut self, mut tail: Tail, to: &mut Resizing<'_>) -> Result<Tail> {
        let (word, bits) = tail.old;
        let unit = shl(1, self.look.layout.unit_bits())?;
        let shown = to.below > self.old;
        let number = shr(self.within(), self.look.layout.unit_bits());
        let partial = self.within() & unit.wrapping_sub(1) != 0;
        let host = self.host(word)?;
        if self.whole && host.is_none() && bits == 0 {
            tail.writes
                .push((0, self.below(to, 0, self.look.layout.cluster())?));
            tail.bits = subcluster::ALLOCATED;
            tail.place = Place::Reserved;
            return Ok(tail);
        }
        let kept = shl(1, u32::try_from(number).unwrap_or(u32::MAX))?
            .wrapping_shl(u32::from(partial))
            .wrapping_sub(1);
        // Behind the end nothing is allocated, and what the layer below would show is zero.
        let behind = subcluster::ALLOCATED & !kept;
        tail.bits = bits & !behind;
        if shown {
            tail.bits |= behind.wrapping_shl(32);
        }
        let this = shl(1, u32::try_from(number).unwrap_or(u32::MAX))?;
        if partial && bits & this != 0 {
            if let Some(host) = host {
                let end = shl(add(number, 1)?, self.look.layout.unit_bits())?;
                tail = self.clear_place(tail, host, end)?;
            }
        } else if partial && shown && bits & this.wrapping_shl(32) == 0 {
            tail.bits |= this;
            let at = shl(number, self.look.layout.unit_bits())?;
            let bytes = self.below(to, at, unit)?;
            self.put(&mut tail, host, at, bytes)?;
        }
        if host.is_none() && self.reserved {
            tail.place = Place::Reserved;
        }
        Ok(tail)
    }

    /// Where the cluster of an entry is, if it has a place.
    fn host(&mut self, word: u64) -> Result<Option<u64>> {
        let host = word & entry::OFFSET;
        if self.is_apart() {
            return Ok((host != 0 || word & entry::COPIED != 0).then_some(host));
        }
        if host == 0 {
            return Ok(None);
        }
        if host != instar_disk::align_down(host, self.look.layout.cluster()) {
            return Err(self.look.ledger.damaged(word, 0));
        }
        let cluster = shr(host, self.look.layout.cluster_bits());
        self.look.judge_counted(cluster..add(cluster, 1)?)?;
        Ok(Some(host))
    }

    fn is_apart(&self) -> bool {
        self.data.slot() != self.look.file.slot()
    }

    /// Whether the cluster at `host` may be written to where it is.
    fn is_own(&mut self, host: u64) -> Result<bool> {
        if self.is_apart() {
            return Ok(true);
        }
        Ok(self
            .look
            .ledger
            .count(shr(host, self.look.layout.cluster_bits()))?
            == 1)
    }

    /// Reads what the cluster at `host` holds of the disk.
    fn read(&self, host: u64, into: &mut [u8]) -> Result<()> {
        self.data.read_padded(host, into)?;
        match self.sealing {
            Some(sealing) => sealing.key.decrypt(sealing.position(self.start(), host), into),
            None => Ok(()),
        }
    }

    /// Clears the bytes of the cluster at `host` from the old end up to byte `end` of it, if there is something.
    fn clear_place(&mut self, mut tail: Tail, host: u64, end: u64) -> Result<Tail> {
        let within = self.within();
        let mut bytes = alloc::vec![0; to_usize(end)?];
        self.read(host, &mut bytes)?;
        if !clear(&mut bytes, within, end) {
            return Ok(tail);
        }
        if self.is_own(host)? {
            tail.cleared = Some(add(host, within)?..add(host, end)?);
            return Ok(tail);
        }
        let cluster = shr(host, self.look.layout.cluster_bits());
        self.moves(&mut tail, bytes, cluster..add(cluster, 1)?)?;
        Ok(tail)
    }

    /// Enters bytes into a subcluster that had none.
    fn put(&mut self, tail: &mut Tail, host: Option<u64>, at: u64, bytes: Vec<u8>) -> Result<()> {
        match host {
            None => tail.place = Place::Taken,
            Some(host) if self.is_own(host)? => {}
            Some(host) => {
                let mut all = alloc::vec![0; to_usize(self.look.layout.cluster())?];
                self.read(host, &mut all)?;
                if let Some(into) = all
                    .get_mut(index(at)..)
                    .and_then(|all| all.get_mut(..bytes.len()))
                {
                    into.copy_from_slice(&bytes);
                }
                let cluster = shr(host, self.look.layout.cluster_bits());
                return self.moves(tail, all, cluster..add(cluster, 1)?);
            }
        }
        tail.writes.push((at, bytes));
        Ok(())
    }

    /// The cluster goes to a place of its own, with these bytes, and leaves those clusters.
    fn moves(&mut self, tail: &mut Tail, bytes: Vec<u8>, left: Range<u64>) -> Result<()> {
        self.look.judge_counted(left.clone())?;
        tail.left = Some(left);
        tail.place = Place::Taken;
        tail.writes = alloc::vec![(0, bytes)];
        Ok(())
    }

    /// So many bytes of the cluster from `at` on as the layer below shows them, zero from the old end on.
    fn below(&self, to: &mut Resizing<'_>, at: u64, length: u64) -> Result<Vec<u8>> {
        let mut bytes = alloc::vec![0; to_usize(length)?];
        let shown = to_usize(self.within().saturating_sub(at))?.min(bytes.len());
        if let Some(into) = bytes.get_mut(..shown) {
            (to.fetch)(Distant::Below(add(self.start(), at)?), into)?;
        }
        Ok(bytes)
    }
}

/// Clears bytes from `from` up to `end`; says whether there was something.
fn clear(bytes: &mut [u8], from: u64, end: u64) -> bool {
    let end = index(end.min(from_usize(bytes.len())));
    let Some(bytes) = bytes.get_mut(index(from)..end) else {
        return false;
    };
    let found = bytes.iter().any(|byte| *byte != 0);
    bytes.fill(0);
    found
}
