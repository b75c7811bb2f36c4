//! The three acts of a change, each a type that the next one uses up.

use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::{Fault, File, FileKind, Preallocate, Result, ZeroHow, fault, from_usize, set_length};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

pub(super) use super::clusters::clusters_of;
use super::counts::{Remembered, Runs};
use super::freed::{Freed, drop_ranges};
use super::head::Head;
use super::ledger::{Ledger, each_block};
use super::rebuild;
use super::sector::Sector;
pub(super) use super::switch::{Flags, Switch};
use super::tree::most_tables;
use crate::check::repair;
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
    /// The image is marked dirty while it changes.
    marked: bool,
    /// Refcount blocks that there are.
    pub(super) blocks: u64,
    /// The mark may have been written, and the change has not ended: if it never does, what it did is taken back.
    begun: bool,
}

impl Drop for Look<'_> {
    fn drop(&mut self) {
        if self.begun {
            let end = self.ledger.end().unwrap_or(0);
            repair::undo(self.file, end);
        }
    }
}

/// The first act: what is in use stays as it is.
pub(super) struct Grow<'h> {
    look: Look<'h>,
    /// Byte ranges that were free before.
    taken: Vec<Range<u64>>,
    /// Where the file ends with what was taken, once that was seen to.
    end: u64,
    /// The file is at least so long when the header leads to what is new.
    reach: u64,
}

/// The last act: what only the old state used is given up.
pub(super) struct Release<'h> {
    look: Look<'h>,
    freed: Freed,
    /// Clusters of refcount tables that had become too short for a structure that is gone itself.
    retired: Vec<Range<u64>>,
}

/// A refcount structure beside the one that counts.
pub(super) struct Rebuilt {
    table: TableRange,
    order: u32,
    /// Bytes of the file now.
    size: u64,
}

impl<'h> Look<'h> {
    /// Opens the counts of the image behind `header`.
    ///
    /// # Errors
    /// The host's; an impossible refcount table, or one that leads to more blocks than the file has room for.
    pub(super) fn open(file: File<'h>, header: Header) -> Result<Self> {
        let layout = Layout::of(&header);
        let ledger = Ledger::open_careful(file, &header, layout)?;
        let mut blocks = 0_u64;
        each_block(file, header.refcount_table, &mut |_| {
            blocks = blocks.saturating_add(1);
            Ok(())
        })?;
        if blocks > most_tables(file, layout, false)? && blocks > most_tables(file, layout, true)? {
            return Err(ledger.damaged(blocks, header.refcount_table.offset));
        }
        Ok(Self {
            file,
            layout,
            ledger,
            sector: Sector::read(file, header.version)?,
            header,
            marked: false,
            blocks,
            begun: false,
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

    /// Ends the looking, for a change that counts once more what is in use. `flagged`: COPIED flags have to be cleared for that. Then
    /// the image is marked dirty from here on, until flags and counts agree: at the switch, or at the end.
    pub(super) fn grow(mut self, flagged: bool) -> Result<Grow<'h>> {
        self.begun = true;
        if flagged {
            self.sector.write_dirty(true)?;
            self.marked = true;
        } else {
            self.sector.forget_unknown()?;
        }
        Ok(self.grow_unmarked())
    }

    /// The same for a change at no moment of which a COPIED flag contradicts a count: a stop leaves leaks, of which nothing needs to be
    /// said.
    pub(super) fn grow_unmarked(self) -> Grow<'h> {
        Grow {
            look: self,
            taken: Vec::new(),
            end: 0,
            reach: 0,
        }
    }

    /// The same for a change in which COPIED flags agree with the counts all the time: there is nothing to mark.
    pub(super) fn grow_in_order(mut self) -> Result<Grow<'h>> {
        self.sector.forget_unknown()?;
        Ok(self.grow_unmarked())
    }

    /// Cuts what is behind the last cluster that is used off the file, which keeps `least` bytes.
    fn cut_file(&mut self, least: u64) -> Result<()> {
        let file = self.file;
        let end = shl(self.ledger.used_end()?, self.layout.cluster_bits())?.max(least);
        if file.kind() == FileKind::Block || (end >= file.size() && !self.ledger.has_grown()) {
            return Ok(());
        }
        file.resize(end, Preallocate::Off)
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
        if !self.look.marked {
            return Err(internal(line!()));
        }
        self.look.file.write(offset, new.as_bytes())
    }

    /// What was written is on stable storage.
    pub(super) fn settle(&mut self) -> Result<()> {
        let look = &mut self.look;
        look.ledger.pages.flush()?;
        let end = look.ledger.end()?;
        if look.ledger.has_grown() && look.file.kind() != FileKind::Block && end != self.end {
            look.file.resize(end, Preallocate::Off)?;
            self.end = end;
        }
        look.file.flush()
    }

    /// Writes what of `head` means nothing yet, so that the moment need not wait for it.
    pub(super) fn write_ahead(&self, head: &Head) -> Result<()> {
        head.write_ahead(self.look.file)
    }

    /// Has the file be so long when the header leads to what is new: a table has more entries than the file had room for. They are zero
    /// even where the file ends before them, so that it can become longer at the moment itself.
    pub(super) fn reach_to(&mut self, end: u64) {
        self.reach = self.reach.max(end);
    }

    fn lengthen(&self) -> Result<()> {
        let file = self.look.file;
        // With what was taken it ends behind everything that there was.
        let is_long = self.reach <= file.size() || self.look.ledger.has_grown();
        if is_long || file.kind() == FileKind::Block {
            return Ok(());
        }
        file.resize(self.reach, Preallocate::Off)
    }

    /// Takes clusters behind the end of the file, which read as zero, and has them reserved; gives the byte offset of the first.
    pub(super) fn take_fresh(&mut self, clusters: u64, reserve: Preallocate) -> Result<u64> {
        let look = &mut self.look;
        let (file, bits) = (look.file, look.layout.cluster_bits());
        let offset = look.ledger.set_apart(clusters)?;
        let length = shl(clusters, bits)?;
        let end = add(offset, length)?;
        match (file.kind(), reserve) {
            (FileKind::Block, _) => file.zero(offset, length, ZeroHow::Keep)?,
            // Nothing was written behind the end yet.
            (_, Preallocate::Falloc | Preallocate::Full) => set_length(&file, end, reserve, UNDERLYING)?,
            (_, Preallocate::Off) => {}
        }
        self.taken.push(offset..end);
        look.ledger.count_once(shr(offset, bits), clusters)?;
        Ok(offset)
    }

    /// Whether the cluster is counted once.
    pub(super) fn is_single(&mut self, cluster: u64) -> Result<bool> {
        Ok(self.look.ledger.count(cluster)? == 1)
    }

    /// Writes what stands for nothing on the old disk, in a cluster or table that stands for some of it.
    pub(super) fn write_behind(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.look.file.write(offset, bytes)
    }

    /// Gives up: what was taken is free again, as far as that can be written.
    pub(super) fn abandon(mut self) {
        if self.look.begun {
            // All that was done is taken back, raised counts and flags too.
            return;
        }
        let bits = self.look.layout.cluster_bits();
        for range in &self.taken {
            let clusters = shr(range.start, bits)..shr_up(range.end, bits);
            if self.look.ledger.lower(clusters, &mut |_| {}).is_err() {
                return;
            }
        }
        let look = &mut self.look;
        if look.ledger.pages.flush().is_err() || look.file.flush().is_err() {
            return;
        }
        drop_ranges(look.file, self.taken.drain(..));
        // It was extended for what is free now.
        let _ = look.cut_file(look.file.size());
    }

    /// Writes all counts in another width beside those that there are, if it is another one. `known` are counts that were read before.
    ///
    /// # Errors
    /// `TABLE_LARGE`; the host's.
    pub(super) fn rebuild(&mut self, order: u32, known: Runs) -> Result<Option<Rebuilt>> {
        let look = &mut self.look;
        if order == look.layout.refcount_order() {
            return Ok(None);
        }
        let clusters = look.ledger.clusters();
        // It is as long as that now, if it was taken behind the end.
        let file = look.file.grown_to(shl(clusters, look.layout.cluster_bits())?);
        let layout = look.layout.with_refcount_order(order);
        let mut counts = Remembered::new(&mut look.ledger, known);
        let built = rebuild::build(file, layout, clusters, &mut counts);
        let built = built.map_err(|fault| match fault.code {
            fault::qcow2_write::REFCOUNT_TABLE => Fault {
                code: fault::amend::TABLE_LARGE,
                ..fault
            },
            _ => fault,
        })?;
        Ok(Some(Rebuilt {
            table: built.table,
            order,
            size: shl(built.clusters, layout.cluster_bits())?.max(file.size()),
        }))
    }

    /// The table of the counts as they are now.
    pub(super) const fn refcount_table(&self) -> TableRange {
        self.look.ledger.table
    }

    pub(super) const fn ledger(&mut self) -> &mut Ledger<'h> {
        &mut self.look.ledger
    }

    /// Something leads to all that was taken so far: it is not given up any more.
    pub(super) fn keep(&mut self) {
        self.taken.clear();
    }

    /// Has a byte range read as zero: of what was taken, or of a cluster whose content nobody sees.
    pub(super) fn zero(&mut self, range: Range<u64>) -> Result<()> {
        // What lies behind the end of the file comes into being as zeros.
        let end = match self.look.file.kind() {
            FileKind::Block | FileKind::Stream => range.end,
            FileKind::Regular | FileKind::Fresh => range.end.min(self.look.file.size()),
        };
        let bytes = end.saturating_sub(range.start);
        self.look.file.zero(range.start, bytes, ZeroHow::MayUnmap)
    }

    /// Writes entries of a live table that mean to a reader what they meant before.
    pub(super) fn write_alike(&mut self, offset: u64, old: &[U64], new: &[U64]) -> Result<()> {
        if old == new {
            return Ok(());
        }
        self.look.file.write(offset, new.as_bytes())
    }

    /// Ends the act of a change that has no moment: nothing of it was ever seen.
    pub(super) fn release(mut self) -> Result<Release<'h>> {
        self.settle()?;
        self.lead_to_counts()?;
        Ok(Release::of(self.look))
    }

    /// The header leads to the counts as they were [settled](Self::settle): from here on, live tables may lead to what was taken, even if its
    /// counts took a longer table. That one counts what the old one did and more, hence a step of its own.
    pub(super) fn lead_to_counts(&mut self) -> Result<()> {
        let look = &mut self.look;
        if look.ledger.table != look.header.refcount_table {
            let bits = look.layout.cluster_bits();
            look.sector.set_refcount_table(look.ledger.table, bits)?;
            look.sector.write()?;
            look.header.refcount_table = look.ledger.table;
        }
        Ok(())
    }

    /// The one moment, where more changes than some fields: the first cluster becomes `head`, which leads to `rebuilt` if there is such
    /// a structure.
    pub(super) fn switch_to(mut self, mut head: Head, rebuilt: Option<Rebuilt>) -> Result<Release<'h>> {
        self.settle()?;
        if rebuilt.is_none() {
            self.lead_to_counts()?;
        }
        self.lengthen()?;
        let look = &mut self.look;
        let bits = look.layout.cluster_bits();
        let (mut table, mut retired) = (look.ledger.table, Vec::new());
        if let Some(rebuilt) = &rebuilt {
            table = rebuilt.table;
            retired = look.ledger.retired();
            head.set_refcount_order(rebuilt.order);
        }
        head.set_refcount_table(table, bits)?;
        head.set_dirty(look.marked);
        head.write(look.file)?;
        look.header = Header::parse(look.file)?;
        look.layout = Layout::of(&look.header);
        look.sector = Sector::read(look.file, look.header.version)?;
        if let Some(Rebuilt { size, .. }) = rebuilt {
            look.file = look.file.grown_to(size);
            look.ledger = Ledger::open_careful(look.file, &look.header, look.layout)?;
        }
        Ok(Release {
            retired,
            ..Release::of(self.look)
        })
    }

    /// The one moment: until here the disk is the old one, from here on the new one.
    pub(super) fn switch(mut self, switch: &Switch) -> Result<Release<'h>> {
        self.settle()?;
        self.lengthen()?;
        let look = &mut self.look;
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
        let marked = switch.flags == Flags::Follow;
        if marked != look.marked {
            sector.set_dirty(marked)?;
        }
        sector.write()?;
        look.marked = marked;
        Ok(Release::of(self.look))
    }
}

impl<'h> Release<'h> {
    const fn of(look: Look<'h>) -> Self {
        Self {
            look,
            freed: Freed::none(),
            retired: Vec::new(),
        }
    }

    /// The clusters of a table of so many bytes.
    pub(super) fn clusters(&self, offset: u64, bytes: u64) -> Result<Range<u64>> {
        clusters_of(self.look.layout, offset, bytes)
    }

    /// Counts clusters once less; those that nothing refers to any more are dropped at the end.
    pub(super) fn lower(&mut self, clusters: Range<u64>) -> Result<()> {
        let freed = &mut self.freed;
        let mut push = |cluster| freed.push(cluster);
        self.look.ledger.lower(clusters, &mut push)?;
        if self.freed.is_full() {
            self.drop_freed()?;
        }
        Ok(())
    }

    /// The same for those that are counted at all, and are not what the header leads to.
    pub(super) fn lower_counted(&mut self, clusters: Range<u64>) -> Result<()> {
        let mut at = clusters.start;
        while at < clusters.end {
            let (count, run) = self.look.ledger.run(&(at..clusters.end))?;
            let some = at..add(at, run)?;
            at = some.end;
            if count > 0 && !self.look.ledger.is_reserved(&some) {
                self.lower(some)?;
            }
        }
        Ok(())
    }

    /// Nothing refers to these clusters any more, however often they are counted.
    pub(super) fn give_up(&mut self, clusters: Range<u64>) -> Result<()> {
        self.look.ledger.count_as(clusters.clone(), 0)?;
        self.freed.push_all(clusters);
        if self.freed.is_full() {
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
        self.unmark()
    }

    /// What was done stays.
    fn unmark(&mut self) -> Result<()> {
        if self.look.marked {
            self.look.sector.write_dirty(false)?;
        }
        self.look.begun = false;
        Ok(())
    }

    /// As [`Release::finish`], and the file ends where its last cluster does.
    pub(super) fn finish_short(mut self) -> Result<()> {
        self.end()?;
        while self.drop_empty_blocks()? {}
        self.unmark()?;
        // Nothing comes after it that it would have to be there for, and a file that stays long is no fault of the change.
        let _ = self.look.cut_file(0);
        Ok(())
    }

    /// Drops the last refcount blocks, as far as they count nothing but themselves; says whether there is more to drop, since
    /// one counted another.
    fn drop_empty_blocks(&mut self) -> Result<bool> {
        let dropped = self.look.ledger.unlink_empty_blocks()?;
        // Nothing leads to them before they are free.
        self.settle()?;
        let bits = self.look.layout.cluster_bits();
        let mut more = false;
        for offset in dropped {
            let cluster = shr(offset, bits);
            let range = cluster..add(cluster, 1)?;
            if self.look.ledger.run(&range)?.0 > 0 {
                self.lower(range)?;
                more = true;
            } else {
                self.freed.push_all(range);
            }
        }
        self.drop_freed()?;
        Ok(more)
    }

    /// Ends a change that [`Look::grow_in_order`] began; gives the header as it is now.
    pub(super) fn finish_in_order(mut self) -> Result<Header> {
        self.end()?;
        self.look.header.refcount_table = self.look.ledger.table;
        self.look.begun = false;
        Ok(self.look.header.clone())
    }

    fn end(&mut self) -> Result<()> {
        let mut retired = core::mem::take(&mut self.retired);
        retired.extend(self.look.ledger.retired());
        for range in retired {
            self.lower(range)?;
        }
        self.drop_freed()
    }

    /// Gives what nothing refers to back to the filesystem, once the counts that say so are on disk.
    fn drop_freed(&mut self) -> Result<()> {
        self.settle()?;
        self.freed
            .drop_all(self.look.file, self.look.layout.cluster_bits());
        Ok(())
    }
}

/// How messages begin about the file that the image stands in: the reference tool's.
pub(super) const UNDERLYING: &[u8] = b"Failed to resize underlying file: ";
