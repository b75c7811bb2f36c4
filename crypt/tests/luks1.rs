//! LUKS1 beside qemu-img and cryptsetup, both ways.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failure is a test failure"
)]

mod tools;

use instar_crypt::luks1::{New, Options};
use instar_crypt::{Secret, luks1};
use instar_disk::{CipherSpec, HashName};
use instar_testkit::Bench;
use instar_testkit::oracle::qemu_in;
use tools::{every_cipher, noise, qemu_io, random, unseal, with_effort};

/// A volume with a disk of zeros that are not encrypted.
fn volume(cipher: CipherSpec, hash: HashName, passphrase: &str, disk: usize) -> (New, Vec<u8>) {
    let options = Options {
        cipher,
        hash,
        passphrase: &Secret::copy_of(passphrase.as_bytes()),
        slot_iterations: 1000,
        digest_iterations: 1000,
        detached: false,
    };
    let new = with_effort(|effort| New::make(&options, &mut random(), effort)).unwrap();
    let mut bytes = vec![0; usize::try_from(new.bytes).unwrap() + disk];
    apply(&new.writes, &mut bytes);
    (new, bytes)
}

fn apply(writes: &[luks1::Write], volume: &mut [u8]) {
    for write in writes {
        let at = usize::try_from(write.offset).unwrap();
        volume[at..at + write.bytes.len()].copy_from_slice(&write.bytes);
    }
}

/// qemu-io opens a header of ours, and encrypts; what it wrote is decrypted, and what is encrypted for it it reads.
#[test]
fn qemu_io_reads_and_writes_under_every_cipher() {
    let dir = Bench::new();
    let disk = noise(64 << 10);
    std::fs::write(dir.path("disk.raw"), &disk).unwrap();
    // qemu aborts on material that is no whole number of sectors, which 4000 stripes of 24 bytes are.
    let open = |spec: &CipherSpec| spec.key_bytes() != 24;
    for (number, spec) in every_cipher().into_iter().filter(open).enumerate() {
        let hash = HashName::ALL[number % HashName::ALL.len()];
        let (new, mut bytes) = volume(spec, hash, "secret", disk.len());
        std::fs::write(dir.path("a.luks"), &bytes).unwrap();
        let wrote = qemu_io(dir.directory(), "a.luks", "secret", &["write -s disk.raw 0 64k"]);
        let said = String::from_utf8_lossy(&wrote.stdout) + String::from_utf8_lossy(&wrote.stderr);
        assert!(said.contains("wrote 65536/65536"), "{spec:?} {hash:?}: {said}");
        let written = std::fs::read(dir.path("a.luks")).unwrap();
        assert!(unseal(&written, b"secret").unwrap() == disk, "{spec:?} {hash:?}");

        let payload = usize::try_from(new.bytes).unwrap();
        bytes[payload..].copy_from_slice(&disk);
        let cipher = new.header.cipher_of(&new.key).unwrap();
        cipher.encrypt(0, 512, &mut bytes[payload..]).unwrap();
        assert!(bytes[payload..] == written[payload..], "{spec:?} {hash:?}");
    }
}

/// Volumes that qemu-img made, of all their parts.
#[test]
fn a_volume_of_qemu_img_opens() {
    let dir = Bench::new();
    let disk = noise(64 << 10);
    std::fs::write(dir.path("disk.raw"), &disk).unwrap();
    for options in [
        "",
        ",cipher-alg=serpent-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256,hash-alg=sha512",
        ",cipher-alg=cast5-128,cipher-mode=cbc,ivgen-alg=plain,hash-alg=ripemd160",
    ] {
        let secret = ["--object", "secret,id=s,data=correct horse"];
        let options = format!("key-secret=s,iter-time=10{options}");
        let create = ["-f", "raw", "-O", "luks", "-o", &options, "disk.raw", "a.luks"];
        qemu_in(dir.directory(), &[&["convert"], &secret[..], &create].concat());
        let volume = std::fs::read(dir.path("a.luks")).unwrap();
        assert!(unseal(&volume, b"correct horse").unwrap() == disk, "{options}");
        let wrong = unseal(&volume, b"correct house").unwrap_err();
        assert_eq!(wrong.code, instar_disk::fault::luks::PASSWORD);
    }
}
