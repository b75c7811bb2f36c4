//! What messages refer to, for verbs that look at one image.

use instar_abi::Slot;
use instar_engine::Files;

use super::files::Names;
use crate::show::Name;
use crate::words::Scene;

/// One image, and what it is made of.
pub(crate) struct ImageScene<'a> {
    pub(crate) names: &'a Names,
    /// The image's name as the user wrote it.
    pub(crate) given: &'a [u8],
    pub(crate) files: &'a Files,
}

impl Scene for ImageScene<'_> {
    fn source(&self, _: u32) -> Vec<u8> {
        self.given.to_vec()
    }

    fn target(&self) -> Vec<u8> {
        self.given.to_vec()
    }

    fn file(&self, slot: Slot) -> Option<Name> {
        self.names.get(slot, self.files)
    }

    fn below(&self, slot: Slot, name: &[u8]) -> Name {
        self.names.below(slot, name, self.files)
    }

    fn depth(&self, slot: Slot) -> usize {
        self.names.depth(slot)
    }
}
