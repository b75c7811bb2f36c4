//! Disks behind servers: what drivers and verbs do with a file is done with an export by the protocol, and they see no difference.
//!
//! ```text
//!  verb, driver ──► Remote ──┬── a file of the host's ─────────────► Host
//!                            └── an export ──► Connection ──► Send, Receive ──► Host
//! ```
//!
//! In a batch, the requests to a server go out first. What is for the host is done while the server works, and then the replies are taken.

mod line;
mod serve;

use alloc::vec::Vec;

use instar_abi::Job;
use instar_abi::job::Export;
use instar_abi::report::Stage;
use instar_disk::{Fault, FileFacts, FileKind, Host, HostFilter, Io, Result, Slot, Turnstile, fault};
use instar_nbd::Connection;

use crate::session::{At, Outcome};
use line::Line;

/// An export that is open.
struct Disk {
    /// The slot by which the job calls it: that of the connection.
    slot: Slot,
    size: u64,
    read_only: bool,
    connection: Turnstile<Connection>,
}

/// A host some of whose files are exports of servers.
pub(crate) struct Remote<'h> {
    host: &'h dyn Host,
    disks: Vec<Disk>,
}

impl<'h> Remote<'h> {
    /// The host and the job as they look when the exports that the job names are files.
    ///
    /// # Errors
    /// What a server says, or what is wrong with how it says it.
    pub(crate) fn new(host: &'h dyn Host, job: &Job) -> Outcome<(Self, Job)> {
        let mut remote = Self {
            host,
            disks: Vec::new(),
        };
        let mut job = job.clone();
        let verb = job.verb.clone();
        for (index, source) in (0..).zip(verb.sources()) {
            for layer in source.layers() {
                if let Some(export) = &layer.export {
                    let opened = remote.enter(layer.slot, export, &mut job.files, false);
                    opened.at(Stage::OpenSource(index))?;
                }
            }
        }
        if let Some((slot, export)) = verb
            .target()
            .and_then(|target| Some((target.slot, target.export.as_ref()?)))
        {
            remote
                .enter(slot, export, &mut job.files, true)
                .at(Stage::OpenTarget)?;
        }
        Ok((remote, job))
    }

    fn enter(&mut self, slot: Slot, export: &Export, files: &mut [FileFacts], writable: bool) -> Result<()> {
        let in_slot = |fault: Fault| fault.in_file(slot);
        let mut line = Line::new(self.host, slot);
        let connection = Connection::open(&mut line, export.name.as_bytes()).map_err(in_slot)?;
        let about = connection.export();
        if writable && about.is_read_only() {
            return Err(in_slot(Fault::new(fault::nbd::READ_ONLY)));
        }
        let facts = files.iter_mut().find(|facts| facts.slot == slot);
        let facts = facts.ok_or_else(|| in_slot(crate::session::internal(line!())))?;
        facts.size = about.size();
        facts.writable = writable;
        // What is written to keeps its length, and where data is in what is read can be asked.
        facts.kind = if writable {
            FileKind::Block
        } else {
            FileKind::Regular
        };
        self.disks.push(Disk {
            slot,
            size: about.size(),
            read_only: !writable,
            connection: Turnstile::new(connection),
        });
        Ok(())
    }

    /// The end of the run: what was written is settled, and the servers are told that nothing more comes.
    ///
    /// # Errors
    /// The run's, or that of a server that cannot settle what was written.
    pub(crate) fn close<T>(self, done: Outcome<T>) -> Outcome<T> {
        let mut done = done;
        for disk in self.disks {
            let mut line = Line::new(self.host, disk.slot);
            let mut connection = disk.connection.into_inner();
            if !disk.read_only && done.is_ok() {
                let settled = connection
                    .flush(&mut line)
                    .map_err(|fault| fault.in_file(disk.slot));
                done = settled.at(Stage::Finish).and(done);
            }
            // A server that is gone already has nothing to be told, and everything has been read and written.
            let _ = connection.close(&mut line);
        }
        done
    }

    fn disk(&self, slot: Slot) -> Option<&Disk> {
        self.disks.iter().find(|disk| disk.slot == slot)
    }
}

impl HostFilter for Remote<'_> {
    fn below(&self) -> &dyn Host {
        self.host
    }

    fn submit(&self, batch: &mut [Io<'_>]) {
        self.carry_out(batch);
    }

    fn is_remote(&self, slot: Slot) -> bool {
        self.disk(slot).is_some()
    }
}

/// Whether the job names an export.
pub(crate) fn is_needed(job: &Job) -> bool {
    let sources = job.verb.sources();
    let mut layers = sources.into_iter().flat_map(|source| source.layers());
    layers.any(|layer| layer.export.is_some())
        || job.verb.target().is_some_and(|target| target.export.is_some())
}
