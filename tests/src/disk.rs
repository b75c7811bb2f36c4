//! Raw disks whose every byte tells where it belongs, so that a misplaced block shows.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub use instar_testkit::pattern::{lines as text, mix, seeded as pattern};

/// A piece of a disk.
#[derive(Clone, Copy, Debug)]
pub enum Piece {
    /// Bytes made of their offset and a seed.
    Data(u64, u64, u64),
    /// Bytes that are zero and written as such.
    Zeros(u64, u64),
    /// Text that compresses well, each line naming its offset.
    Text(u64, u64),
}

/// Makes a sparse raw disk of `size` bytes out of `pieces`.
///
/// # Panics
///
/// If it cannot be written.
pub fn make(path: &Path, size: u64, pieces: &[Piece]) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    write(&file, pieces);
}

/// Writes `pieces` into an existing file.
///
/// # Panics
///
/// If it cannot be written.
pub fn write(file: &File, pieces: &[Piece]) {
    for piece in pieces {
        match *piece {
            Piece::Data(offset, length, seed) => {
                file.write_all_at(&pattern(offset, length, seed), offset).unwrap()
            }
            Piece::Zeros(offset, length) => file.write_all_at(&vec![0; length as usize], offset).unwrap(),
            Piece::Text(offset, length) => file.write_all_at(&text(offset, length), offset).unwrap(),
        }
    }
}

/// The usual disk of the suite: 4 MiB and a sector, with data, text, written zeros, holes, single sectors, and data at
/// its very end.
///
/// # Panics
///
/// If it cannot be written.
pub fn usual(path: &Path) {
    make(path, USUAL_BYTES, &usual_pieces(1));
}

/// Size of [`usual`].
pub const USUAL_BYTES: u64 = (4 << 20) + 512;

/// What [`usual`] holds, with a seed of the caller's.
#[must_use]
pub fn usual_pieces(seed: u64) -> Vec<Piece> {
    vec![
        Piece::Data(0, 4096, seed),
        Piece::Text(64 << 10, 200 << 10),
        Piece::Data((512 << 10) + 512, 512, seed),
        Piece::Data(1 << 20, 300 << 10, seed),
        Piece::Zeros((1 << 20) + (300 << 10), 200 << 10),
        Piece::Data((2 << 20) - 1024, 2048, seed),
        Piece::Zeros(2_200_000 / 512 * 512, 128 << 10),
        Piece::Text(3 << 20, 70_000 / 512 * 512),
        Piece::Data(USUAL_BYTES - 1536, 1536, seed),
    ]
}
