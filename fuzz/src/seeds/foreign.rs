//! Images of formats that are only read, laid out by the test kit.

use instar_testkit::lay::dmg::{self, Chunk, Home};
use instar_testkit::lay::{
    asif as asif_images, bochs as bochs_images, cloop as cloop_images, ova as ova_images, zst as zst_images,
};

use super::disk;
use crate::Case;

pub(super) fn bochs() -> Vec<Vec<u8>> {
    use bochs_images::{Layout, USUAL, image};
    let old = Layout {
        version: 0x10000,
        extent: 4096,
        backwards: true,
        ..USUAL
    };
    [USUAL, old]
        .map(|layout| Case::of(&[&image(&disk(), layout)]).encode())
        .into()
}

pub(super) fn asif() -> Vec<Vec<u8>> {
    use asif_images::{USUAL, image};
    let second = asif_images::Layout {
        sector: 4096,
        second: true,
        parts: false,
        ..USUAL
    };
    [USUAL, second]
        .map(|layout| Case::of(&[&image(&disk(), layout)]).encode())
        .into()
}

/// Frames of plain bytes and of one byte repeated.
pub(super) fn zst() -> Vec<Vec<u8>> {
    let disk = &disk()[..8192];
    let plain: Vec<_> = disk
        .chunks(4096)
        .map(|bytes| (bytes.len() as u32, frame(0, bytes, bytes.len())))
        .collect();
    let mut mixed = plain.clone();
    mixed.push((65536, frame(1, &[7], 65536)));
    mixed.insert(0, zst_images::skipped(b"not of the disk"));
    [plain, mixed]
        .map(|frames| Case::of(&[&zst_images::file(&frames, false)]).encode())
        .into()
}

/// A frame of zstd with one block of this kind (0 plain, 1 repeated) that stands for so many bytes.
fn frame(kind: u32, bytes: &[u8], length: usize) -> Vec<u8> {
    // One segment, a size of four bytes, no checksum; then the last block.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend_from_slice(&(length as u32).to_le_bytes());
    let head = 1 | kind << 1 | (length as u32) << 3;
    frame.extend_from_slice(&head.to_le_bytes()[..3]);
    frame.extend_from_slice(bytes);
    frame
}

/// A raw disk, whole and in chunks, and one of another format.
pub(super) fn ova() -> Vec<Vec<u8>> {
    use ova_images::{Disk, RAW, image};
    let raw = &disk()[..8192];
    let asif = asif_images::image(&disk()[..8192], asif_images::USUAL);
    let packed = |bytes, format| Disk {
        name: "disk.img",
        bytes,
        capacity: 8192,
        format,
    };
    [
        image(&[packed(raw, RAW)], None),
        image(&[packed(raw, RAW)], Some(3000)),
        image(&[packed(&asif, "")], None),
    ]
    .map(|image| Case::of(&[&image]).encode())
    .into()
}

pub(super) fn cloop() -> Vec<Vec<u8>> {
    [512, 65536]
        .map(|block| Case::of(&[&cloop_images::image(&disk()[..131_072], block)]).encode())
        .into()
}

/// Every codec, and both places for block tables.
pub(super) fn dmg() -> Vec<Vec<u8>> {
    let disk = disk();
    let zlib = dmg::chunks(&disk, 65536, dmg::ZLIB, cloop_images::zlib);
    let adc = dmg::chunks(&disk, 32768, dmg::ADC, dmg::adc);
    let lzfse = dmg::chunks(&disk[..8192], 4096, dmg::LZFSE, dmg::lzfse);
    let raw = dmg::chunks(&disk[..4096], 512, dmg::RAW, <[u8]>::to_vec);
    let sector = |kind, stream: &[u8]| Chunk {
        kind,
        sectors: 1,
        bytes: stream.to_vec(),
    };
    let streams = [sector(dmg::BZIP2, &BZIP2), sector(dmg::XZ, &XZ)];
    let images = [
        dmg::image(&[&zlib, &raw], Home::List),
        dmg::image(&[&adc], Home::Fork),
        dmg::image(&[&lzfse], Home::List),
        dmg::image(&[&streams], Home::List),
    ];
    images.iter().map(|image| Case::of(&[image]).encode()).collect()
}

/// A sector of text as bzip2 has it.
#[rustfmt::skip]
const BZIP2: [u8; 92] = [
    0x42, 0x5a, 0x68, 0x39, 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, 0x9f, 0xe1, 0xe0, 0x00, 0x00, 0x00, 0x44, 0x95, 0x80, 0x40,
    0x04, 0x20, 0x00, 0x2f, 0xaa, 0x9c, 0x00, 0x20, 0x00, 0x6a, 0x0a, 0x55, 0x47, 0xa4, 0xf4, 0x09, 0xa7, 0xa8, 0x14, 0xaa,
    0x27, 0xa4, 0xd3, 0x06, 0xa6, 0xf5, 0x46, 0xe4, 0xd8, 0x9d, 0x51, 0xe1, 0x32, 0x4e, 0x68, 0xc6, 0xf5, 0x1f, 0x68, 0xc1,
    0x35, 0x27, 0x54, 0x64, 0x99, 0x27, 0x14, 0x62, 0x8f, 0x09, 0x82, 0x66, 0x8f, 0x84, 0xd1, 0x32, 0x4f, 0x64, 0xc1, 0x34,
    0x4f, 0xe2, 0xee, 0x48, 0xa7, 0x0a, 0x12, 0x13, 0xfc, 0x3c, 0x00, 0x00,
];

/// The same as xz has it.
#[rustfmt::skip]
const XZ: [u8; 96] = [
    0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 0x00, 0x01, 0x69, 0x22, 0xde, 0x36, 0x02, 0x00, 0x21, 0x01, 0x16, 0x00, 0x00, 0x00,
    0x74, 0x2f, 0xe5, 0xa3, 0xe0, 0x01, 0xff, 0x00, 0x23, 0x5d, 0x00, 0x20, 0x88, 0x0a, 0x66, 0x53, 0x3d, 0xba, 0x7c, 0x20,
    0x8d, 0x60, 0x6d, 0x9d, 0xc3, 0xf7, 0xb1, 0x7e, 0x4d, 0x19, 0x93, 0x8e, 0xbd, 0xdc, 0xcd, 0x14, 0x31, 0xc0, 0xe1, 0x88,
    0xb9, 0xcb, 0x02, 0x9e, 0x50, 0x00, 0x00, 0x00, 0x08, 0xdd, 0xda, 0x89, 0x00, 0x01, 0x3b, 0x80, 0x04, 0x00, 0x00, 0x00,
    0x76, 0x04, 0x6c, 0x93, 0x3e, 0x30, 0x0d, 0x8b, 0x02, 0x00, 0x00, 0x00, 0x00, 0x01, 0x59, 0x5a,
];
