//! A connection that the host holds, as the protocol sees it.

use instar_disk::{Action, Host, Io, Result, Slot, to_usize};
use instar_nbd::Wire;

/// A slot of kind stream.
pub(super) struct Line<'h> {
    host: &'h dyn Host,
    slot: Slot,
}

impl<'h> Line<'h> {
    pub(super) fn new(host: &'h dyn Host, slot: Slot) -> Self {
        Self { host, slot }
    }

    fn one(&self, action: Action<'_>) -> Result<u64> {
        let mut io = [Io::new(action)];
        self.host.submit(&mut io);
        let [io] = io;
        io.outcome.map_err(|error| error.fault(self.slot))
    }
}

impl Wire for Line<'_> {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let slot = self.slot;
        self.one(Action::Send { slot, from: bytes }).map(|_| ())
    }

    fn receive(&mut self, into: &mut [u8]) -> Result<usize> {
        let slot = self.slot;
        to_usize(self.one(Action::Receive { slot, into })?)
    }
}
