//! A larger disk.
//!
//! ```text
//!   clusters        … │ last │ first ………………………… │ end
//!   bytes             └── old end             new end
//! ```
//!
//! What is added is unallocated and reads as zero by itself, unless space is to be reserved for it, or the layer below is longer
//! than the disk was: then every cluster of it gets an entry. Tables for that are new, or their entries stood for nothing.

use alloc::vec::Vec;

use instar_disk::fault::resize as faults;
use instar_disk::job::Preallocation;
use instar_disk::{
    Fault, File, FileKind, Resizing, Result, Sealing, ZeroHow, fault, from_usize, reservation, set_length,
    to_usize,
};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use super::bitmaps::Lengths;
use super::cut::Cut;
use super::fill::Fill;
use super::switch;
use super::tail::{End, Tail};
use crate::edit::transaction::{Grow, Look, Switch, UNDERLYING, clusters_of};
use crate::edit::tree::{Table, Tree};
use crate::extensions::BitmapDirectory;
use crate::header::{Header, TableRange};
use crate::layout::Layout;
use crate::num::{add, index, shl, shr, shr_up};
use crate::raw::{entry, limit, subcluster};

pub(super) fn grow(
    file: File<'_>,
    header: Header,
    sealing: Option<&Sealing>,
    to: &mut Resizing<'_>,
) -> Result<u64> {
    let (look, lengths) = look(file, header, to)?;
    let mut look = clear_behind(look)?;
    look.ledger.only_behind();
    let plan = Plan::of(&mut look, sealing, to)?;
    lengths.judge(&mut look)?;

    let (file, header) = (look.file, look.header.clone());
    let mut grow = look.grow_in_order()?;
    let made = match plan.make(&mut grow, to, &lengths) {
        Ok(made) => made,
        Err(fault) => {
            grow.abandon();
            return Err(fault);
        }
    };
    plan.enter(&mut grow, &made)?;
    let mut release = switch(grow, (file, &header), (to.size, made.l1), made.bitmaps)?;
    if plan.moves_l1(&made) {
        release.lower(plan.tree.roots()?)?;
    }
    if let (Some(edge), Some(_)) = (&plan.edge, made.edge_at) {
        release.lower(clusters_of(plan.tree.layout, edge.offset, 1)?)?;
    }
    if let Some(left) = plan.tail.left {
        release.lower(left)?;
    }
    lengths.give_up(&mut release)?;
    let end = release.ledger().end()?;
    release.finish()?;
    Ok(end)
}

/// Whether that can be done.
pub(super) fn judge(
    file: File<'_>,
    header: Header,
    sealing: Option<&Sealing>,
    to: &mut Resizing<'_>,
) -> Result<()> {
    let (mut look, lengths) = look(file, header, to)?;
    let end = look.header.virtual_size();
    // That is cleared first.
    Cut::look(&mut look, end, false)?;
    Plan::of(&mut look, sealing, to)?;
    lengths.judge(&mut look)
}

/// What speaks against the size by itself.
fn look<'h>(file: File<'h>, header: Header, to: &Resizing<'_>) -> Result<(Look<'h>, Lengths<'h>)> {
    let reserves = matches!(to.preallocation, Preallocation::Falloc | Preallocation::Full);
    let hides = to.size > header.virtual_size() && to.below > header.virtual_size();
    if header.version < 3 && hides && !reserves {
        return Err(Fault::new(faults::V2_ZEROING).in_file(file.slot()));
    }
    let l1_entries = shr_up(to.size, Layout::of(&header).reach_bits());
    if shl(l1_entries, 3)? > limit::L1_BYTES {
        return Err(Fault::new(faults::L1).in_file(file.slot()));
    }
    for data in to.apart.iter().filter(|data| data.kind == FileKind::Block) {
        if data.size < to.size {
            return Err(Fault::new(fault::core::GROW_DEVICE).in_file(data.slot));
        }
    }
    if file.kind() == FileKind::Block && reserves && to.apart.is_empty() {
        let mode = alloc::format!("Preallocation mode '{}'", to.preallocation.name());
        let what = [UNDERLYING, mode.as_bytes()].concat();
        return Err(Fault::new(faults::DEVICE_PREALLOCATION).named(&what));
    }
    let lengths = Lengths::look(file, &header, to.size)?;
    Ok((Look::open(file, header)?, lengths))
}

/// Clears what an earlier change left behind the end, which the disk would show when it goes on there.
fn clear_behind(mut look: Look<'_>) -> Result<Look<'_>> {
    let end = look.header.virtual_size();
    let mut cut = Cut::look(&mut look, end, false)?;
    if cut.is_empty() {
        return Ok(look);
    }
    look.ledger.only_behind();
    let file = look.file;
    let mut grow = look.grow_in_order()?;
    cut.prepare(&mut grow)?;
    let mut release = grow.switch(&Switch::default())?;
    cut.carry_out(&mut release)?;
    let file = file.grown_to(release.ledger().end()?);
    let header = release.finish_in_order()?;
    Look::open(file, header)
}

/// Where a cluster is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Where it is, or nowhere.
    #[default]
    Stays,
    /// In the space that is reserved for all that is added.
    Reserved,
    /// In a cluster of its own.
    Taken,
}

struct Plan<'h, 's> {
    tree: Tree<'h>,
    /// How data is encrypted, if it is.
    sealing: Option<&'s Sealing>,
    version: u32,
    old: u64,
    size: u64,
    fill: Fill,
    /// The last cluster of the old disk, if that does not end with it.
    last: Option<u64>,
    tail: Tail,
    /// The L2 table with the end of the old disk, if that does not end with it.
    edge_number: Option<u64>,
    edge: Option<Table>,
    /// Entries of the L1 table that there is room for where it is.
    l1_room: u64,
    /// The file with the data.
    data: File<'h>,
    /// The data file is a raw image, too.
    raw: bool,
}

/// What stands at new places, before anything leads there.
#[derive(Default)]
struct Made {
    /// The first of the clusters that are reserved.
    reserved: u64,
    /// Runs of L2 tables: the number of the first, where it is, and how many they are.
    tables: Vec<(u64, u64, u64)>,
    /// The new L1 table, if the old one is too short.
    l1: Option<TableRange>,
    /// The entries of the table with the end of the old disk, if they change.
    edge: Option<Vec<U64>>,
    /// Where that table is from now on, unless it stays where it was.
    edge_at: Option<u64>,
    bitmaps: Option<BitmapDirectory>,
}

impl<'h, 's> Plan<'h, 's> {
    fn of(look: &mut Look<'h>, sealing: Option<&'s Sealing>, to: &mut Resizing<'_>) -> Result<Self> {
        let (layout, old) = (look.layout, look.header.virtual_size());
        let tree = Tree::of(look, look.header.l1);
        let data = match to.apart.first() {
            Some(facts) => File::new(look.file.host(), *facts),
            None => look.file,
        };
        let raw = look.header.features.data_file_raw();
        let fill = Fill::of(look, to, tree.apart, sealing.is_some());
        let mut plan = Self {
            tree,
            sealing,
            version: look.header.version,
            old,
            size: to.size,
            fill,
            last: None,
            tail: Tail::default(),
            edge_number: None,
            edge: None,
            l1_room: tree.l1.entries,
            data,
            raw,
        };
        if to.size == old {
            return Ok(plan);
        }
        look.judge_counted(tree.roots()?)?;
        plan.l1_room = l1_room(look, &tree)?;
        let first = shr_up(old, layout.cluster_bits());
        plan.last = (first != shr(old, layout.cluster_bits())).then(|| first.saturating_sub(1));
        let mask = shl(1, layout.table_bits())?.wrapping_sub(1);
        let entered = plan.last.unwrap_or(first);
        if plan.last.is_some() || (first & mask != 0 && fill != Fill::Nothing) {
            let number = shr(entered, layout.table_bits());
            plan.edge_number = Some(number);
            plan.edge = tree.table(number)?;
        }
        if let Some(edge) = &plan.edge {
            look.judge_counted(clusters_of(layout, edge.offset, 1)?)?;
        }
        if let Some(last) = plan.last {
            let entry = plan.edge.as_ref().map_or((0, 0), |edge| {
                let at = index(last & mask).saturating_mul(tree.step());
                let word = |at: usize| edge.words.get(at).map_or(0, |word| word.get());
                (
                    word(at),
                    if layout.extended_l2() {
                        word(at.saturating_add(1))
                    } else {
                        0
                    },
                )
            });
            let (reserved, whole) = match fill {
                Fill::Data { subclusters, .. } => (true, subclusters),
                Fill::Nothing | Fill::Zero => (false, false),
            };
            let mut end = End {
                look,
                old,
                data,
                sealing,
                reserved,
                whole,
            };
            plan.tail = end.tail(entry, to)?;
        }
        Ok(plan)
    }

    const fn layout(&self) -> Layout {
        self.tree.layout
    }

    /// The clusters that are added.
    const fn added(&self) -> core::ops::Range<u64> {
        let bits = self.layout().cluster_bits();
        shr_up(self.old, bits)..shr_up(self.size, bits)
    }

    /// The first cluster that has a place in what is reserved.
    fn first_reserved(&self) -> u64 {
        match self.last {
            Some(last) if self.tail.place == Place::Reserved => last,
            _ => self.added().start,
        }
    }

    /// Where a cluster is that has a place in what is reserved.
    fn host(&self, made: &Made, cluster: u64) -> Result<u64> {
        if self.tree.apart {
            return shl(cluster, self.layout().cluster_bits());
        }
        let number = cluster.saturating_sub(self.first_reserved());
        add(made.reserved, shl(number, self.layout().cluster_bits())?)
    }

    /// Writes everything that has a place of its own; nothing leads there yet.
    fn make(&self, grow: &mut Grow<'h>, to: &Resizing<'_>, lengths: &Lengths<'h>) -> Result<Made> {
        let mut made = Made::default();
        self.lengthen_data(to)?;
        if !self.tree.apart && matches!(self.fill, Fill::Data { .. }) {
            let clusters = self.added().end.saturating_sub(self.first_reserved());
            made.reserved = grow.take_fresh(clusters, reservation(to.preallocation))?;
            self.hide_noise(made.reserved, clusters)?;
        }
        self.make_edge(grow, &mut made)?;
        if self.fill != Fill::Nothing {
            self.make_tables(grow, &mut made)?;
        }
        self.make_l1(grow, &mut made)?;
        made.bitmaps = lengths.prepare(grow)?;
        if self.tree.apart {
            self.data.flush()?;
        }
        grow.settle()?;
        Ok(made)
    }

    /// Version 2 has no flag for zeros: what is reserved for encrypted data has to hold them.
    fn hide_noise(&self, reserved: u64, clusters: u64) -> Result<()> {
        let Some(sealing) = self.sealing.filter(|_| self.version < 3) else {
            return Ok(());
        };
        let bits = self.layout().cluster_bits();
        let disk = shl(self.first_reserved(), bits)?;
        sealing.write_zeros(&self.data, disk, reserved, shl(clusters, bits)?)
    }

    /// The data file, as long as the disk will be.
    fn lengthen_data(&self, to: &Resizing<'_>) -> Result<()> {
        if !self.tree.apart || self.size == self.old {
            return Ok(());
        }
        match self.data.kind() {
            FileKind::Block if self.raw => {
                let length = self.size.saturating_sub(self.old);
                self.data.zero(self.old, length, ZeroHow::Keep)
            }
            FileKind::Block | FileKind::Stream => Ok(()),
            FileKind::Regular | FileKind::Fresh => {
                set_length(&self.data, self.size, reservation(to.preallocation), b"")
            }
        }
    }

    /// The table with the end of the old disk: its new entries, and its new place if it has to have one.
    fn make_edge(&self, grow: &mut Grow<'h>, made: &mut Made) -> Result<()> {
        let Some(number) = self.edge_number else {
            return Ok(());
        };
        let layout = self.layout();
        let old = match &self.edge {
            Some(edge) => edge.words.clone(),
            None => alloc::vec![U64::ZERO; to_usize(shr(layout.cluster(), 3))?],
        };
        let mut words = old.clone();
        if self.fill != Fill::Nothing {
            self.fill_table(made, number, &mut words)?;
        }
        if let Some(last) = self.last {
            let entry = self.place_tail(grow, made, last)?;
            self.set(&mut words, last, entry);
        }
        if words == old {
            return Ok(());
        }
        let stays = match &self.edge {
            Some(edge) => grow.is_single(shr(edge.offset, layout.cluster_bits()))?,
            None => false,
        };
        if !stays {
            let offset = grow.take(1)?;
            grow.write(offset, words.as_bytes())?;
            made.edge_at = Some(offset);
        }
        made.edge = Some(words);
        Ok(())
    }

    /// Gives the last cluster of the old disk its place and its bytes; gives its entry.
    fn place_tail(&self, grow: &mut Grow<'h>, made: &Made, last: u64) -> Result<(u64, u64)> {
        let tail = &self.tail;
        if tail.keeps_entry() && tail.writes.is_empty() {
            return Ok(tail.old);
        }
        let host = match tail.place {
            Place::Stays => tail.old.0 & entry::OFFSET,
            Place::Reserved => self.host(made, last)?,
            Place::Taken if self.tree.apart => shl(last, self.layout().cluster_bits())?,
            Place::Taken => grow.take(1)?,
        };
        for (at, bytes) in &tail.writes {
            let place = add(host, *at)?;
            let mut sealed = Vec::new();
            let bytes = match self.sealing {
                None => bytes,
                Some(sealing) => {
                    sealed.extend_from_slice(bytes);
                    let disk = add(shl(last, self.layout().cluster_bits())?, *at)?;
                    sealing.key.encrypt(sealing.position(disk, place), &mut sealed)?;
                    &sealed
                }
            };
            if self.tree.apart {
                let most = to_usize(self.size.saturating_sub(place))?.min(bytes.len());
                self.data.write(place, bytes.get(..most).unwrap_or(bytes))?;
            } else if tail.place == Place::Stays {
                grow.write_behind(place, bytes)?;
            } else {
                grow.write(place, bytes)?;
            }
        }
        Ok(match tail.place {
            Place::Stays => (tail.old.0, tail.bits),
            Place::Reserved | Place::Taken => (host | entry::COPIED, tail.bits),
        })
    }

    /// Sets the entry of a cluster in the table that it belongs to.
    fn set(&self, words: &mut [U64], cluster: u64, (word, bits): (u64, u64)) {
        let mask = 1_u64.wrapping_shl(self.layout().table_bits()).wrapping_sub(1);
        let at = index(cluster & mask).saturating_mul(self.tree.step());
        if let Some(into) = words.get_mut(at..) {
            for (into, value) in into.iter_mut().zip([word, bits]).take(self.tree.step()) {
                *into = U64::new(value);
            }
        }
    }

    /// Fills the entries of clusters that are added in table `number`.
    fn fill_table(&self, made: &Made, number: u64, words: &mut [U64]) -> Result<()> {
        let first = shl(number, self.layout().table_bits())?;
        let end = shl(add(number, 1)?, self.layout().table_bits())?;
        let added = self.added();
        for cluster in added.start.max(first)..added.end.min(end) {
            let extended = self.layout().extended_l2();
            let entry = match self.fill {
                Fill::Nothing => (0, 0),
                Fill::Zero if extended => (0, subcluster::ZERO),
                Fill::Zero => (entry::ZERO, 0),
                Fill::Data { zero, subclusters } => {
                    let word = self.host(made, cluster)? | entry::COPIED;
                    match (zero, extended) {
                        (true, true) => (word, subcluster::ZERO),
                        (true, false) => (word | entry::ZERO, 0),
                        (false, _) => (word, if subclusters { subcluster::ALLOCATED } else { 0 }),
                    }
                }
            };
            self.set(words, cluster, entry);
        }
        Ok(())
    }

    /// Tables of nothing but clusters that are added.
    fn make_tables(&self, grow: &mut Grow<'h>, made: &mut Made) -> Result<()> {
        let layout = self.layout();
        let first = match self.edge_number {
            Some(number) => add(number, 1)?,
            None => shr(self.added().start, layout.table_bits()),
        };
        let end = shr_up(self.added().end, layout.table_bits());
        let together = shr(TABLE_BYTES, layout.cluster_bits()).max(1);
        let entries = to_usize(shr(layout.cluster(), 3))?;
        let mut at = first;
        while at < end {
            let count = together.min(end.saturating_sub(at));
            let mut words = alloc::vec![U64::ZERO; entries.saturating_mul(to_usize(count)?)];
            for (number, words) in (at..).zip(words.chunks_mut(entries)) {
                self.fill_table(made, number, words)?;
            }
            let offset = grow.take(count)?;
            grow.write(offset, words.as_bytes())?;
            made.tables.push((at, offset, count));
            at = add(at, count)?;
        }
        Ok(())
    }

    /// Whether the L1 table gets another place.
    fn moves_l1(&self, made: &Made) -> bool {
        made.l1.is_some_and(|l1| l1.offset != self.tree.l1.offset)
    }

    /// A longer L1 table, if the old one is too short: where it is, if what follows it there has no other use, else in another place.
    fn make_l1(&self, grow: &mut Grow<'h>, made: &mut Made) -> Result<()> {
        let old = self.tree.l1;
        let entries = shr_up(self.size, self.layout().reach_bits());
        if entries <= old.entries {
            return Ok(());
        }
        if entries <= self.l1_room {
            made.l1 = Some(TableRange { entries, ..old });
            grow.reach_to(shl(self.tree.roots()?.end, self.layout().cluster_bits())?);
            return Ok(());
        }
        let offset = grow.take_bytes(shl(entries, 3)?)?;
        let mut at = 0;
        while at < entries {
            let mut words = self.tree.l1_entries(at, L1_TOGETHER)?;
            let length = to_usize(entries.saturating_sub(at).min(L1_TOGETHER))?;
            words.resize(length, U64::ZERO);
            for (number, word) in self.links(made) {
                if let Some(into) = number
                    .checked_sub(at)
                    .and_then(|within| words.get_mut(index(within)))
                {
                    *into = word;
                }
            }
            grow.write(add(offset, shl(at, 3)?)?, words.as_bytes())?;
            at = add(at, from_usize(words.len()))?;
        }
        made.l1 = Some(TableRange { offset, entries });
        Ok(())
    }

    /// Entries of the L1 table that lead to new tables.
    fn links<'m>(&self, made: &'m Made) -> impl Iterator<Item = (u64, U64)> + use<'m, 'h, 's> {
        let bits = self.layout().cluster_bits();
        let edge = self.edge_number.zip(made.edge_at);
        let edge = edge.map(|(number, offset)| (number, offset, 1));
        let runs = edge.into_iter().chain(made.tables.iter().copied());
        runs.flat_map(move |(number, offset, count)| {
            (0..count).map(move |at| {
                let offset = offset.saturating_add(at.wrapping_shl(bits));
                (number.saturating_add(at), U64::new(offset | entry::COPIED))
            })
        })
    }

    /// Leads from live tables to what was made. Nothing of that is on the old disk.
    fn enter(&self, grow: &mut Grow<'h>, made: &Made) -> Result<()> {
        grow.lead_to_counts()?;
        if let Some(cleared) = &self.tail.cleared {
            let length = cleared.end.saturating_sub(cleared.start);
            match self.sealing {
                None => self.data.zero(cleared.start, length, ZeroHow::Keep)?,
                Some(sealing) => sealing.write_zeros(&self.data, self.old, cleared.start, length)?,
            }
            if self.tree.apart {
                self.data.flush()?;
            }
        }
        if let (Some(edge), Some(words), None) = (&self.edge, &made.edge, made.edge_at) {
            grow.write_behind(edge.offset, words.as_bytes())?;
        }
        if self.moves_l1(made) {
            return Ok(());
        }
        let mut piece: Vec<U64> = Vec::new();
        let mut start = 0;
        for (number, word) in self.links(made) {
            let next = add(start, from_usize(piece.len()))?;
            if number != next || from_usize(piece.len()) >= L1_TOGETHER {
                self.enter_l1(grow, start, &piece)?;
                piece.clear();
                start = number;
            }
            piece.push(word);
        }
        self.enter_l1(grow, start, &piece)
    }

    fn enter_l1(&self, grow: &mut Grow<'h>, first: u64, words: &[U64]) -> Result<()> {
        if words.is_empty() {
            return Ok(());
        }
        grow.write_behind(add(self.tree.l1.offset, shl(first, 3)?)?, words.as_bytes())
    }
}

/// Entries that the L1 table of a tree can have where it is: the rest of its last cluster is zero, and only the table's.
fn l1_room<'h>(look: &mut Look<'h>, tree: &Tree<'h>) -> Result<u64> {
    let roots = tree.roots()?;
    let Some(last) = roots.end.checked_sub(1).filter(|_| !roots.is_empty()) else {
        return Ok(0);
    };
    let l1 = tree.l1;
    let whole = shl(
        roots.end.saturating_sub(roots.start),
        tree.layout.cluster_bits().saturating_sub(3),
    )?;
    let mut rest = alloc::vec![U64::ZERO; to_usize(whole.saturating_sub(l1.entries))?];
    tree.file
        .read_padded(add(l1.offset, shl(l1.entries, 3)?)?, rest.as_mut_bytes())?;
    let is_free = look.ledger.count(last)? == 1 && rest.iter().all(|word| *word == U64::ZERO);
    Ok(if is_free { whole } else { l1.entries })
}

/// Bytes of L2 tables that are written together. Ours.
const TABLE_BYTES: u64 = 1 << 20;
/// Entries of an L1 table that are written together. Ours: 512 KiB.
const L1_TOGETHER: u64 = 65536;
