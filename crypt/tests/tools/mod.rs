//! Sealed disks made and read by other programs, and what the tests of both versions of LUKS share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test program uses a part, and a failure is a test failure"
)]

use std::path::Path;
use std::process::{Command, Output, Stdio};

use instar_crypt::{Cipher, Effort, Limits, Random, luks1};
use instar_disk::{CipherAlgorithm, CipherMode, CipherSpec, HashName, IvGenerator};
use instar_testkit::{Outcome, oracle};
use zerocopy::FromBytes;

/// Nobody asks to stop.
pub(crate) fn with_effort<T>(work: impl FnOnce(&mut Effort<'_>) -> T) -> T {
    let mut go_on = || Ok(());
    work(&mut Effort::new(Limits::DEFAULT, &mut go_on))
}

/// Reads from bytes; past their end there are zeros.
pub(crate) fn reader(bytes: &[u8]) -> impl FnMut(u64, &mut [u8]) -> instar_disk::Result<()> + '_ {
    move |offset, into| {
        into.fill(0);
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let there = rest.len().min(into.len());
        into[..there].copy_from_slice(&rest[..there]);
        Ok(())
    }
}

/// Bytes without a pattern that a wrong sector could share.
pub(crate) fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    random().fill(&mut noise).unwrap();
    noise
}

/// Always the same.
pub(crate) fn random() -> Random {
    Random::new(b"the seed of tests, of 32 bytes..").unwrap()
}

/// The header of a LUKS1 volume.
pub(crate) fn header(volume: &[u8]) -> instar_disk::Result<luks1::Header> {
    let (raw, _) = luks1::RawHeader::read_from_prefix(volume).unwrap();
    luks1::Header::parse(&raw, false)
}

/// The disk in a LUKS1 volume, read by us.
pub(crate) fn unseal(volume: &[u8], passphrase: &[u8]) -> instar_disk::Result<Vec<u8>> {
    let header = header(volume)?;
    let key = with_effort(|effort| header.unlock(passphrase, &mut reader(volume), effort))?.key;
    let cipher: Cipher = header.cipher_of(&key)?;
    let mut disk = volume[usize::try_from(header.payload_offset).unwrap()..].to_vec();
    cipher.decrypt(0, 512, &mut disk)?;
    Ok(disk)
}

/// Runs a program with something on its standard input.
pub(crate) fn run(directory: &Path, program: &str, arguments: &[&str], input: &[u8]) -> Output {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .current_dir(directory)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

/// Runs a program that must succeed; gives what it printed.
pub(crate) fn succeed(directory: &Path, program: &str, arguments: &[&str], input: &[u8]) -> String {
    let output = run(directory, program, arguments, input);
    let words =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {words}");
    words
}

/// Runs commands of qemu-io on a LUKS volume.
pub(crate) fn qemu_io(directory: &Path, image: &str, passphrase: &str, commands: &[&str]) -> Outcome {
    let secret = format!("secret,id=s,data={passphrase}");
    let image = format!("driver=luks,key-secret=s,file.filename={image}");
    let mut arguments = vec!["--object", &secret, "--image-opts", &image];
    for command in commands {
        arguments.extend(["-c", command]);
    }
    Outcome::of(oracle::program("qemu-io").current_dir(directory).args(arguments))
}

/// Every cipher, mode and generator that qemu-img has. With essiv, every hash whose digest is a key.
pub(crate) fn every_cipher() -> Vec<CipherSpec> {
    let mut all = Vec::new();
    for algorithm in CipherAlgorithm::ALL.iter().copied() {
        for mode in CipherMode::ALL.iter().copied() {
            for ivgen in IvGenerator::ALL.iter().copied() {
                for ivhash in HashName::ALL.iter().copied().map(Some) {
                    let spec = CipherSpec {
                        algorithm,
                        mode,
                        ivgen,
                        ivhash: ivhash.filter(|_| ivgen == IvGenerator::Essiv),
                    };
                    let exists = Cipher::new(&spec, &noise(spec.key_bytes())).is_ok();
                    if exists && !all.contains(&spec) {
                        all.push(spec);
                    }
                }
            }
        }
    }
    all
}

/// Whether cryptsetup is there; says so if not.
pub(crate) fn has_cryptsetup() -> bool {
    let found = Command::new("cryptsetup").arg("--version").output().is_ok();
    if !found {
        instar_testkit::ledger::skip("cryptsetup is not installed (package cryptsetup-bin)");
    }
    found
}

/// A volume that cryptsetup formats, with the passphrase "secret". It stays in `dir` as `v.img`.
pub(crate) fn format(dir: &instar_testkit::Bench, version: &str, options: &[&str]) -> Vec<u8> {
    let image = dir.path("v.img");
    let _ = std::fs::remove_file(&image);
    std::fs::File::create(&image).unwrap().set_len(20 << 20).unwrap();
    let mut fixed = vec!["luksFormat", "-q", "--type", version, "v.img", "-"];
    if version == "luks2" && !options.contains(&"--sector-size") {
        fixed.extend(["--sector-size", "512"]);
    }
    succeed(
        dir.directory(),
        "cryptsetup",
        &[fixed.as_slice(), options].concat(),
        b"secret",
    );
    std::fs::read(image).unwrap()
}
