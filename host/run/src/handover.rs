//! Secrets on their way into the guest: those of the images of this run, once, before it starts.
//!
//! No request asks for one, and the engine knows of none, so what the guest has wiped is gone, whoever runs in it by then.

use instar_abi::job::Verb;
use instar_abi::layout::SECRETS_LENGTH;
use instar_abi::{ImageText, NamedSecret, Secret};
use instar_sandbox::Sandbox;
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

use crate::Error;

/// Gives the guest those of the `known` secrets that its job names. What is made of them on the way is wiped.
pub(crate) fn hand_over(sandbox: &Sandbox, known: &[NamedSecret], verb: &Verb) -> Result<(), Error> {
    let wanted = verb.secrets();
    let known = known.iter();
    let mut secrets: Vec<&NamedSecret> = known.filter(|secret| wanted.contains(&&secret.id)).collect();
    let random = verb.makes_keys().then(random).transpose()?;
    secrets.extend(&random);
    if secrets.is_empty() {
        return Ok(());
    }
    // With room for all of them at once: what a vector leaves behind when it grows is not wiped.
    let mut bytes = Zeroizing::new(vec![0; SECRETS_LENGTH]);
    let used = instar_abi::encode_into(&secrets, &mut bytes).map_err(|_| Error::SecretsTooLong)?;
    sandbox.set_secrets(used).map_err(Error::JobRefused)
}

/// As many as the longest key has, whatever it is used for.
const RANDOM_BYTES: usize = 32;

/// Random bytes for new keys. Unlike those for identifiers they cannot be done without, and nobody can choose them.
fn random() -> Result<NamedSecret, Error> {
    let mut bytes = vec![0; RANDOM_BYTES];
    // The system call, and not the device: a container or a chroot may have no devices. So few bytes come at once.
    let given =
        getrandom(&mut bytes, GetRandomFlags::empty()).map_err(|errno| Error::NoRandomness(errno.into()))?;
    if given < RANDOM_BYTES {
        return Err(Error::NoRandomness(std::io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(NamedSecret {
        id: ImageText::new(NamedSecret::RANDOM),
        content: Secret::new(bytes),
    })
}
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failure is a test failure")]
mod tests {
    use super::*;
    use crate::selftest::Place;
    use instar_abi::job::Source;
    use instar_abi::layout::{BASE, CONTROL, HEAP, SECRETS};
    use instar_abi::request::Op;
    use instar_abi::{Format, RawRequest, Slot};
    use instar_sandbox::{Choice, Outcome, Ringer};

    const OWN: &[u8] = b"opens the image of this run";
    const OTHER: &[u8] = b"opens an image of another run";
    /// What a request may have filled.
    const ANSWER: u64 = 4096;

    fn named(id: &[u8], content: &[u8]) -> NamedSecret {
        NamedSecret {
            id: ImageText::new(id),
            content: Secret::new(content.to_vec()),
        }
    }

    /// Whether a secret is where requests, answers and secrets are.
    fn holds(ringer: &Ringer, secret: &[u8]) -> bool {
        let mut bytes = vec![0; usize::try_from(HEAP + ANSWER - CONTROL).unwrap()];
        ringer
            .sandbox()
            .memory()
            .read(CONTROL - BASE, &mut bytes)
            .unwrap();
        let pages = bytes.chunks(4096).enumerate();
        // Most pages are empty, and one page is compared with another more quickly than it is searched.
        let mut written = pages
            .filter(|(_, page)| *page != [0; 4096])
            .map(|(number, _)| number * 4096);
        written.any(|at| {
            let end = bytes.len().min(at + 4096 + secret.len());
            bytes[at..end]
                .windows(secret.len())
                .any(|window| window == secret)
        })
    }

    /// Every operation that there is and one on each side, on both files of the run and on one that is not open.
    fn forged() -> impl Iterator<Item = RawRequest> {
        let places = [(0, HEAP), (1, SECRETS), (7, HEAP)];
        (0..=Op::SEND.0 + 1).flat_map(move |op| {
            places.map(|(slot, address)| RawRequest {
                op,
                slot,
                other: 1 - slot.min(1),
                length: ANSWER,
                address,
                ..RawRequest::default()
            })
        })
    }

    #[test]
    fn no_request_brings_back_a_secret_that_was_wiped_or_was_for_another_image() {
        let source = Source {
            key: Some(ImageText::new(b"own")),
            ..Source::new(Slot(0), Some(Format::Luks))
        };
        let verb = Verb::Snapshots(source);
        let known = [named(b"own", OWN), named(b"other", OTHER)];
        let kvm = instar_sandbox::probe().kvm.is_ok();
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(directory.path()).unwrap();
        let (mut done, mut ended) = (0, 0);
        for choice in [Choice::Process, Choice::Kvm] {
            if choice == Choice::Kvm && !kvm {
                continue;
            }
            for request in forged() {
                let ringer = Ringer::prepare(choice).unwrap();
                hand_over(ringer.sandbox(), &known, &verb).unwrap();
                assert!(holds(&ringer, OWN) && !holds(&ringer, OTHER), "{choice:?}");
                // As the guest does before it reads an image.
                ringer
                    .sandbox()
                    .memory()
                    .write(SECRETS - BASE, &[0; SECRETS_LENGTH])
                    .unwrap();
                match place.answer(&ringer, 1, request).unwrap() {
                    Ok(_) => done += 1,
                    Err(Outcome::Failed(error)) => panic!("{choice:?} {request:?}: {error}"),
                    Err(_) => ended += 1,
                }
                for secret in [OWN, OTHER] {
                    assert!(!holds(&ringer, secret), "{choice:?} {request:?}");
                }
            }
        }
        assert!(done > 0 && ended > 0, "{done} answered, {ended} ended");
    }
}
