//! Failures as facts: a code, up to four numbers, and perhaps a name from the image.
//!
//! The guest never sends prose. Each code has a template here, and the *host* prints its own copy of it: `{0}` to
//! `{3}` are the numbers, `{text}` is the name from the image (escaped by the host), and `{errno}` is the system's
//! message for number 0. Each format has a file and a range of codes of its own.

pub mod amend;
pub mod asif;
pub mod bitmap;
pub mod bochs;
pub mod check;
pub mod cloop;
pub mod compact;
pub mod core;
pub mod dmg;
pub mod luks;
pub mod nbd;
pub mod ova;
pub mod parallels;
pub mod partitions;
pub mod qcow;
pub mod qcow2;
pub mod qcow2_write;
pub mod qed;
pub mod resize;
pub mod safety;
pub mod stream;
pub mod vdi;
pub mod vhd;
pub mod vhdx;
pub mod vmdk;
pub mod zst;

use alloc::boxed::Box;
use serde::{Deserialize, Serialize};

use crate::file::Slot;
use crate::text::ImageText;

/// A kind of failure, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FaultCode(pub u16);

impl FaultCode {
    /// The template of this code, if it is known.
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

/// A failure: its kind, the file, and the values behind it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The kind of failure.
    pub code: FaultCode,
    /// The file concerned, if there is one.
    pub slot: Option<Slot>,
    /// The value found, the limit, the offset: the template gives each its meaning.
    pub numbers: [u64; 4],
    /// A name from the image.
    pub text: Option<Box<ImageText>>,
}

impl Fault {
    /// A fault with a code and nothing else.
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
    amend::TABLE,
    asif::TABLE,
    bitmap::TABLE,
    bochs::TABLE,
    check::TABLE,
    cloop::TABLE,
    compact::TABLE,
    core::TABLE,
    dmg::TABLE,
    luks::TABLE,
    nbd::TABLE,
    ova::TABLE,
    parallels::TABLE,
    partitions::TABLE,
    qcow::TABLE,
    qcow2::TABLE,
    qcow2_write::TABLE,
    qed::TABLE,
    resize::TABLE,
    safety::TABLE,
    stream::TABLE,
    vdi::TABLE,
    vhd::TABLE,
    vhdx::TABLE,
    vmdk::TABLE,
    zst::TABLE,
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
