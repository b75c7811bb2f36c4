//! `checksum`: the content of a virtual disk in 32 bytes, the same for the same content in any container.
//!
//! Lanes read, decode and hash chunks at the same time; their digests join the tree in order. Runs of zeros that the tables
//! know of cost nothing.

use alloc::vec::Vec;

use instar_abi::Report;
use instar_abi::job::{Algorithm, Checksum};
use instar_abi::report::{Done, Stage};
use instar_disk::{Host, Turnstile};

use crate::leaves::{Growth, Hashing, Leaf};
use crate::pass::{self, Data, Visit};
use crate::session::{At, Outcome, Session};
use crate::source::Source;

/// Carries out `checksum`.
pub(crate) fn run(session: &Session<'_>, job: &Checksum) -> Outcome<Done> {
    let source = Source::open(session, core::slice::from_ref(&job.source))?;
    let virtual_size = source.size();
    of(session.host, source, job.algorithm)?;
    session.host.progress(1, 1);
    Ok(Done {
        virtual_size,
        ..Done::default()
    })
}

/// Reports the checksum of all of `source`.
fn of(host: &dyn Host, source: Source<'_>, algorithm: Algorithm) -> Outcome<()> {
    let size = source.size();
    let hashing = Hashing::new(algorithm, size).at(Stage::Other)?;
    let hasher = Hasher {
        host,
        hashing,
        growth: Turnstile::new(Growth::new(hashing)),
    };
    pass::over(host, source, (0, size), &hasher)?;
    report(host, hasher.growth.into_inner())
}

/// Hashes leaves as they are read, and joins them in order.
struct Hasher<'h> {
    host: &'h dyn Host,
    hashing: Hashing,
    growth: Turnstile<Growth>,
}

impl Visit for Hasher<'_> {
    type Found = Vec<Leaf>;

    fn look(&self, data: Data<'_>, leaves: &mut Vec<Leaf>) -> Outcome<()> {
        self.hashing
            .hash(data.spans, data.buffer, &data.range(), leaves)
            .at(Stage::Read(data.start))
    }

    fn take(&self, data: Data<'_>, leaves: &Vec<Leaf>) -> Outcome<()> {
        self.growth
            .with(self.host, |growth| growth.add(leaves, data.end))
            .at(Stage::Other)
    }
}

/// Reports the checksum of a disk that has been looked at.
pub(crate) fn report(host: &dyn Host, growth: Growth) -> Outcome<()> {
    let digest = growth.finish().at(Stage::Other)?;
    host.report(&Report::Checksum(digest));
    Ok(())
}
