//! The keys of images with sealed data.

use alloc::vec::Vec;

use instar_abi::Slot;
use instar_disk::Key;

/// Keys, each with the file whose data it is for. One file has one key, whatever names and passphrases led to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(Vec<(Slot, Key)>);

impl Keys {
    /// What data in that file is decrypted with.
    pub(crate) fn of(&self, slot: Slot) -> Option<&Key> {
        self.0
            .iter()
            .find(|(known, _)| *known == slot)
            .map(|(_, key)| key)
    }

    /// And those.
    pub(crate) fn and(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }
}

impl FromIterator<(Slot, Key)> for Keys {
    fn from_iter<I: IntoIterator<Item = (Slot, Key)>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}
