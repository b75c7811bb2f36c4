//! Headers that lie. They are refused where qemu-img refuses them, in its words.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure is a test failure"
)]

mod tools;

use instar_crypt::luks1::{HEADER_BYTES, New, Options};
use instar_crypt::{Cipher, Secret};
use instar_disk::{CipherAlgorithm, CipherMode, CipherSpec, HashName, IvGenerator};
use instar_testkit::{Bench, oracle, words};
use tools::{header, random, reader, with_effort};

/// A header with a free slot between two active ones, and room for its sectors.
fn volume() -> Vec<u8> {
    let options = Options {
        cipher: CipherSpec {
            algorithm: CipherAlgorithm::Aes128,
            mode: CipherMode::Cbc,
            ivgen: IvGenerator::Essiv,
            ivhash: Some(HashName::Sha256),
        },
        hash: HashName::Sha1,
        passphrase: &Secret::copy_of(b"secret"),
        slot_iterations: 1000,
        digest_iterations: 1000,
        detached: false,
    };
    let new = with_effort(|effort| New::make(&options, &mut random(), effort)).unwrap();
    let more = with_effort(|effort| {
        new.header
            .add_slot(2, &new.key, b"other", 1000, &mut random(), effort)
    });
    let mut bytes = vec![0; usize::try_from(new.bytes).unwrap() + 4096];
    for write in new.writes.iter().chain(&more.unwrap()) {
        let at = usize::try_from(write.offset).unwrap();
        bytes[at..at + write.bytes.len()].copy_from_slice(&write.bytes);
    }
    bytes
}

/// What qemu-img says against a volume; nothing if it is content.
fn complaint(dir: &Bench, volume: &[u8]) -> Option<String> {
    std::fs::write(dir.path("lie.luks"), volume).unwrap();
    let output = oracle::run_in(dir.directory(), &["info", "-f", "luks", "lie.luks"]);
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let said = said
        .trim_start_matches("qemu-img: Could not open 'lie.luks': ")
        .to_owned();
    // The file is too short for where its sectors would begin, which is the driver's to find out.
    let short = said.contains("Could not refresh total sector count");
    (!output.status.success() && !short).then_some(said)
}

/// Each byte of the header with one of its bits flipped, with all of them flipped, and as the largest number: the verdict is qemu-img's,
/// and so are the words.
#[test]
fn a_changed_byte_is_judged_as_qemu_img_judges_it() {
    let dir = Bench::new();
    let sound = volume();
    let mut refused = 0;
    for at in 0..HEADER_BYTES {
        // Text, salts and digests are all alike.
        let alike = (112..164).contains(&at) || (168..208).contains(&at);
        if alike && at % 8 != 0 {
            continue;
        }
        for lie in [sound[at] ^ 1 << (at % 8), !sound[at], 0xff] {
            let mut volume = sound.clone();
            volume[at] = lie;
            let ours = header(&volume).err().map(|fault| words(&fault));
            refused += usize::from(ours.is_some());
            assert_eq!(ours, complaint(&dir, &volume), "byte {at} is {lie:#04x}");
        }
    }
    assert!(refused > 400, "{refused}");
}

/// Every bit and every byte: no panic, no more than the cost of two slots, and no key but the right one.
#[test]
fn no_changed_header_does_harm() {
    let sound = volume();
    let key = tools::unseal(&sound, b"secret").unwrap();
    for at in 0..HEADER_BYTES {
        for lie in (0..8).map(|bit| sound[at] ^ 1 << bit).chain([0, 0xff]) {
            let mut volume = sound[..HEADER_BYTES].to_vec();
            volume[at] = lie;
            let Ok(header) = header(&volume) else {
                continue;
            };
            volume.extend_from_slice(&sound[HEADER_BYTES..]);
            // A run that asks for more iterations than this costs more than it may; a real limit is larger.
            let limits = instar_crypt::Limits {
                iterations: 2000,
                ..instar_crypt::Limits::DEFAULT
            };
            let mut go_on = || Ok(());
            let mut effort = instar_crypt::Effort::new(limits, &mut go_on);
            if let Ok(unlocked) = header.unlock(b"secret", &mut reader(&volume), &mut effort) {
                let cipher: Cipher = header.cipher_of(&unlocked.key).unwrap();
                let from = usize::try_from(header.payload_offset).unwrap();
                let mut disk = volume.get(from..).unwrap_or_default().to_vec();
                cipher.decrypt(0, 512, &mut disk).unwrap();
                assert!(disk == key || (8..112).contains(&at), "byte {at} is {lie:#04x}");
            }
        }
    }
}

/// A header that is cut short reads as zeros.
#[test]
fn a_header_cut_short_is_refused_as_qemu_img_refuses_it() {
    let dir = Bench::new();
    let sound = volume();
    for length in (0..HEADER_BYTES).step_by(37) {
        let mut padded = sound[..length].to_vec();
        padded.resize(HEADER_BYTES, 0);
        let fault = header(&padded).unwrap_err();
        assert_eq!(
            Some(words(&fault)),
            complaint(&dir, &sound[..length]),
            "{length} bytes"
        );
    }
}
