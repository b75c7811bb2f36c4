//! Known answers of key derivation, and its limits.

use argon2::{Argon2, AssociatedData, ParamsBuilder};

use super::*;
use crate::{Limits, Random, digest, merge, split};

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn derive(derivation: &Derivation, passphrase: &[u8], bytes: usize) -> Result<String> {
    let mut go_on = || Ok(());
    let key = derivation.key(passphrase, bytes, &mut Effort::new(Limits::DEFAULT, &mut go_on))?;
    Ok(hexadecimal(key.bytes()))
}

fn by_time(hash: HashName, iterations: u32, salt: &[u8]) -> Derivation {
    Derivation::Pbkdf2 {
        hash,
        iterations,
        salt: salt.to_vec(),
    }
}

fn by_memory(mixed: bool, passes: u32, kib: u32) -> Derivation {
    Derivation::Argon2 {
        mixed,
        passes,
        kib,
        lanes: 1,
        salt: b"somesalt".to_vec(),
    }
}

/// RFC 6070, all but the vector of 16 million iterations.
#[test]
fn pbkdf2_gives_the_answers_of_its_standard() {
    for (passphrase, salt, iterations, bytes, key) in [
        (
            &b"password"[..],
            &b"salt"[..],
            1,
            20,
            "0c60c80f961f0e71f3a9b524af6012062fe037a6",
        ),
        (
            b"password",
            b"salt",
            2,
            20,
            "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957",
        ),
        (
            b"password",
            b"salt",
            4096,
            20,
            "4b007901b765489abead49d926f721d065a429c1",
        ),
        (
            b"passwordPASSWORDpassword",
            b"saltSALTsaltSALTsaltSALTsaltSALTsalt",
            4096,
            25,
            "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038",
        ),
        (
            b"pass\0word",
            b"sa\0lt",
            4096,
            16,
            "56fa6aa75548099dcc37d7f03425e0c3",
        ),
    ] {
        let derivation = by_time(HashName::Sha1, iterations, salt);
        assert_eq!(derive(&derivation, passphrase, bytes).unwrap(), key);
    }
}

/// The digests of "abc" that the standards give: RFC 1321, FIPS 180-4, the paper of RIPEMD-160, GB/T 32905.
#[test]
fn hashes_give_the_answers_of_their_standards() {
    for (hash, expected) in [
        (HashName::Md5, "900150983cd24fb0d6963f7d28e17f72"),
        (HashName::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            HashName::Sha224,
            "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
        ),
        (
            HashName::Sha256,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
        (
            HashName::Sha384,
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            HashName::Sha512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (HashName::Ripemd160, "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
        (
            HashName::Sm3,
            "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0",
        ),
    ] {
        assert_eq!(hexadecimal(&digest(hash, &[b"a", b"bc"])), expected);
    }
}

/// RFC 9106, sections 5.2 and 5.3, which have a secret and associated data, and the reference program's vectors, which have not.
#[test]
fn argon2_gives_the_answers_of_its_standard() {
    for (algorithm, expected) in [
        (
            Algorithm::Argon2i,
            "c814d9d1dc7f37aa13f0d77f2494bda1c8de6b016dd388d29952a4c4672b6ce8",
        ),
        (
            Algorithm::Argon2id,
            "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659",
        ),
    ] {
        let params = ParamsBuilder::new()
            .m_cost(32)
            .t_cost(3)
            .p_cost(4)
            .data(AssociatedData::new(&[4; 12]).unwrap())
            .build()
            .unwrap();
        let argon2 = Argon2::new_with_secret(&[3; 8], algorithm, Version::V0x13, params).unwrap();
        let mut tag = [0; 32];
        argon2.hash_password_into(&[1; 32], &[2; 16], &mut tag).unwrap();
        assert_eq!(hexadecimal(&tag), expected);
    }
    for (mixed, expected) in [
        (
            false,
            "c1628832147d9720c5bd1cfd61367078729f6dfb6f8fea9ff98158e0d7816ed0",
        ),
        (
            true,
            "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7",
        ),
    ] {
        let derivation = by_memory(mixed, 2, 1 << 16);
        assert_eq!(derive(&derivation, b"password", 32).unwrap(), expected);
    }
}

/// What a header asks for is compared with the limits before it is spent, and the caller can stop the rest.
#[test]
fn a_derivation_costs_what_is_allowed_and_can_be_stopped() {
    let code = |derivation: Derivation| derive(&derivation, b"", 32).unwrap_err().code;
    let most = u32::MAX;
    assert_eq!(code(by_time(HashName::Sha1, most, b"")), faults::ITERATIONS_LIMIT);
    assert_eq!(code(by_time(HashName::Sha1, 0, b"")), faults::DERIVATION);
    assert_eq!(code(by_memory(true, 1, most)), faults::MEMORY_LIMIT);
    assert_eq!(code(by_memory(true, most, 1 << 20)), faults::PASSES_LIMIT);
    assert_eq!(code(by_memory(true, 0, 1 << 10)), faults::DERIVATION);
    assert_eq!(code(by_memory(true, 1, 0)), faults::DERIVATION);

    let mut asked = 0;
    let mut stop = || {
        asked += 1;
        match asked {
            10.. => Err(Fault::new(faults::PASSWORD)),
            _ => Ok(()),
        }
    };
    let long = by_time(HashName::Sha1, 1 << 26, b"");
    let stopped = long.key(b"", 20, &mut Effort::new(Limits::DEFAULT, &mut stop));
    assert_eq!(stopped.unwrap_err().code, faults::PASSWORD);
    assert_eq!(asked, 10);
}

/// Stripes give their key back, and no other if any of their bits is another one.
#[test]
fn every_bit_of_the_stripes_counts() {
    let mut random = Random::new(&[7; 32]).unwrap();
    for (hash, bytes) in [(HashName::Sha256, 64), (HashName::Sha1, 24), (HashName::Md5, 32)] {
        let key: Vec<u8> = (0..bytes).collect();
        let mut stripes = split(hash, &key, 40, &mut random).unwrap();
        assert_eq!(merge(hash, key.len(), stripes.bytes()).bytes(), key);
        for place in (0..stripes.bytes().len()).step_by(13) {
            stripes.bytes_mut()[place] ^= 1;
            assert_ne!(merge(hash, key.len(), stripes.bytes()).bytes(), key);
            stripes.bytes_mut()[place] ^= 1;
        }
    }
}
