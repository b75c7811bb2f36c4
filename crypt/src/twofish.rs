//! Twofish with its key-dependent tables made beforehand.
//!
//! The crate of that name computes them anew for each byte, at a megabyte a second. Specification: "Twofish: A 128-Bit Block Cipher"
//! (Schneier and others, 1998).

use alloc::boxed::Box;

use cipher::consts::{U1, U16};
use cipher::inout::InOut;
use cipher::{
    AlgorithmName, Block, BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherDecrypt,
    BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, ParBlocksSizeUser,
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The four words that whiten the text before the rounds, as many after them, and two for each round.
const WORDS: usize = 40;
/// Pairs of rounds.
const CYCLES: usize = 8;
/// x^8 + x^6 + x^5 + x^3 + 1: the field of the diffusion matrix.
const DIFFUSION: u16 = 0x169;
/// x^8 + x^6 + x^3 + x^2 + 1: the field of the code that mixes the key.
const CODE: u16 = 0x14d;
/// The diffusion matrix, by columns.
const MATRIX: [[u8; 4]; 4] = [
    [0x01, 0x5b, 0xef, 0xef],
    [0xef, 0xef, 0x5b, 0x01],
    [0x5b, 0xef, 0x01, 0xef],
    [0x5b, 0x01, 0xef, 0x5b],
];
/// The matrix of the Reed-Solomon code, by rows.
const REED_SOLOMON: [[u8; 8]; 4] = [
    [0x01, 0xa4, 0x55, 0x87, 0x5a, 0x58, 0xdb, 0x9e],
    [0xa4, 0x56, 0x82, 0xf3, 0x1e, 0xc6, 0x68, 0xe5],
    [0x02, 0xa1, 0xfc, 0xc1, 0x47, 0xae, 0x3d, 0x19],
    [0xa4, 0x55, 0x87, 0x5a, 0x58, 0xdb, 0x9e, 0x03],
];
/// The nibbles that both permutations of bytes are made of.
const NIBBLES: [[[u8; 16]; 4]; 2] = [
    [
        [
            0x8, 0x1, 0x7, 0xd, 0x6, 0xf, 0x3, 0x2, 0x0, 0xb, 0x5, 0x9, 0xe, 0xc, 0xa, 0x4,
        ],
        [
            0xe, 0xc, 0xb, 0x8, 0x1, 0x2, 0x3, 0x5, 0xf, 0x4, 0xa, 0x6, 0x7, 0x0, 0x9, 0xd,
        ],
        [
            0xb, 0xa, 0x5, 0xe, 0x6, 0xd, 0x9, 0x0, 0xc, 0x8, 0xf, 0x3, 0x2, 0x4, 0x7, 0x1,
        ],
        [
            0xd, 0x7, 0xf, 0x4, 0x1, 0x2, 0x6, 0xe, 0x9, 0xb, 0x3, 0x0, 0x8, 0x5, 0xc, 0xa,
        ],
    ],
    [
        [
            0x2, 0x8, 0xb, 0xd, 0xf, 0x7, 0x6, 0xe, 0x3, 0x1, 0x9, 0x4, 0x0, 0xa, 0xc, 0x5,
        ],
        [
            0x1, 0xe, 0x2, 0xb, 0x4, 0xc, 0x3, 0x7, 0x6, 0xd, 0xa, 0x5, 0xf, 0x9, 0x0, 0x8,
        ],
        [
            0x4, 0xc, 0x7, 0x5, 0x1, 0x6, 0x9, 0xa, 0x0, 0xe, 0xd, 0x8, 0x2, 0xb, 0x3, 0xf,
        ],
        [
            0xb, 0x9, 0x5, 0x1, 0xc, 0x3, 0xd, 0xe, 0x6, 0x4, 0x7, 0xf, 0x2, 0x0, 0x8, 0xa,
        ],
    ],
];
/// Which permutation a byte of a word goes through, from the longest key's first step to the last one.
const ORDER: [[usize; 5]; 4] = [[1, 1, 0, 0, 1], [0, 1, 1, 0, 0], [0, 0, 0, 1, 1], [1, 0, 1, 1, 0]];

/// The cipher with its key.
pub(crate) struct Twofish {
    words: [u32; WORDS],
    /// What each byte of a word adds to the diffused word.
    tables: Box<[[u32; 256]; 4]>,
}

impl Drop for Twofish {
    fn drop(&mut self) {
        self.words.zeroize();
        self.tables.as_flattened_mut().zeroize();
    }
}

impl ZeroizeOnDrop for Twofish {}

impl Twofish {
    /// With a key of 16, 24 or 32 bytes.
    pub(crate) fn new(key: &[u8]) -> Self {
        let permutations = [permutation(0), permutation(1)];
        let (pairs, _) = key.as_chunks::<8>();
        // Words of the key at even and at odd places, the first ones first; and the mixed words, the last ones first.
        let mut even = Zeroizing::new([[0; 4]; 4]);
        let mut odd = Zeroizing::new([[0; 4]; 4]);
        let mut mixed = Zeroizing::new([[0; 4]; 4]);
        let used = pairs.len().min(4);
        for (pair, ((even, odd), mixed)) in pairs.iter().zip(
            even.iter_mut()
                .zip(odd.iter_mut())
                .zip(mixed.iter_mut().take(used).rev()),
        ) {
            let [a, b, c, d, e, f, g, h] = *pair;
            *even = [a, b, c, d];
            *odd = [e, f, g, h];
            *mixed = reed_solomon(pair);
        }
        let part = |words: &[[u8; 4]; 4], byte: u8, place: usize| {
            keyed(&permutations, words.get(..used).unwrap_or_default(), byte, place)
        };
        let word = |words: &[[u8; 4]; 4], byte: u8| {
            (0..4).fold(0, |sum, place| sum ^ column(place, part(words, byte, place)))
        };
        let mut words = [0; WORDS];
        let (pairs, _) = words.as_chunks_mut::<2>();
        for (number, [first, second]) in (0_u8..).zip(pairs) {
            let a = word(&even, number.wrapping_mul(2));
            let b = word(&odd, number.wrapping_mul(2).wrapping_add(1)).rotate_left(8);
            *first = a.wrapping_add(b);
            *second = a.wrapping_add(b.wrapping_mul(2)).rotate_left(9);
        }
        let mut tables = Box::new([[0; 256]; 4]);
        for (place, table) in tables.iter_mut().enumerate() {
            for (byte, entry) in (0..=u8::MAX).zip(table) {
                *entry = column(place, part(&mixed, byte, place));
            }
        }
        Self { words, tables }
    }

    /// The key-dependent function of a word.
    #[inline(always)]
    fn substitute(&self, word: u32) -> u32 {
        let [a, b, c, d] = word.to_le_bytes().map(usize::from);
        let [first, second, third, fourth] = &*self.tables;
        // Bytes index tables of 256 entries: the compiler sees that they are there.
        let entry = |table: &[u32; 256], at: usize| table.get(at).copied().unwrap_or(0);
        entry(first, a) ^ entry(second, b) ^ entry(third, c) ^ entry(fourth, d)
    }

    /// What a round adds to the other half of the block.
    #[inline(always)]
    fn round(&self, a: u32, b: u32, keys: [u32; 2]) -> (u32, u32) {
        let [first, second] = keys;
        let a = self.substitute(a);
        let b = self.substitute(b.rotate_left(8));
        let sum = a.wrapping_add(b);
        (sum.wrapping_add(first), sum.wrapping_add(b).wrapping_add(second))
    }

    /// The words that whiten the text before and after the rounds, and those of each pair of rounds.
    fn parts(&self) -> (&[u32; 4], &[u32; 4], &[[u32; 4]]) {
        let (quads, _) = self.words.as_chunks::<4>();
        match quads {
            [before, after, rounds @ ..] => (before, after, rounds),
            _ => (&[0; 4], &[0; 4], &[]),
        }
    }

    fn encrypt(&self, block: [u32; 4]) -> [u32; 4] {
        let (before, after, rounds) = self.parts();
        let [mut a, mut b, mut c, mut d] = whiten(block, before);
        for [first, second, third, fourth] in rounds.iter().take(CYCLES) {
            let (x, y) = self.round(a, b, [*first, *second]);
            c = (c ^ x).rotate_right(1);
            d = d.rotate_left(1) ^ y;
            let (x, y) = self.round(c, d, [*third, *fourth]);
            a = (a ^ x).rotate_right(1);
            b = b.rotate_left(1) ^ y;
        }
        whiten([c, d, a, b], after)
    }

    fn decrypt(&self, block: [u32; 4]) -> [u32; 4] {
        let (before, after, rounds) = self.parts();
        let [mut c, mut d, mut a, mut b] = whiten(block, after);
        for [first, second, third, fourth] in rounds.iter().take(CYCLES).rev() {
            let (x, y) = self.round(c, d, [*third, *fourth]);
            a = a.rotate_left(1) ^ x;
            b = (b ^ y).rotate_right(1);
            let (x, y) = self.round(a, b, [*first, *second]);
            c = c.rotate_left(1) ^ x;
            d = (d ^ y).rotate_right(1);
        }
        whiten([a, b, c, d], before)
    }
}

#[inline(always)]
fn whiten(block: [u32; 4], with: &[u32; 4]) -> [u32; 4] {
    let [a, b, c, d] = block;
    let [e, f, g, h] = with;
    [a ^ e, b ^ f, c ^ g, d ^ h]
}

/// A byte through the permutations and the words, from the last word to the first.
fn keyed(permutations: &[[u8; 256]; 2], words: &[[u8; 4]], byte: u8, place: usize) -> u8 {
    let order = ORDER.get(place).copied().unwrap_or_default();
    let through = |which: usize, byte: u8| {
        let table = permutations.get(which);
        table
            .and_then(|table| table.get(usize::from(byte)))
            .copied()
            .unwrap_or(0)
    };
    let skipped = 4_usize.saturating_sub(words.len());
    let mut byte = byte;
    for (which, word) in order.iter().skip(skipped).zip(words.iter().rev()) {
        byte = through(*which, byte) ^ word.get(place).copied().unwrap_or(0);
    }
    through(order.last().copied().unwrap_or(0), byte)
}

/// A byte times a column of the diffusion matrix.
fn column(place: usize, byte: u8) -> u32 {
    let column = MATRIX.get(place).copied().unwrap_or_default();
    u32::from_le_bytes(column.map(|factor| times(factor, byte, DIFFUSION)))
}

/// Eight bytes of the key as a word of the tables' key.
fn reed_solomon(pair: &[u8; 8]) -> [u8; 4] {
    REED_SOLOMON.map(|row| {
        row.iter()
            .zip(pair)
            .fold(0, |sum, (factor, byte)| sum ^ times(*factor, *byte, CODE))
    })
}

/// The product in a field of 256 elements.
fn times(one: u8, other: u8, polynomial: u16) -> u8 {
    let mut product = 0;
    let mut shifted = u16::from(one);
    for bit in 0..8 {
        if other >> bit & 1 == 1 {
            product ^= shifted;
        }
        shifted <<= 1;
        if shifted & 0x100 != 0 {
            shifted ^= polynomial;
        }
    }
    let [low, _] = product.to_le_bytes();
    low
}

/// One of the two permutations of bytes.
fn permutation(which: usize) -> [u8; 256] {
    let tables = NIBBLES.get(which).copied().unwrap_or_default();
    let [first, second, third, fourth] = tables;
    let nibble = |table: &[u8; 16], at: u8| table.get(usize::from(at & 15)).copied().unwrap_or(0);
    let mix = |a: u8, b: u8| {
        let turned = (b >> 1) | (b << 3);
        (a ^ b, (a ^ turned ^ (a << 3)) & 15)
    };
    let mut all = [0; 256];
    for (byte, entry) in (0..=u8::MAX).zip(&mut all) {
        let (a, b) = mix(byte >> 4, byte & 15);
        let (a, b) = mix(nibble(&first, a), nibble(&second, b));
        *entry = nibble(&fourth, b) << 4 | nibble(&third, a);
    }
    all
}

impl BlockSizeUser for Twofish {
    type BlockSize = U16;
}

impl ParBlocksSizeUser for Twofish {
    type ParBlocksSize = U1;
}

impl AlgorithmName for Twofish {
    fn write_alg_name(f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Twofish")
    }
}

/// A block as words, through a function, and back.
#[inline(always)]
fn through(mut block: InOut<'_, '_, Block<Twofish>>, function: impl Fn([u32; 4]) -> [u32; 4]) {
    let mut words = [0; 4];
    let (bytes, _) = block.get_in().as_slice().as_chunks::<4>();
    for (word, bytes) in words.iter_mut().zip(bytes) {
        *word = u32::from_le_bytes(*bytes);
    }
    let words = function(words);
    let (bytes, _) = block.get_out().as_mut_slice().as_chunks_mut::<4>();
    for (bytes, word) in bytes.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
}

impl BlockCipherEncBackend for Twofish {
    #[inline(always)]
    fn encrypt_block(&self, block: InOut<'_, '_, Block<Self>>) {
        through(block, |words| self.encrypt(words));
    }
}

impl BlockCipherDecBackend for Twofish {
    #[inline(always)]
    fn decrypt_block(&self, block: InOut<'_, '_, Block<Self>>) {
        through(block, |words| self.decrypt(words));
    }
}

impl BlockCipherEncrypt for Twofish {
    fn encrypt_with_backend(&self, f: impl BlockCipherEncClosure<BlockSize = Self::BlockSize>) {
        f.call(self);
    }
}

impl BlockCipherDecrypt for Twofish {
    fn decrypt_with_backend(&self, f: impl BlockCipherDecClosure<BlockSize = Self::BlockSize>) {
        f.call(self);
    }
}
