//! The files that hold a chain's data.

use instar_abi::Report;
use instar_disk::{Format, Host, ImageText, Slot};

use super::Chain;

impl Chain<'_> {
    /// Tells the names of the files that hold this chain's data, other than those that the user named.
    /// A raw image names itself: its bytes are those of the file, whatever parts of it lie between.
    pub(crate) fn report_names(&self, host: &dyn Host) {
        if let Some(top) = self.layers.first().filter(|top| top.format == Format::Raw) {
            named(host, top.facts.slot, top.facts.slot, b"");
        }
        for layer in &self.layers {
            if let Some((namer, name)) = &layer.named {
                named(host, *namer, layer.facts.slot, name);
            }
            for (slot, name) in layer.image.others() {
                named(host, layer.facts.slot, slot, name.as_bytes());
            }
        }
    }

    /// The files that hold this chain's data.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.layers.iter().flat_map(|layer| {
            let others = layer.image.others().into_iter().map(|(slot, _)| slot);
            core::iter::once(layer.facts.slot).chain(others)
        })
    }
}

fn named(host: &dyn Host, namer: Slot, slot: Slot, name: &[u8]) {
    host.report(&Report::Named {
        slot,
        namer,
        name: ImageText::new(name),
    });
}
