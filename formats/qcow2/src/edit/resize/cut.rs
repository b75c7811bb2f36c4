//! What the tables of the active disk hold behind an end: found, then cleared and given up.

use alloc::vec::Vec;

use instar_disk::{Result, from_usize};
use zerocopy::IntoBytes;
use zerocopy::big_endian::U64;

use crate::edit::transaction::{Grow, Look, Release};
use crate::edit::tree::{Met, Table, Tree};
use crate::num::{add, index, shl, shr, shr_up};
use crate::raw::entry;

/// Everything behind an end, known to be counted.
pub(super) struct Cut<'h> {
    tree: Tree<'h>,
    /// The first L2 table of which nothing is kept.
    first: u64,
    edge: Option<Edge>,
    /// Something is there besides.
    more: bool,
}

/// The L2 table that the end lies in, if something is in it behind the end.
struct Edge {
    table: Table,
    /// The first of its words that goes.
    from: usize,
    /// A snapshot has it too: it is copied, and the copy goes here.
    copy: Option<Copy>,
}

struct Copy {
    offset: u64,
    /// The entry of the L1 table.
    entry: u64,
}

impl<'h> Cut<'h> {
    /// What is behind byte `end` of the disk; `judged`: all of the disk's clusters are known to be counted.
    ///
    /// # Errors
    /// Something that is not counted, or a table at an impossible place.
    pub(super) fn look(look: &mut Look<'h>, end: u64, judged: bool) -> Result<Self> {
        let layout = look.layout;
        let tree = Tree::of(look, look.header.l1);
        let cluster = shr_up(end, layout.cluster_bits());
        let number = shr(cluster, layout.table_bits());
        let within = cluster & shl(1, layout.table_bits())?.wrapping_sub(1);
        let mut edge = None;
        if within != 0
            && let Some(table) = tree.table(number)?
        {
            let from = index(within).saturating_mul(tree.step());
            if table.words.iter().skip(from).any(|word| *word != U64::ZERO) {
                if !judged {
                    judge(look, &tree, &rest_of(&table, from))?;
                }
                edge = Some(Edge {
                    table,
                    from,
                    copy: None,
                });
            }
        }
        let first = add(number, u64::from(within != 0))?;
        let mut more = false;
        if judged {
            more = tree.has_tables(first)?;
        } else {
            tree.each(first, &mut |table| {
                more = true;
                judge(look, &tree, &table)
            })?;
        }
        Ok(Self {
            tree,
            first,
            edge,
            more,
        })
    }

    /// Whether nothing is there.
    pub(super) const fn is_empty(&self) -> bool {
        self.edge.is_none() && !self.more
    }

    /// Copies a table that a snapshot shares.
    pub(super) fn prepare(&mut self, grow: &mut Grow<'h>) -> Result<()> {
        let Some(edge) = &mut self.edge else {
            return Ok(());
        };
        let bits = self.tree.layout.cluster_bits();
        if grow.is_single(shr(edge.table.offset, bits))? {
            return Ok(());
        }
        let offset = grow.take(1)?;
        let mut words = edge.table.words.clone();
        words
            .iter_mut()
            .skip(edge.from)
            .for_each(|word| *word = U64::ZERO);
        grow.write(offset, words.as_bytes())?;
        edge.copy = Some(Copy {
            offset,
            entry: add(self.tree.l1.offset, shl(edge.table.index, 3)?)?,
        });
        Ok(())
    }

    /// Clears it, and gives up what it referred to.
    pub(super) fn carry_out(&self, release: &mut Release<'h>) -> Result<()> {
        let bits = self.tree.layout.cluster_bits();
        if let Some(edge) = &self.edge {
            let rest = rest_of(&edge.table, edge.from);
            match &edge.copy {
                None => release.write_table(
                    rest.offset,
                    &rest.words,
                    &alloc::vec![U64::ZERO; rest.words.len()],
                )?,
                Some(copy) => {
                    release.write_table(copy.entry, &[], &[U64::new(copy.offset | entry::COPIED)])?;
                }
            }
            release.settle()?;
            self.tree.runs(&rest, &mut |clusters| release.lower(clusters))?;
            if edge.copy.is_some() {
                let own = shr(edge.table.offset, bits);
                release.lower(own..add(own, 1)?)?;
            }
        }
        if !self.more {
            return Ok(());
        }
        let mut met = Met::none(&self.tree)?;
        let mut at = self.first;
        while at < self.tree.l1.entries {
            let old = self.tree.l1_entries(at, TOGETHER)?;
            release.write_table(
                add(self.tree.l1.offset, shl(at, 3)?)?,
                &old,
                &alloc::vec![U64::ZERO; old.len()],
            )?;
            release.settle()?;
            self.tree
                .each_of(at, &old, &mut met, &mut |_| Ok(true), &mut |table| {
                    self.tree.runs(&table, &mut |clusters| release.lower(clusters))?;
                    let own = shr(table.offset, bits);
                    release.lower(own..add(own, 1)?)
                })?;
            at = add(at, from_usize(old.len()))?;
        }
        Ok(())
    }
}

/// The table from this word on.
fn rest_of(table: &Table, from: usize) -> Table {
    let words: Vec<U64> = table.words.get(from..).unwrap_or_default().to_vec();
    Table {
        index: table.index,
        offset: table.offset.saturating_add(from_usize(from.saturating_mul(8))),
        words,
    }
}

/// Whether the table and all that it refers to is counted.
fn judge<'h>(look: &mut Look<'h>, tree: &Tree<'h>, table: &Table) -> Result<()> {
    let own = shr(table.offset, tree.layout.cluster_bits());
    look.judge_counted(own..add(own, 1)?)?;
    tree.runs(table, &mut |clusters| look.judge_counted(clusters))
}

/// Entries of the L1 table that are cleared at a time: a flush each. Ours: 512 KiB.
const TOGETHER: u64 = 65536;
