//! What disks hold, in ways that a shell can make too.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A piece of a disk: offset and length.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Piece {
    /// Lines of 32 bytes, each with its number: no two places are alike, and all of it compresses well.
    Lines(u64, u64),
    /// Bytes that do not compress, of a seed.
    Noise(u64, u64, u32),
    /// One byte, over and over.
    Fill(u64, u64, u8),
}

impl Piece {
    /// Where it begins and how long it is.
    pub(crate) fn range(&self) -> (u64, u64) {
        match *self {
            Self::Lines(at, length) | Self::Noise(at, length, _) | Self::Fill(at, length, _) => (at, length),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match *self {
            Self::Lines(at, length) => {
                let (first, end) = (at / LINE, (at + length).div_ceil(LINE));
                let mut text = String::with_capacity((length + 2 * LINE) as usize);
                for number in first..end {
                    text.push_str(&format!("{number:031}\n"));
                }
                let skip = (at % LINE) as usize;
                text.as_bytes()[skip..skip + length as usize].to_vec()
            }
            Self::Noise(_, length, seed) => {
                let mut state = seed;
                let next = |_| {
                    state = state.wrapping_mul(MULTIPLIER).wrapping_add(1);
                    (state >> 24) as u8
                };
                (0..length).map(next).collect()
            }
            Self::Fill(_, length, byte) => vec![byte; length as usize],
        }
    }

    /// The command that writes it into `file`.
    pub(crate) fn command(&self, file: &str) -> String {
        let (at, length) = self.range();
        let source = match *self {
            Self::Lines(..) => {
                let (first, end) = (at / LINE, (at + length).div_ceil(LINE));
                format!(
                    "seq -f %031.0f {first} {} | tail -c +{}",
                    end.max(first + 1) - 1,
                    at % LINE + 1
                )
            }
            Self::Noise(_, _, seed) => format!(
                "perl -e '$x = {seed}; for (1..{length}) {{ $x = ($x * {MULTIPLIER} + 1) & 0xffffffff; print pack(\"C\", $x >> 24) }}'"
            ),
            Self::Fill(_, _, byte) => format!("head -c {length} /dev/zero | tr '\\0' '\\{byte:03o}'"),
        };
        format!(
            "{source} | head -c {length} | dd of={file} bs=64k iflag=fullblock oflag=seek_bytes seek={at} conv=notrunc status=none"
        )
    }
}

/// Makes a raw disk.
pub(crate) fn make(path: &Path, size: u64, pieces: &[Piece]) {
    let file = File::create(path).unwrap();
    file.set_len(size).unwrap();
    for piece in pieces {
        let (at, _) = piece.range();
        let mut bytes = piece.bytes();
        bytes.truncate(size.saturating_sub(at) as usize);
        file.write_all_at(&bytes, at).unwrap();
    }
}

const LINE: u64 = 32;
/// Of the generator of noise: that of the VAX.
const MULTIPLIER: u32 = 69069;
