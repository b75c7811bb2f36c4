//! LUKS2 as cryptsetup writes it. qemu-img does not read it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure is a test failure"
)]

mod tools;

use instar_crypt::luks2::Header;
use instar_crypt::{digest, luks2};
use instar_disk::{FaultCode, HashName, fault::luks as faults};
use instar_testkit::Bench;
use tools::{format, has_cryptsetup, reader, succeed, with_effort};
use zerocopy::FromBytes;

const HEADER: usize = 0x4000;

fn open(volume: &[u8], passphrase: &[u8]) -> instar_disk::Result<Vec<u8>> {
    let mut read = reader(volume);
    let header = Header::read(&mut read)?;
    let unlocked = with_effort(|effort| header.unlock(passphrase, &mut read, effort))?;
    Ok(unlocked.key.bytes().to_vec())
}

/// cryptsetup says what the key is; ours is the same.
#[test]
fn a_header_of_cryptsetup_opens() {
    if !has_cryptsetup() {
        return;
    }
    let dir = Bench::new();
    for (options, sector_bytes) in [
        ("--pbkdf pbkdf2 --pbkdf-force-iterations 1000", 512),
        (
            "--pbkdf argon2id --pbkdf-memory 512 --pbkdf-force-iterations 4 --pbkdf-parallel 2 --sector-size 4096",
            4096,
        ),
        (
            "--pbkdf argon2i --pbkdf-memory 64 --pbkdf-force-iterations 5 --cipher aes-cbc-essiv:sha256 --key-size 256 --hash sha512",
            512,
        ),
        (
            "--pbkdf pbkdf2 --pbkdf-force-iterations 1000 --cipher aes-xts-plain64 --key-size 256 --luks2-metadata-size 64k",
            512,
        ),
    ] {
        let volume = format(&dir, "luks2", &options.split(' ').collect::<Vec<_>>());
        let header = Header::read(&mut reader(&volume)).unwrap();
        assert_eq!(header.sector_bytes, sector_bytes, "{options:?}");
        assert_eq!(header.payload_bytes, None);
        let dump = [
            "luksDump",
            "--dump-volume-key",
            "-q",
            "--volume-key-file",
            "key",
            "--key-file",
            "-",
            "v.img",
        ];
        let _ = std::fs::remove_file(dir.path("key"));
        let said = succeed(dir.directory(), "cryptsetup", &dump, b"secret");
        assert!(
            said.contains(core::str::from_utf8(&header.uuid).unwrap()),
            "{said}"
        );
        let offset = std::format!("Payload offset:\t{}\n", header.payload_offset / 512);
        assert!(said.contains(&offset), "{offset}: {said}");
        let key = open(&volume, b"secret").unwrap();
        assert!(key == std::fs::read(dir.path("key")).unwrap(), "{options:?}");
        assert_eq!(open(&volume, b"secreT").unwrap_err().code, faults::PASSWORD);
    }
}

/// Slots are tried as cryptsetup tries them: those preferred first, those to be ignored not at all.
#[test]
fn every_slot_opens_but_those_to_be_ignored() {
    if !has_cryptsetup() {
        return;
    }
    let dir = Bench::new();
    let cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
    let first = format(&dir, "luks2", &cheap);
    std::fs::write(dir.path("new"), b"other").unwrap();
    let add = [
        &["luksAddKey", "-q", "v.img", "new", "--key-file", "-"],
        &cheap[..],
    ]
    .concat();
    succeed(dir.directory(), "cryptsetup", &add, b"secret");
    let config = |slot: &str, priority: &str| {
        let arguments = ["config", "v.img", "--key-slot", slot, "--priority", priority];
        succeed(dir.directory(), "cryptsetup", &arguments, b"");
    };
    config("1", "prefer");
    let both = std::fs::read(dir.path("v.img")).unwrap();
    let header = Header::read(&mut reader(&both)).unwrap();
    assert_eq!(
        header.slots.iter().map(|slot| slot.number).collect::<Vec<_>>(),
        [1, 0]
    );
    let key = open(&first, b"secret").unwrap();
    assert_eq!(open(&both, b"secret").unwrap(), key);
    assert_eq!(open(&both, b"other").unwrap(), key);
    config("1", "ignore");
    let ignored = std::fs::read(dir.path("v.img")).unwrap();
    assert_eq!(open(&ignored, b"secret").unwrap(), key);
    assert_eq!(open(&ignored, b"other").unwrap_err().code, faults::PASSWORD);
}

/// A copy of the header with the JSON that `change` makes, and with the right checksum.
fn with_json(volume: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let mut lie = volume.to_vec();
    for at in [0, HEADER] {
        let copy = &mut lie[at..at + HEADER];
        let json = copy[4096..].split(|byte| *byte == 0).next().unwrap();
        let changed = change(core::str::from_utf8(json).unwrap());
        copy[4096..].fill(0);
        copy[4096..4096 + changed.len()].copy_from_slice(changed.as_bytes());
        copy[448..512].fill(0);
        let sum = digest(HashName::Sha256, &[copy]);
        copy[448..480].copy_from_slice(&sum);
    }
    lie
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    if !has_cryptsetup() {
        return;
    }
    let dir = Bench::new();
    let volume = format(
        &dir,
        "luks2",
        &["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"],
    );
    assert!(open(&with_json(&volume, str::to_owned), b"secret").is_ok());
    for (from, to, code) in [
        (
            "\"config\":{",
            "\"config\":{\"requirements\":{\"mandatory\":[\"online-reencrypt-v2\"]},",
            faults::REQUIREMENT,
        ),
        (
            "\"sector_size\":512",
            "\"sector_size\":512,\"integrity\":{\"type\":\"hmac(sha256)\",\"journal_encryption\":\"none\",\"journal_integrity\":\"none\"}",
            faults::INTEGRITY,
        ),
        ("\"sector_size\":512", "\"sector_size\":8192", faults::SECTOR_SIZE),
        ("\"type\":\"crypt\"", "\"type\":\"linear\"", faults::SEGMENT),
        ("\"size\":\"dynamic\"", "\"size\":\"-1\"", faults::HEADER_CONTENT),
        (
            "\"iterations\":1000",
            "\"iterations\":4294967295",
            faults::ITERATIONS_LIMIT,
        ),
        ("\"iterations\":1000", "\"iterations\":0", faults::DERIVATION),
        (
            "\"stripes\":4000",
            "\"stripes\":4000000000",
            faults::HEADER_CONTENT,
        ),
        (
            "\"type\":\"pbkdf2\"",
            "\"type\":\"scrypt\"",
            faults::HEADER_CONTENT,
        ),
        (
            "\"offset\":\"32768\"",
            "\"offset\":\"18446744073709551615\"",
            faults::HEADER_CONTENT,
        ),
        ("\"offset\":\"32768\"", "\"offset\":\"0\"", faults::HEADER_CONTENT),
        (
            "\"key_size\":64",
            "\"key_size\":4294967295",
            faults::ALGORITHM_KEY,
        ),
        ("aes-xts-plain64", "capi:xts(aes)-plain64", faults::MODE_FORMAT),
        ("aes-xts-plain64", "cipher_null-ecb-plain", faults::ALGORITHM_KEY),
        ("{", "", faults::HEADER_CONTENT),
    ] {
        let lie = with_json(&volume, |json| json.replace(from, to));
        assert!(lie != with_json(&volume, str::to_owned), "{from}");
        assert_eq!(open(&lie, b"secret").unwrap_err().code, code, "{from} -> {to}");
    }
    // Deeper than any stack: the parser gives up first.
    let deep = with_json(&volume, |_| "[".repeat(12000));
    assert_eq!(open(&deep, b"secret").unwrap_err().code, faults::HEADER_CONTENT);
}

#[test]
fn the_newer_valid_copy_counts() {
    if !has_cryptsetup() {
        return;
    }
    let dir = Bench::new();
    let volume = format(
        &dir,
        "luks2",
        &["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"],
    );
    let code = |volume: &[u8]| -> Option<FaultCode> { open(volume, b"secret").err().map(|fault| fault.code) };
    let mut first_lost = volume.clone();
    first_lost[..4096].fill(0);
    assert_eq!(code(&first_lost), None);
    let mut both_lost = first_lost;
    both_lost[HEADER + 5000] ^= 1;
    assert_eq!(code(&both_lost), Some(faults::HEADER_CHECKSUM));

    // The second copy is newer, and says something else.
    let mut newer = with_json(&volume, |json| {
        json.replace("\"sector_size\":512", "\"sector_size\":1024")
    });
    newer[..HEADER].copy_from_slice(&volume[..HEADER]);
    let sector = |volume: &[u8]| Header::read(&mut reader(volume)).unwrap().sector_bytes;
    assert_eq!(sector(&newer), 512);
    newer[HEADER + 23] += 1;
    newer[HEADER + 448..HEADER + 512].fill(0);
    let sum = digest(HashName::Sha256, &[&newer[HEADER..2 * HEADER]]);
    newer[HEADER + 448..HEADER + 480].copy_from_slice(&sum);
    assert_eq!(sector(&newer), 1024);
}

/// Every bit of the binary part and of the JSON, one at a time, in the only copy that there is: the checksum covers all but the
/// rest of its own field.
#[test]
fn a_flipped_bit_is_noticed() {
    if !has_cryptsetup() {
        return;
    }
    let dir = Bench::new();
    let mut volume = format(
        &dir,
        "luks2",
        &["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"],
    );
    volume.truncate(2 * HEADER);
    volume[HEADER..].fill(0);
    for at in (0..480).chain((512..HEADER).step_by(7)) {
        volume[at] ^= 1 << (at % 8);
        let code = Header::read(&mut reader(&volume)).unwrap_err().code;
        assert_eq!(code, faults::HEADER_CHECKSUM, "{at}");
        volume[at] ^= 1 << (at % 8);
    }
    let (raw, _) = luks2::RawHeader::read_from_prefix(&volume).unwrap();
    assert_eq!(raw.version.get(), 2);
}
