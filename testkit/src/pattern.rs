//! Bytes that say where they belong, so that a misplaced block shows.

/// Bytes of a mebibyte.
pub const MIB: u64 = 1 << 20;

/// Bytes that no other place has: each 8-byte word is a scrambled number of its offset, and never zero.
#[must_use]
pub fn pattern(offset: u64, length: u64) -> Vec<u8> {
    words(offset, length, |word| {
        word.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1
    })
}

/// Bytes that depend on where they stand and on a seed: no two 8-byte words of a disk are the same.
#[must_use]
pub fn seeded(offset: u64, length: u64, seed: u64) -> Vec<u8> {
    words(offset, length, |word| mix(word ^ seed.rotate_left(40)))
}

fn words(offset: u64, length: u64, of: impl Fn(u64) -> u64) -> Vec<u8> {
    let skip = usize::try_from(offset % 8).unwrap();
    let length = usize::try_from(length).unwrap();
    let mut bytes = vec![0; (skip + length).next_multiple_of(8)];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(offset / 8..) {
        chunk.copy_from_slice(&of(word).to_le_bytes());
    }
    bytes.truncate(skip + length);
    bytes.split_off(skip)
}

/// A mixing step whose result looks random and is never zero for long.
#[must_use]
pub fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Lines that name their offset: they compress well.
#[must_use]
pub fn lines(offset: u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length as usize + 64);
    while (bytes.len() as u64) < length {
        let line = format!(
            "this line stands at byte {:>12} of the disk\n",
            offset + bytes.len() as u64
        );
        bytes.extend_from_slice(line.as_bytes());
    }
    bytes.truncate(length as usize);
    bytes
}

/// Whether all is zero; by the library's comparison, which is fast without optimisation too.
#[must_use]
pub fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: &[u8] = &[0; 1 << 16];
    bytes
        .chunks(ZEROS.len())
        .all(|piece| piece == &ZEROS[..piece.len()])
}

/// Two disks are the same; if not, it says where they first differ. It looks byte by byte only for that, which takes a test without
/// optimisation a hundred times longer.
///
/// # Panics
/// If they differ.
#[track_caller]
pub fn assert_same(ours: &[u8], theirs: &[u8], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}: sizes");
    if ours != theirs {
        let at = ours.iter().zip(theirs).position(|(one, two)| one != two);
        panic!("{what}: first difference at byte {at:#x?}");
    }
}
