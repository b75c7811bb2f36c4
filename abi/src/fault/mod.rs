//! What can go wrong, as facts: a code, up to four numbers, perhaps a name from the image.
//!
//! The guest never sends words. Each code has a template here, of which the *host's* copy is the one that is
//! printed: `{0}` to `{3}` are the numbers, `{text}` the image's name (escaped by the host), `{errno}` the
//! system's word for number 0. A format's codes live in a file of its own; hundreds are its range.

pub mod check;
pub mod core;
pub mod qcow2;
pub mod qcow2_write;
pub mod safety;
pub mod vdi;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;

use alloc::boxed::Box;
use serde::{Deserialize, Serialize};

use crate::file::Slot;
use crate::text::ImageText;

/// A kind of failure, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FaultCode(pub u16);

impl FaultCode {
    /// The words for this code, if it is known.
    #[must_use]
    pub fn template(self) -> Option<&'static str> {
        TABLES
            .iter()
            .copied()
            .flatten()
            .find(|(code, _)| *code == self)
            .map(|(_, template)| *template)
    }
}

/// A failure: what, where, and the values that made it one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What.
    pub code: FaultCode,
    /// The file in which it was found, if it concerns one.
    pub slot: Option<Slot>,
    /// What was found, the limit, the offset: as the template says.
    pub numbers: [u64; 4],
    /// A name from the image.
    pub text: Option<Box<ImageText>>,
}

impl Fault {
    /// A fault without particulars.
    #[must_use]
    pub const fn new(code: FaultCode) -> Self {
        Self {
            code,
            slot: None,
            numbers: [0; 4],
            text: None,
        }
    }

    /// With the values that the template prints.
    #[must_use]
    pub fn with<const N: usize>(mut self, numbers: [u64; N]) -> Self {
        for (to, from) in self.numbers.iter_mut().zip(numbers) {
            *to = from;
        }
        self
    }

    /// With the file concerned.
    #[must_use]
    pub const fn in_file(mut self, slot: Slot) -> Self {
        self.slot = Some(slot);
        self
    }

    /// With a name from the image.
    #[must_use]
    pub fn named(mut self, text: &[u8]) -> Self {
        self.text = Some(Box::new(ImageText::new(text)));
        self
    }
}

/// Declares codes and their templates: `NAME = number, "template";` each with a doc comment.
macro_rules! faults {
    ($($(#[$doc:meta])+ $name:ident = $number:literal, $template:literal;)+) => {
        $($(#[$doc])+ pub const $name: $crate::FaultCode = $crate::FaultCode($number);)+
        pub(super) const TABLE: &[($crate::FaultCode, &str)] = &[$(($name, $template)),+];
    };
}
pub(crate) use faults;

/// Every table, one a file.
const TABLES: &[&[(FaultCode, &str)]] = &[
    check::TABLE,
    core::TABLE,
    qcow2::TABLE,
    qcow2_write::TABLE,
    safety::TABLE,
    vdi::TABLE,
    vhd::TABLE,
    vhdx::TABLE,
    vmdk::TABLE,
];

#[cfg(test)]
mod tests {
    use super::TABLES;

    #[test]
    fn every_code_is_used_once() {
        let mut codes: alloc::vec::Vec<u16> =
            TABLES.iter().copied().flatten().map(|(code, _)| code.0).collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }
}
