//! Partitions: `info --partitions` tells of them, and a source can be one of them.
//!
//! The table is read through the chain, so it is that of the disk, whatever the format, the layers and the compression. What is read then
//! is a part of the chain's disk, and the copier knows no difference.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_abi::Report;
use instar_abi::job::Partitions;
use instar_abi::report::{Done, Failure, Stage};
use instar_disk::fault::partitions as found;
use instar_disk::partitions::PartitionChoice;
use instar_disk::{Fault, Host, Result, from_usize};
use instar_partitions::Disk;

use crate::chain::Chain;
use crate::copier::{Assembler, Piece, Span};
use crate::session::{At, Outcome, Session, internal};

/// Carries out `info --partitions`.
pub(crate) fn run(session: &Session<'_>, job: &Partitions) -> Outcome<Done> {
    let mut chain = Chain::open(session, &job.source, Stage::OpenSource(0))?;
    let virtual_size = chain.size();
    let mut bytes = Bytes::new(session.host, &mut chain);
    let table = instar_partitions::read(&mut bytes, job.table).at(Stage::FindPartition(0))?;
    session.host.report(&Report::Partitions(Box::new(table)));
    Ok(Done {
        virtual_size,
        ..Done::default()
    })
}

/// Makes the partition that `choice` says the disk of `chain`, which was opened at `stage`; what is wrong with the table is said.
pub(crate) fn enter(
    host: &dyn Host,
    chain: &mut Chain<'_>,
    choice: PartitionChoice,
    stage: Stage,
) -> Outcome<()> {
    let stage = match stage {
        Stage::OpenSource(index) => Stage::FindPartition(index),
        other => other,
    };
    let mut bytes = Bytes::new(host, chain);
    let table = instar_partitions::read(&mut bytes, choice.table).at(stage)?;
    let (start, size) = instar_partitions::find(&table, choice).at(stage)?;
    for fault in table
        .findings
        .into_iter()
        .filter(|fault| concerns(fault, choice.number))
    {
        host.report(&Report::Warning(Failure { stage, fault }));
    }
    chain.narrow(start..start.saturating_add(size));
    Ok(())
}

/// Whether who reads that partition is to know of it.
fn concerns(fault: &Fault, number: u32) -> bool {
    let [one, other, ..] = fault.numbers;
    match fault.code {
        found::OVERLAP => [one, other].contains(&number.into()),
        found::OUTSIDE_USABLE => one == u64::from(number),
        found::EBR_LOOP | found::EBR_LENGTH | found::EBR_MISSING | found::EBR_OUTSIDE => {
            number >= instar_partitions::FIRST_LOGICAL
        }
        _ => true,
    }
}

/// The disk of a chain, a few bytes at a time.
struct Bytes<'c, 'h> {
    host: &'c dyn Host,
    chain: &'c mut Chain<'h>,
    assembler: Assembler,
    pieces: Vec<Piece>,
    spans: Vec<Span>,
    buffer: Vec<u8>,
}

impl<'c, 'h> Bytes<'c, 'h> {
    fn new(host: &'c dyn Host, chain: &'c mut Chain<'h>) -> Self {
        Self {
            assembler: Assembler::new(chain.keys()),
            host,
            chain,
            pieces: Vec::new(),
            spans: Vec::new(),
            buffer: Vec::new(),
        }
    }
}

impl Disk for Bytes<'_, '_> {
    fn size(&self) -> u64 {
        self.chain.size()
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<()> {
        let end = offset.saturating_add(from_usize(into.len()));
        let mut at = offset;
        self.pieces.clear();
        while at < end {
            let located = self.chain.map(at)?;
            let length = located.length.min(end.saturating_sub(at));
            self.pieces.push(Piece {
                target: at,
                length,
                from: located.from,
                stretch: 0,
                look: false,
            });
            at = at.saturating_add(length);
        }
        self.assembler
            .lay_out(&self.pieces, true, 1, &mut self.spans, &mut self.buffer)?;
        let fetched = self
            .assembler
            .fetch(self.host, false, Vec::new(), &[], &mut self.buffer);
        fetched.map_err(|failure| failure.fault)?;
        // The pieces follow each other: they are one span, from the buffer's start.
        let read = self.buffer.get(..into.len()).ok_or_else(|| internal(line!()))?;
        into.copy_from_slice(read);
        Ok(())
    }
}
