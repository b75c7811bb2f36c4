//! What `info` shows.

use alloc::boxed::Box;

use instar_crypt::STRIPES;
use instar_crypt::luks1::{Header, Slot as KeySlot};
use instar_disk::report::{Info, LuksInfo, LuksSlot, Specific};
use instar_disk::{Format, ImageText, Slot};

/// Describes the disk in that file.
pub(crate) fn of(slot: Slot, header: &Header, size: u64) -> Info {
    let cipher = &header.cipher;
    let text = |name: &str| ImageText::new(name.as_bytes());
    // Other generators may have a hash, too, which does nothing.
    let hash = cipher
        .ivhash
        .filter(|_| cipher.ivgen == instar_disk::IvGenerator::Essiv);
    Info {
        encrypted: true,
        specific: Some(Specific::Luks(Box::new(LuksInfo {
            cipher: text(cipher.algorithm.name()),
            cipher_mode: text(cipher.mode.name()),
            iv_generator: text(cipher.ivgen.name()),
            iv_generator_hash: hash.map(|hash| text(hash.name())),
            hash: text(header.hash.name()),
            uuid: ImageText::new(header.uuid()),
            detached: false,
            payload_offset: header.payload_offset,
            master_key_iterations: header.digest_iterations(),
            slots: header.slots.iter().map(key_slot).collect(),
        }))),
        ..Info::of(slot, Format::Luks, size)
    }
}

fn key_slot(slot: &KeySlot) -> LuksSlot {
    LuksSlot {
        key_offset: slot.offset,
        active: slot.active.map(|iterations| (iterations, STRIPES)),
    }
}
