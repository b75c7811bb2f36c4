//! An input: choices of the oracle, and files with holes.
//!
//! Images of some formats begin with megabytes of nothing. What is stored of a file are its pieces:
//!
//! ```text
//!  8 bytes   seed of the oracle's choices
//!  pieces    file: u8, offset: 48 bits, length: u16, then so many bytes; little-endian
//!            without bytes: the length of the file is `offset`
//! ```
//!
//! Any bytes are a case: what is cut off or names too many files counts as far as it goes.

use instar_testkit::Content;

use crate::Dice;

/// Files of a case: an image, and what it may name.
pub const FILES: usize = 3;

/// Bytes of the seed.
pub const SEED: usize = 8;

/// Bytes before those of a piece.
pub const HEAD: usize = 9;

/// Bytes of the longest piece that [`Case::encode`] makes.
const PIECE: usize = 2048;

/// A run of zeros that is worth a piece's head.
const GAP: usize = 24;

/// Bytes that one file may hold beside its holes. Ours: images of this size have every structure.
pub const STORED: u64 = 32 << 20;

/// Where a file ends at the latest. Ours: a check wants a bit of memory for each cluster of a file, and gets gigabytes here that the
/// sandbox would refuse.
pub const END: u64 = 1 << 37;

/// What is put to an oracle.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// Where the oracle's choices come from.
    pub seed: u64,
    /// The image and the files beside it. Those that are empty are not there.
    pub files: [Content; FILES],
}

/// A part of a file as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Of which file.
    pub file: usize,
    /// Where.
    pub offset: u64,
    /// What; nothing: the file ends here.
    pub bytes: Vec<u8>,
}

impl Case {
    /// A case of these files.
    #[must_use]
    pub fn of(files: &[&[u8]]) -> Self {
        let mut case = Self::default();
        for (file, bytes) in case.files.iter_mut().zip(files) {
            *file = Content::from(*bytes);
        }
        case
    }

    /// What `bytes` stand for.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Self {
        let (seed, pieces) = pieces(bytes);
        Self::assemble(seed, &pieces)
    }

    /// The case of these pieces; later ones go over earlier ones.
    #[must_use]
    pub fn assemble(seed: u64, pieces: &[Piece]) -> Self {
        let mut case = Self {
            seed,
            ..Self::default()
        };
        for piece in pieces {
            let Some(file) = case.files.get_mut(piece.file) else {
                continue;
            };
            match piece.bytes.as_slice() {
                _ if piece.offset > END => {}
                [] => file.set_length(piece.offset),
                _ if file.stored() >= STORED => {}
                bytes => file.write(piece.offset, bytes),
            }
        }
        case
    }

    /// The pieces of its files, without zeros.
    #[must_use]
    pub fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (number, file) in self.files.iter().enumerate() {
            let mut at = 0;
            while let Some(range) = file.data(at) {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                file.read(range.start, &mut bytes);
                for (offset, bytes) in islands(&bytes) {
                    pieces.push(Piece {
                        file: number,
                        offset: range.start + offset as u64,
                        bytes: bytes.to_vec(),
                    });
                }
                at = range.end;
            }
            if !file.is_empty() {
                pieces.push(Piece {
                    file: number,
                    offset: file.len(),
                    bytes: Vec::new(),
                });
            }
        }
        pieces
    }

    /// The bytes that stand for it.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self.seed, &self.pieces())
    }

    /// What the oracle chooses by.
    #[must_use]
    pub fn dice(&self) -> Dice {
        Dice::new(self.seed)
    }
}

/// The seed and the pieces of an input.
#[must_use]
pub fn pieces(bytes: &[u8]) -> (u64, Vec<Piece>) {
    let Some((seed, mut rest)) = bytes.split_first_chunk::<SEED>() else {
        return (0, Vec::new());
    };
    let mut pieces = Vec::new();
    while let Some((head, tail)) = rest.split_first_chunk::<HEAD>() {
        let [file, a, b, c, d, e, f, length @ ..] = *head;
        let length = usize::from(u16::from_le_bytes(length)).min(tail.len());
        let (bytes, next) = tail.split_at(length);
        pieces.push(Piece {
            file: file.into(),
            offset: u64::from_le_bytes([a, b, c, d, e, f, 0, 0]),
            bytes: bytes.to_vec(),
        });
        rest = next;
    }
    (u64::from_le_bytes(*seed), pieces)
}

/// The bytes that stand for a seed and pieces.
#[must_use]
pub fn encode(seed: u64, pieces: &[Piece]) -> Vec<u8> {
    let mut bytes = seed.to_le_bytes().to_vec();
    for piece in pieces {
        bytes.push(piece.file as u8);
        bytes.extend_from_slice(&piece.offset.to_le_bytes()[..6]);
        bytes.extend_from_slice(&(piece.bytes.len() as u16).to_le_bytes());
        bytes.extend_from_slice(&piece.bytes);
    }
    bytes
}

/// The parts of `bytes` between long runs of zeros, none longer than a piece.
fn islands(bytes: &[u8]) -> Vec<(usize, &[u8])> {
    let mut islands = Vec::new();
    let mut at = 0;
    while let Some(start) = next(bytes, at, |byte| byte != 0) {
        let (mut end, mut zeros) = (start, 0);
        for byte in &bytes[start..] {
            zeros = if *byte == 0 { zeros + 1 } else { 0 };
            end += 1;
            if zeros == GAP || end - start == PIECE {
                break;
            }
        }
        islands.push((start, &bytes[start..end - zeros]));
        at = end;
    }
    islands
}

fn next(bytes: &[u8], from: usize, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let found = bytes[from..].iter().position(|byte| wanted(*byte))?;
    Some(from + found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_what_was_encoded() {
        let mut image = vec![0; 100_000];
        image[10..5000].fill(7);
        image[5100..5110].fill(8);
        image[70_001] = 9;
        let mut case = Case::of(&[&image, b"", b"beside"]);
        case.seed = 99;
        let encoded = case.encode();
        assert!(encoded.len() < 5200, "{}", encoded.len());
        let again = Case::decode(&encoded);
        assert_eq!(again.seed, 99);
        assert_eq!(again.files[0].bytes(), image);
        assert_eq!(again.files[1].len(), 0);
        assert_eq!(again.files[2].bytes(), b"beside");
        assert_eq!(again.encode(), encoded);
    }

    #[test]
    fn any_bytes_are_a_case() {
        let encoded = Case::of(&[b"some bytes", b"others"]).encode();
        for end in 0..encoded.len() {
            let case = Case::decode(&encoded[..end]);
            assert!(case.files[0].len() <= 10, "{end}");
        }
        assert_eq!(Case::decode(&[0xff; 100]).files[0].len(), 0);
    }
}
