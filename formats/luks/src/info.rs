//! What `info` shows.

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_crypt::luks1::Slot as KeySlot;
use instar_crypt::{Derivation, STRIPES, luks2};
use instar_disk::report::{Info, LuksInfo, LuksSlot, Specific};
use instar_disk::{CipherSpec, Format, ImageText, IvGenerator, Slot};

use crate::header::Header;

/// Describes the disk in that file.
pub(crate) fn of(slot: Slot, apart: Option<Slot>, header: &Header, size: u64) -> Info {
    let said = match header {
        Header::One(header) => LuksInfo {
            hash: text(header.hash.name()),
            uuid: ImageText::new(header.uuid()),
            master_key_iterations: header.digest_iterations(),
            slots: header.slots.iter().map(key_slot).collect(),
            ..common(&header.cipher)
        },
        Header::Two(header) => LuksInfo {
            version: 2,
            hash: text(derivation(header)),
            uuid: ImageText::new(&header.uuid),
            ..common(&header.cipher)
        },
    };
    Info {
        encrypted: true,
        specific: Some(Specific::Luks(Box::new(LuksInfo {
            payload_offset: header.payload_offset(),
            header: apart,
            ..said
        }))),
        ..Info::of(slot, Format::Luks, size)
    }
}

fn common(cipher: &CipherSpec) -> LuksInfo {
    // Other generators may have a hash, too, which does nothing.
    let hash = cipher.ivhash.filter(|_| cipher.ivgen == IvGenerator::Essiv);
    LuksInfo {
        version: 1,
        cipher: text(cipher.algorithm.name()),
        cipher_mode: text(cipher.mode.name()),
        iv_generator: text(cipher.ivgen.name()),
        iv_generator_hash: hash.map(|hash| text(hash.name())),
        hash: ImageText::default(),
        uuid: ImageText::default(),
        header: None,
        payload_offset: 0,
        master_key_iterations: 0,
        slots: Vec::new(),
    }
}

/// How the first key slot makes its key.
fn derivation(header: &luks2::Header) -> &'static str {
    match header.slots.first().map(|slot| &slot.derivation) {
        Some(Derivation::Pbkdf2 { hash, .. }) => hash.name(),
        Some(Derivation::Argon2 { mixed: true, .. }) => "argon2id",
        Some(Derivation::Argon2 { .. }) => "argon2i",
        None => "",
    }
}

fn text(name: &str) -> ImageText {
    ImageText::new(name.as_bytes())
}

fn key_slot(slot: &KeySlot) -> LuksSlot {
    LuksSlot {
        key_offset: slot.offset,
        active: slot.active.map(|iterations| (iterations, STRIPES)),
    }
}
