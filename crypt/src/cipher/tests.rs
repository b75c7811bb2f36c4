//! Known answers, and runs that are cut.

use cipher::KeyInit;
use cipher::{BlockCipherDecrypt, BlockCipherEncrypt, array::Array};
use proptest::prelude::*;

use super::*;
use crate::blocks::{Blocks, narrow, wide};
use instar_disk::HashName;

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn spec(algorithm: CipherAlgorithm, mode: CipherMode) -> CipherSpec {
    CipherSpec {
        algorithm,
        mode,
        ivgen: IvGenerator::Plain64,
        ivhash: None,
    }
}

fn both_ways<const N: usize>(cipher: &dyn Blocks<N>, plain: &str, sealed: &str) {
    let (plain, sealed) = (bytes(plain), bytes(sealed));
    let mut block: [u8; N] = plain.clone().try_into().unwrap();
    cipher.encrypt(core::slice::from_mut(&mut block));
    assert_eq!(block[..], sealed[..]);
    cipher.decrypt(core::slice::from_mut(&mut block));
    assert_eq!(block[..], plain[..]);
}

/// FIPS 197, appendix C.
#[test]
fn aes_gives_the_answers_of_its_standard() {
    let plain = "00112233445566778899aabbccddeeff";
    let key: Vec<u8> = (0..32).collect();
    for (algorithm, sealed) in [
        (CipherAlgorithm::Aes128, "69c4e0d86a7b0430d8cdb78070b4c55a"),
        (CipherAlgorithm::Aes192, "dda97ca4864cdfe06eaf70a0ec0d7191"),
        (CipherAlgorithm::Aes256, "8ea2b7ca516745bfeafc49904b496089"),
    ] {
        let cipher = wide(algorithm, &key[..algorithm.key_bytes()]).unwrap();
        both_ways(&*cipher, plain, sealed);
    }
}

/// RFC 2144, appendix B.1.
#[test]
fn cast5_gives_the_answer_of_its_standard() {
    let cipher = narrow(&bytes("0123456712345678234567893456789A")).unwrap();
    both_ways(&*cipher, "0123456789ABCDEF", "238B4FE5847E44B2");
}

/// The paper's test values for keys of each length, and its chain of texts that become keys.
#[test]
fn twofish_gives_the_answers_of_its_paper() {
    let zero = "00000000000000000000000000000000";
    for (algorithm, key, plain, sealed) in [
        (
            CipherAlgorithm::Twofish128,
            zero,
            zero,
            "9F589F5CF6122C32B6BFEC2F2AE8C35A",
        ),
        (
            CipherAlgorithm::Twofish192,
            "0123456789ABCDEFFEDCBA98765432100011223344556677",
            zero,
            "CFD1D2E5A9BE9CDF501F13B892BD2248",
        ),
        (
            CipherAlgorithm::Twofish256,
            "0123456789ABCDEFFEDCBA987654321000112233445566778899AABBCCDDEEFF",
            zero,
            "37527BE0052334B89F0CFCCAE87CFA20",
        ),
    ] {
        both_ways(&*wide(algorithm, &bytes(key)).unwrap(), plain, sealed);
    }
}

/// NESSIE: set 1, vector 0 of keys of each length; the others are in the test manager of the Linux kernel.
#[test]
fn serpent_gives_the_answers_of_its_submission() {
    let zero = "00000000000000000000000000000000";
    let (low, high) = (
        "000102030405060708090a0b0c0d0e0f",
        "101112131415161718191a1b1c1d1e1f",
    );
    for (algorithm, key, plain, sealed) in [
        (
            CipherAlgorithm::Serpent128,
            "80000000000000000000000000000000",
            zero,
            "264E5481EFF42A4606ABDA06C0BFDA3D",
        ),
        (
            CipherAlgorithm::Serpent192,
            "800000000000000000000000000000000000000000000000",
            zero,
            "9E274EAD9B737BB21EFCFCA548602689",
        ),
        (
            CipherAlgorithm::Serpent256,
            "8000000000000000000000000000000000000000000000000000000000000000",
            zero,
            "A223AA1288463C0E2BE38EBD825616C0",
        ),
        (
            CipherAlgorithm::Serpent128,
            low,
            low,
            "4c7d8a328072a22c823e4a1f3acda16d",
        ),
        (
            CipherAlgorithm::Serpent256,
            &format!("{low}{high}"),
            low,
            "de269ff833e432b85b2e88d2701ce75c",
        ),
    ] {
        both_ways(&*wide(algorithm, &bytes(key)).unwrap(), plain, sealed);
    }
}

/// IEEE 1619-2007, appendix B: vectors 1, 2 and 3.
#[test]
fn xts_gives_the_answers_of_its_standard() {
    for (first, second, sector, plain, sealed) in [
        (
            0x00,
            0x00,
            0,
            0x00,
            "917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e",
        ),
        (
            0x11,
            0x22,
            0x33_3333_3333,
            0x44,
            "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0",
        ),
    ] {
        let key = [[first; 16], [second; 16]].concat();
        let cipher = Cipher::new(&spec(CipherAlgorithm::Aes128, CipherMode::Xts), &key).unwrap();
        let mut data = [plain; 32];
        cipher.encrypt(sector, 512, &mut data).unwrap();
        assert_eq!(data[..], bytes(sealed)[..]);
        cipher.decrypt(sector, 512, &mut data).unwrap();
        assert_eq!(data, [plain; 32]);
    }
}

/// IEEE 1619-2007, appendix B, vector 10: a whole sector under AES-256, of which the standard's first and last blocks are here.
#[test]
fn xts_gives_the_answers_of_its_standard_for_long_keys() {
    let key = bytes(
        "2718281828459045235360287471352662497757247093699959574966967627\
         3141592653589793238462643383279502884197169399375105820974944592",
    );
    let cipher = Cipher::new(&spec(CipherAlgorithm::Aes256, CipherMode::Xts), &key).unwrap();
    let mut data: Vec<u8> = (0..512).map(|at| u8::try_from(at % 256).unwrap()).collect();
    cipher.encrypt(0xff, 512, &mut data).unwrap();
    assert_eq!(data[..16], bytes("1c3b3a102f770386e4836c99e370cf9b")[..]);
    assert_eq!(data[496..], bytes("c4f36ffda9fcea70b9c6e693e148c151")[..]);
}

/// NIST SP 800-38A, F.2.1 and F.5.1: chains and streams from a vector that no generator makes, so through the modes themselves.
#[test]
fn chains_and_streams_give_the_answers_of_their_standard() {
    let key = bytes("2b7e151628aed2a6abf7158809cf4f3c");
    let plain = bytes(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
         30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
    );
    // A sector of the generator plain64 starts with zeros; to start with the standard's vector, it is blended into the first block.
    let vector = bytes("000102030405060708090a0b0c0d0e0f");
    let mut chained = plain.clone();
    for (to, from) in chained.iter_mut().zip(&vector) {
        *to ^= from;
    }
    let cipher = Cipher::new(&spec(CipherAlgorithm::Aes128, CipherMode::Cbc), &key).unwrap();
    cipher.encrypt(0, 512, &mut chained).unwrap();
    let expected = bytes(
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2\
         73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
    );
    assert_eq!(chained, expected);

    let engine = Modes {
        mode: CipherMode::Ctr,
        data: wide(CipherAlgorithm::Aes128, &key).unwrap(),
        vectors: Vectors::plain(IvGenerator::Plain64),
    };
    let (mut blocks, _) = (plain.clone(), ());
    let (counted, _) = blocks.as_chunks_mut::<16>();
    engine.stream(
        bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").try_into().unwrap(),
        counted,
    );
    let expected = bytes(
        "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff\
         5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
    );
    assert_eq!(blocks, expected);
}

fn every_spec() -> Vec<CipherSpec> {
    let mut all = Vec::new();
    for algorithm in CipherAlgorithm::ALL.iter().copied() {
        for mode in CipherMode::ALL.iter().copied() {
            for ivgen in IvGenerator::ALL.iter().copied() {
                let ivhash = (ivgen == IvGenerator::Essiv).then_some(HashName::Sha256);
                let spec = CipherSpec {
                    ivgen,
                    ivhash,
                    ..spec(algorithm, mode)
                };
                if Cipher::new(&spec, &vec![7; spec.key_bytes()]).is_ok() {
                    all.push(spec);
                }
            }
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A run that is cut between any sectors is the same as one that is not.
    #[test]
    fn a_run_cut_anywhere_gives_the_same(
        which in any::<proptest::sample::Index>(),
        key in proptest::collection::vec(any::<u8>(), 64),
        first in prop_oneof![0_u64..100, Just(u64::from(u32::MAX) - 3), Just(u64::MAX - 5)],
        shift in 0_u32..4,
        sectors in 1_usize..80,
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..4),
    ) {
        let specs = every_spec();
        let spec = which.get(&specs);
        let cipher = Cipher::new(spec, &key[..spec.key_bytes()]).unwrap();
        let sector = 512_usize << shift;
        let plain: Vec<u8> = (0..sectors * sector).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect();
        let mut whole = plain.clone();
        cipher.encrypt(first, sector, &mut whole).unwrap();

        let mut edges: Vec<usize> = cuts.iter().map(|cut| cut.index(sectors)).collect();
        edges.extend([0, sectors]);
        edges.sort_unstable();
        let mut parts = plain.clone();
        for pair in edges.windows(2) {
            let number = first.wrapping_add(from_usize(pair[0] * (sector / 512)));
            cipher.encrypt(number, sector, &mut parts[pair[0] * sector..pair[1] * sector]).unwrap();
        }
        prop_assert!(parts == whole);
        for pair in edges.windows(2).rev() {
            let number = first.wrapping_add(from_usize(pair[0] * (sector / 512)));
            cipher.decrypt(number, sector, &mut parts[pair[0] * sector..pair[1] * sector]).unwrap();
        }
        prop_assert!(parts == plain);
    }

    /// Ours and the crate of that name, which is slow.
    #[test]
    fn twofish_is_that_of_others(
        key in proptest::collection::vec(any::<u8>(), 32),
        length in prop_oneof![Just(16_usize), Just(24), Just(32)],
        plain in any::<[u8; 16]>(),
    ) {
        let theirs = ::twofish::Twofish::new_from_slice(&key[..length]).unwrap();
        let ours = crate::twofish::Twofish::new(&key[..length]);
        let mut expected = Array::from(plain);
        theirs.encrypt_block(&mut expected);
        let mut block = Array::from(plain);
        ours.encrypt_block(&mut block);
        prop_assert_eq!(block, expected);
        ours.decrypt_block(&mut block);
        prop_assert_eq!(block, Array::from(plain));
    }
}

#[test]
fn part_of_a_block_and_strange_sectors_are_refused() {
    let cipher = Cipher::legacy(b"abc").unwrap();
    assert_eq!(
        cipher.decrypt(0, 512, &mut [0; 15]).unwrap_err().code,
        faults::BLOCKS
    );
    assert_eq!(
        cipher.decrypt(0, 100, &mut [0; 16]).unwrap_err().code,
        faults::BLOCKS
    );
}
