//! Parallels disks that qemu-img does not make.
#![allow(dead_code, reason = "each test file uses some of it")]

use instar_testkit::packed;

/// An image with the old magic, whose entries count sectors.
pub(crate) fn make_old(bytes: &mut [u8]) {
    let word = |at: usize, bytes: &[u8]| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let (tracks, entries) = (word(28, bytes), word(32, bytes));
    bytes[..16].copy_from_slice(b"WithoutFreeSpace");
    for entry in 0..usize::try_from(entries).unwrap() {
        let at = 64 + 4 * entry;
        let sectors = word(at, bytes) * tracks;
        bytes[at..at + 4].copy_from_slice(&sectors.to_le_bytes());
    }
}

/// The data of a bitmap: sectors of the disk, sectors of a bit, the table.
pub(crate) fn bitmap(sectors: u64, granularity: u32, table: &[u64]) -> Vec<u8> {
    let mut data = sectors.to_le_bytes().to_vec();
    data.extend_from_slice(&[7; 16]);
    data.extend_from_slice(&granularity.to_le_bytes());
    data.extend_from_slice(&u32::try_from(table.len()).unwrap().to_le_bytes());
    data.extend(table.iter().flat_map(|entry| entry.to_le_bytes()));
    data
}

/// A feature with its header, up to a bound of 8.
pub(crate) fn feature(magic: u64, flags: u64, data: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_le_bytes().to_vec();
    bytes.extend_from_slice(&flags.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(data.len()).unwrap().to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

pub(crate) const BITMAP: u64 = 0x2038_5fae_252c_b34a;

/// Puts an extension with these bitmaps behind the image.
pub(crate) fn extend(bytes: &mut Vec<u8>, bitmaps: &[Vec<u8>]) {
    let mut features: Vec<u8> = bitmaps.iter().flat_map(|data| feature(BITMAP, 0, data)).collect();
    features.extend_from_slice(&feature(0, 0, &[]));
    extend_with(bytes, &features);
}

/// Likewise, with these bytes behind the sum.
pub(crate) fn extend_with(bytes: &mut Vec<u8>, features: &[u8]) {
    let tracks = u32::from_le_bytes(bytes[28..32].try_into().unwrap());
    let cluster = usize::try_from(tracks).unwrap() * 512;
    let at = bytes.len() as u64 / 512;
    let mut rest = features.to_vec();
    rest.resize(cluster - 24, 0);
    let told = packed("md5sum", &[], &rest);
    let sum: Vec<u8> = (0..16)
        .map(|byte| {
            u8::from_str_radix(std::str::from_utf8(&told[2 * byte..2 * byte + 2]).unwrap(), 16).unwrap()
        })
        .collect();
    bytes.extend_from_slice(&0xab23_4cef_23dc_ea87_u64.to_le_bytes());
    bytes.extend_from_slice(&sum);
    bytes.extend_from_slice(&rest);
    bytes[56..64].copy_from_slice(&at.to_le_bytes());
}
