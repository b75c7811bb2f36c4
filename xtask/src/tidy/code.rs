//! Shape of the source: file sizes, and what every crate must say at its head.

use super::{House, rust};
use crate::workspace;

/// Ours: a file longer than this holds more than one idea.
const MOST_LINES: usize = 600;

/// Crates that run inside the sandbox or describe what crosses its wall.
const PURE: &[&str] = &["abi", "disk", "codecs", "crypt", "formats/", "partitions", "ops"];

const PURE_LINTS: &[&str] = &[
    "clippy::arithmetic_side_effects",
    "clippy::as_conversions",
    "clippy::indexing_slicing",
];

pub(super) fn sizes(house: &House) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for file in house.rust_files().filter(|file| !is_test(file)) {
        let lines = rust::lines_without_tests(&workspace::read(file)?);
        if lines > MOST_LINES {
            findings.push(format!(
                "{file}: {lines} lines without tests; the limit is {MOST_LINES}"
            ));
        }
    }
    Ok(findings)
}

pub(super) fn heads(house: &House) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for file in house.rust_files().filter(|file| is_crate_head(house, file)) {
        let Some(member) = house.member_of(file) else {
            continue;
        };
        let source = workspace::read(file)?;
        if !source.starts_with("//!") {
            findings.push(format!(
                "{file}: must begin with a sentence that describes the crate"
            ));
        }
        let unsafe_allowed = super::unsafety::ALLOWED.contains(&member.place.as_str());
        if !unsafe_allowed && !source.contains("#![forbid(unsafe_code)]") {
            findings.push(format!("{file}: lacks #![forbid(unsafe_code)]"));
        }
        let pure = PURE
            .iter()
            .any(|place| member.place == *place || (place.ends_with('/') && member.place.starts_with(place)));
        for lint in PURE_LINTS.iter().filter(|lint| pure && !source.contains(**lint)) {
            findings.push(format!("{file}: does not deny {lint}"));
        }
    }
    Ok(findings)
}

/// `lib.rs` or `main.rs` of a crate.
fn is_crate_head(house: &House, file: &str) -> bool {
    house.members.values().any(|member| {
        ["lib.rs", "main.rs"]
            .iter()
            .any(|name| file == format!("{}/src/{name}", member.place))
    })
}

fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("/tests/")
}
