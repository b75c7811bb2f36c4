//! The three acts of a change, each a type that the next one uses up.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Action, File, FileKind, Io, Preallocate, Result, from_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::ledger::Ledger;
use super::sector::Sector;
use crate::header::{Header, TableRange};
use crate::layout::Layout;
use crate::num::{add, internal, shl, shr, shr_up};
use crate::raw::entry;

/// Before the first write: everything can be looked at, and the change refused.
pub(super) struct Look<'h> {
    pub(super) file: File<'h>,
    pub(super) header: Header,
    pub(super) layout: Layout,
    pub(super) ledger: Ledger<'h>,
    sector: Sector<'h>,
}

/// The first act: what is in use stays as it is.
pub(super) struct Grow<'h> {
    look: Look<'h>,
    /// Byte ranges that were free before.
    taken: Vec<Range<u64>>,
}

/// What the one write of the header's first sector changes; what is none stays.
#[derive(Default)]
pub(super) struct Switch {
    pub(super) l1: Option<TableRange>,
    pub(super) size: Option<u64>,
    pub(super) snapshots: Option<TableRange>,
}

/// The last act: what only the old state used is given up.
pub(super) struct Release<'h> {
    look: Look<'h>,
    /// Clusters that nothing refers to any more, whose counts may not be on disk yet.
    freed: Vec<Range<u64>>,
}

impl<'h> Look<'h> {
    /// Opens the counts of the image behind `header`.
    ///
    /// # Errors
    /// The host's; an impossible refcount table.
    pub(super) fn open(file: File<'h>, header: Header) -> Result<Self> {
        let layout = Layout::of(&header);
        Ok(Self {
            file,
            layout,
            ledger: Ledger::open_careful(file, &header, layout)?,
            sector: Sector::read(file, header.version)?,
            header,
        })
    }

    /// Whether each cluster of the range is counted: what is not cannot be counted once less when the change has taken effect.
    ///
    /// # Errors
    /// `TARGET_REFCOUNT` where a cluster is not.
    pub(super) fn judge_counted(&mut self, clusters: Range<u64>) -> Result<()> {
        let mut at = clusters.start;
        while at < clusters.end {
            let (count, run) = self.ledger.run(&(at..clusters.end))?;
            if count == 0 {
                return Err(self.ledger.wrong_count(at, count));
            }
            at = add(at, run)?;
        }
        Ok(())
    }

    /// The same for the clusters of a table of so many bytes.
    pub(super) fn judge_counted_table(&mut self, offset: u64, bytes: u64) -> Result<()> {
        self.judge_counted(clusters_of(self.layout, offset, bytes)?)
    }

    /// Ends the looking. From here on the image is marked dirty, until [`Release::finish`].
    pub(super) fn grow(mut self) -> Result<Grow<'h>> {
        self.sector.set_dirty(true)?;
        Ok(Grow {
            look: self,
            taken: Vec::new(),
        })
    }

    /// The same for a change in which COPIED flags agree with the counts all the time: there is nothing to mark.
    pub(super) fn grow_in_order(mut self) -> Result<Grow<'h>> {
        self.sector.forget_unknown()?;
        Ok(Grow {
            look: self,
            taken: Vec::new(),
        })
    }

    /// Lets the file end behind the last cluster that is counted.
    pub(super) fn end_behind_what_is_used(&mut self) -> Result<()> {
        if self.file.kind() == FileKind::Block {
            return Ok(());
        }
        self.ledger.forget_empty_blocks()?;
        self.ledger.pages.flush()?;
        self.file.flush()?;
        let end = shl(self.ledger.used_end()?, self.layout.cluster_bits())?;
        self.file.resize(end, Preallocate::Off)?;
        self.file.flush()
    }
}

impl<'h> Grow<'h> {
    /// Takes clusters that follow one another; gives the byte offset of the first.
    pub(super) fn take(&mut self, clusters: u64) -> Result<u64> {
        let offset = self.look.ledger.take(clusters)?;
        let end = add(offset, shl(clusters, self.look.layout.cluster_bits())?)?;
        self.taken.push(offset..end);
        Ok(offset)
    }

    /// Takes what a table of so many bytes needs.
    pub(super) fn take_bytes(&mut self, bytes: u64) -> Result<u64> {
        self.take(shr_up(bytes, self.look.layout.cluster_bits()))
    }

    /// Writes to a place that was taken.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let end = add(offset, from_usize(bytes.len()))?;
        let inside = |range: &Range<u64>| range.start <= offset && end <= range.end;
        if !self.taken.iter().any(inside) {
            return Err(internal(line!()));
        }
        self.look.file.write(offset, bytes)
    }

    /// Counts clusters once more.
    pub(super) fn raise(&mut self, clusters: Range<u64>) -> Result<()> {
        self.look.ledger.raise(clusters)
    }

    /// Writes entries of a live table from which COPIED flags were taken, and nothing else.
    pub(super) fn write_less_copied(&mut self, offset: u64, old: &[U64], new: &[U64]) -> Result<()> {
        let less = |(old, new): (&U64, &U64)| {
            let (old, new) = (old.get(), new.get());
            new == old || new == old & !entry::COPIED
        };
        if old.len() != new.len() || !old.iter().zip(new).all(less) {
            return Err(internal(line!()));
        }
        if old == new {
            return Ok(());
        }
        self.look.file.write(offset, new.as_bytes())
    }

    /// The one moment: until here the disk is the old one, from here on the new one.
    pub(super) fn switch(mut self, switch: &Switch) -> Result<Release<'h>> {
        let look = &mut self.look;
        look.ledger.pages.flush()?;
        if look.ledger.has_grown() && look.file.kind() != FileKind::Block {
            look.file.resize(look.ledger.end()?, Preallocate::Off)?;
        }
        look.file.flush()?;
        let sector = &mut look.sector;
        if let Some(l1) = switch.l1 {
            sector.set_l1(l1)?;
            look.header.l1 = l1;
        }
        if let Some(snapshots) = switch.snapshots {
            sector.set_snapshots(snapshots)?;
            look.header.snapshots = snapshots;
        }
        if let Some(size) = switch.size {
            sector.set_size(size)?;
            look.header.size = size;
        }
        look.layout = Layout::of(&look.header);
        sector.set_refcount_table(look.ledger.table, look.layout.cluster_bits())?;
        sector.write()?;
        Ok(Release {
            look: self.look,
            freed: Vec::new(),
        })
    }
}

impl<'h> Release<'h> {
    /// Counts clusters once less; those that nothing refers to any more are dropped at the end.
    pub(super) fn lower(&mut self, clusters: Range<u64>) -> Result<()> {
        let freed = &mut self.freed;
        self.look
            .ledger
            .lower(clusters, &mut |cluster| match freed.last_mut() {
                Some(last) if last.end == cluster => last.end = cluster.saturating_add(1),
                _ => freed.push(cluster..cluster.saturating_add(1)),
            })?;
        if self.freed.len() >= FREED_MOST {
            self.drop_freed()?;
        }
        Ok(())
    }

    /// Lowers the counts of a table of so many bytes.
    pub(super) fn lower_table(&mut self, offset: u64, bytes: u64) -> Result<()> {
        self.lower(clusters_of(self.look.layout, offset, bytes)?)
    }

    /// Writes entries of a live table.
    pub(super) fn write_table(&mut self, offset: u64, old: &[U64], new: &[U64]) -> Result<()> {
        if old == new {
            return Ok(());
        }
        self.look.file.write(offset, new.as_bytes())
    }

    /// What was written is on stable storage before anything that follows.
    pub(super) fn settle(&mut self) -> Result<()> {
        self.look.ledger.pages.flush()?;
        self.look.file.flush()
    }

    pub(super) fn ledger(&mut self) -> &mut Ledger<'h> {
        &mut self.look.ledger
    }

    /// Ends the change: counts and flags agree, and the image says so.
    pub(super) fn finish(mut self) -> Result<()> {
        self.end()?;
        self.look.sector.set_dirty(false)
    }

    /// Ends a change that [`Look::grow_in_order`] began; gives the header as it is now.
    pub(super) fn finish_in_order(mut self) -> Result<Header> {
        self.end()?;
        self.look.header.refcount_table = self.look.ledger.table;
        Ok(self.look.header)
    }

    fn end(&mut self) -> Result<()> {
        for range in self.look.ledger.retired() {
            self.lower(range)?;
        }
        self.drop_freed()
    }

    /// Gives what nothing refers to back to the filesystem, once the counts that say so are on disk.
    fn drop_freed(&mut self) -> Result<()> {
        self.settle()?;
        let (file, bits) = (self.look.file, self.look.layout.cluster_bits());
        let mut batch = Vec::new();
        for range in self.freed.drain(..) {
            let offset = shl(range.start, bits)?;
            batch.push(Io::new(Action::Discard {
                slot: file.slot(),
                offset,
                length: shl(range.end, bits)?.saturating_sub(offset),
            }));
        }
        // Space that is not given back is no fault of the change.
        file.host().submit(&mut batch);
        Ok(())
    }
}

/// The clusters of a table of so many bytes.
pub(super) fn clusters_of(layout: Layout, offset: u64, bytes: u64) -> Result<Range<u64>> {
    let bits = layout.cluster_bits();
    let first = shr(offset, bits);
    Ok(first..add(first, shr_up(bytes, bits))?)
}

/// Ranges of freed clusters that are kept before they are dropped. Ours: 64 KiB.
const FREED_MOST: usize = 4096;
