//! Sound inputs, made by code: the verbs that write images, and what the test kit lays out by hand.

mod foreign;
mod images;
mod partitions;

pub use images::{changeable, descriptors, images};
pub use partitions::partitions;

/// Bytes of the disks.
const DISK: usize = 320 << 10;

/// A small disk: text, noise, a sector of one byte, and much that is zero.
#[must_use]
pub fn disk() -> Vec<u8> {
    let mut disk = vec![0; DISK];
    let text = b"A sector of a disk image, ".iter().cycle();
    for (byte, letter) in disk[512..1324].iter_mut().zip(text) {
        *byte = *letter;
    }
    let mut dice = crate::Dice::new(0);
    for byte in &mut disk[70_000..70_300] {
        *byte = dice.roll() as u8;
    }
    disk[200_704..201_216].fill(0x55);
    disk[DISK - 3] = 1;
    disk
}
