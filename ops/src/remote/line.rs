//! A connection that the host holds, as the protocol sees it.

use instar_disk::{Action, Host, Result, Slot, to_usize};
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
}

impl Wire for Line<'_> {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let slot = self.slot;
        self.host.one(Action::Send { slot, from: bytes }).map(|_| ())
    }

    fn receive(&mut self, into: &mut [u8]) -> Result<usize> {
        let slot = self.slot;
        to_usize(self.host.one(Action::Receive { slot, into })?)
    }
}
