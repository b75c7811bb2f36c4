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
use instar_disk::{CipherAlgorithm, CipherMode, CipherSpec, HashName, IvGenerator, fault::luks as faults};
use instar_testkit::Bench;
use instar_testkit::oracle::qemu_in;
use tools::{
    every_cipher, format, has_cryptsetup, header, noise, qemu_io, random, reader, succeed, unseal,
    with_effort,
};

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
        assert_eq!(wrong.code, faults::PASSWORD);
    }
}

/// Volumes that cryptsetup made; with keys of 24 bytes too, on which qemu-img aborts.
#[test]
fn a_volume_of_cryptsetup_opens() {
    if !has_cryptsetup() {
        return;
    }
    let dir = Bench::new();
    for (cipher, key_bits, hash) in [
        ("aes-xts-plain64", "512", "sha256"),
        ("aes-cbc-essiv:sha256", "256", "sha1"),
        ("aes-cbc-plain", "192", "ripemd160"),
        ("aes-xts-plain64", "256", "sha512"),
    ] {
        let options = [
            "--pbkdf-force-iterations",
            "1000",
            "--cipher",
            cipher,
            "--key-size",
            key_bits,
            "--hash",
            hash,
        ];
        let volume = format(&dir, "luks1", &options);
        let header = header(&volume).unwrap();
        let unlocked = with_effort(|effort| header.unlock(b"secret", &mut reader(&volume), effort)).unwrap();
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
            said.contains(core::str::from_utf8(header.uuid()).unwrap()),
            "{said}"
        );
        assert!(
            unlocked.key.bytes() == std::fs::read(dir.path("key")).unwrap(),
            "{cipher}"
        );
        let wrong = with_effort(|effort| header.unlock(b"Secret", &mut reader(&volume), effort));
        assert_eq!(wrong.unwrap_err().code, faults::PASSWORD);
    }
}

/// Headers of ours in cryptsetup, under every cipher and hash that it knows without help of the kernel.
#[test]
fn cryptsetup_opens_every_header_of_ours() {
    if !has_cryptsetup() {
        return;
    }
    let dir = Bench::new();
    let known = |spec: &CipherSpec| {
        let aes = spec.algorithm.luks_name() == "aes";
        let wide = spec.algorithm != CipherAlgorithm::Aes192;
        aes && (spec.mode == CipherMode::Cbc || spec.mode == CipherMode::Xts && wide)
    };
    let hashes = [
        HashName::Sha1,
        HashName::Sha256,
        HashName::Sha512,
        HashName::Ripemd160,
    ];
    for (number, spec) in every_cipher().into_iter().filter(known).enumerate() {
        let hash = hashes[number % hashes.len()];
        let (_, bytes) = volume(spec, hash, "secret", 4096);
        std::fs::write(dir.path("a.luks"), &bytes).unwrap();
        let test = ["open", "--test-passphrase", "--key-file", "-", "a.luks"];
        let output = tools::run(dir.directory(), "cryptsetup", &test, b"secret");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{spec:?} {hash:?}: {said}");
        let wrong = tools::run(dir.directory(), "cryptsetup", &test, b"Secret");
        assert_eq!(wrong.status.code(), Some(2), "{spec:?}");
    }
}

/// Slots that are added and erased, seen by both programs.
#[test]
fn slots_are_added_and_erased() {
    let dir = Bench::new();
    let spec = CipherSpec {
        algorithm: CipherAlgorithm::Aes256,
        mode: CipherMode::Xts,
        ivgen: IvGenerator::Plain64,
        ivhash: None,
    };
    let (new, mut bytes) = volume(spec, HashName::Sha256, "first", 4096);
    let mut header = new.header;
    let mut random = random();
    let opens = |bytes: &[u8], passphrase: &str| {
        std::fs::write(dir.path("a.luks"), bytes).unwrap();
        let theirs = qemu_io(dir.directory(), "a.luks", passphrase, &["read 0 512"]);
        let theirs = theirs.status.success();
        assert_eq!(
            unseal(bytes, passphrase.as_bytes()).is_ok(),
            theirs,
            "{passphrase}"
        );
        theirs
    };
    for slot in 1..8 {
        assert_eq!(header.free_slot().unwrap(), slot);
        let passphrase = std::format!("number {slot}");
        let writes = with_effort(|effort| {
            header.add_slot(slot, &new.key, passphrase.as_bytes(), 1000, &mut random, effort)
        })
        .unwrap();
        // What is on the disk if it stops between the two opens with what opened it before, and with nothing else.
        apply(&writes[..1], &mut bytes);
        assert!(opens(&bytes, "first") && !opens(&bytes, &passphrase));
        apply(&writes[1..], &mut bytes);
        header = header.after(&writes, false).unwrap();
        assert!(opens(&bytes, "first") && opens(&bytes, &passphrase));
    }
    assert_eq!(header.free_slot().unwrap_err().code, faults::SLOTS_FULL);
    let writes = header.erase_slot(0, &mut random).unwrap();
    apply(&writes[..1], &mut bytes);
    assert!(!opens(&bytes, "first") && opens(&bytes, "number 5"));
    apply(&writes[1..], &mut bytes);
    header = header.after(&writes, false).unwrap();
    assert!(!opens(&bytes, "first") && opens(&bytes, "number 5"));
    assert_eq!(header.free_slot().unwrap(), 0);
    assert_eq!(
        header.erase_slot(8, &mut random).unwrap_err().code,
        faults::SLOT_NUMBER
    );
}
