//! Checksums of disks: which there are, and the line that shows one.

use instar_abi::Report;
use instar_abi::job::Algorithm;

use crate::show::Escaped;
use crate::stop::{Step, Stop};

/// Every hash function.
pub(crate) const ALGORITHMS: [Algorithm; 2] = [Algorithm::Blake3, Algorithm::Sha256];

/// The hash function of that name.
pub(crate) fn algorithm(name: &[u8]) -> Step<Algorithm> {
    ALGORITHMS
        .into_iter()
        .find(|known| known.name().as_bytes() == name)
        .ok_or_else(|| {
            let words = [b"Unknown checksum '".as_slice(), name, b"'; use blake3 or sha256"];
            Stop::Message(words.concat())
        })
}

/// The checksum that was reported.
pub(crate) fn hexadecimal(reports: &[Report]) -> Step<String> {
    let digest = reports.iter().find_map(|report| match report {
        Report::Checksum(digest) => Some(digest),
        _ => None,
    });
    let digest = digest.ok_or_else(|| crate::stop::silent("reporting a checksum"))?;
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// One line for people and scripts, with a newline.
pub(crate) fn line(algorithm: Algorithm, digest: &str, file: &[u8]) -> String {
    format!("{}:{digest}  {}\n", name(algorithm), Escaped(file))
}

/// The name of the tree over a hash function, which distinguishes it from the plain value of the function.
pub(crate) fn name(algorithm: Algorithm) -> String {
    format!("{}-tree", algorithm.name())
}
