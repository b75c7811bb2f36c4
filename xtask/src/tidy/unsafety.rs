//! Unsafe code: only where it must be, and never more than is written down.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{House, rust};
use crate::{Outcome, workspace};

/// Crates that may hold unsafe code. The last three are not part of the product.
pub(super) const ALLOWED: &[&str] = &[
    "guest",
    "host/engine",
    "host/jail",
    "host/memory",
    "host/sandbox",
    "testkit",
    "benches",
    "tests",
];

const CEILING: &str = "xtask/unsafe-ceiling.txt";

const HEAD: &str = "# How often the word `unsafe` stands in the code of each crate, tests included. `cargo xtask tidy` fails above it;\n\
                    # after unsafe code was removed, `cargo xtask tidy --bless` lowers it. Raising it by hand needs a reason in the commit.\n";

pub(super) fn check(house: &House) -> Result<Vec<String>, String> {
    Ok(judge(&count(house)?, &ceiling(&workspace::read(CEILING)?)?))
}

/// Writes the present counts down as the ceiling.
pub(super) fn bless(house: &House) -> Outcome {
    let mut text = HEAD.to_owned();
    for (place, count) in count(house)? {
        writeln!(text, "{place} {count}").map_err(|error| error.to_string())?;
    }
    std::fs::write(workspace::root().join(CEILING), text).map_err(|error| format!("{CEILING}: {error}"))
}

fn judge(counts: &BTreeMap<String, usize>, ceiling: &BTreeMap<String, usize>) -> Vec<String> {
    let mut findings = Vec::new();
    for (place, count) in counts {
        if !ALLOWED.contains(&place.as_str()) {
            findings.push(format!("{place}: this crate must not have unsafe code"));
        }
        let limit = ceiling.get(place).copied().unwrap_or(0);
        if *count > limit {
            findings.push(format!("{place}: {count} uses of unsafe; the ceiling is {limit}"));
        }
    }
    findings
}

fn count(house: &House) -> Result<BTreeMap<String, usize>, String> {
    let mut counts = BTreeMap::new();
    for file in house.rust_files() {
        let Some(member) = house.member_of(file) else {
            continue;
        };
        let found = rust::count_word(&workspace::read(file)?, "unsafe")
            .map_err(|error| format!("{file}: {error}"))?;
        if found > 0 {
            *counts.entry(member.place.clone()).or_default() += found;
        }
    }
    Ok(counts)
}

fn ceiling(text: &str) -> Result<BTreeMap<String, usize>, String> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let (place, count) = line.split_once(' ').ok_or_else(|| format!("{CEILING}: {line}"))?;
            let count = count
                .parse()
                .map_err(|error| format!("{CEILING}: {line}: {error}"))?;
            Ok((place.to_owned(), count))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, usize)]) -> BTreeMap<String, usize> {
        pairs
            .iter()
            .map(|(place, count)| ((*place).to_owned(), *count))
            .collect()
    }

    #[test]
    fn refuses_more_than_the_ceiling_and_any_in_a_safe_crate() {
        let ceiling = counts(&[("guest", 3), ("ops", 9)]);
        assert!(judge(&counts(&[("guest", 3)]), &ceiling).is_empty());
        assert_eq!(judge(&counts(&[("guest", 4)]), &ceiling).len(), 1);
        assert_eq!(judge(&counts(&[("ops", 1)]), &ceiling).len(), 1);
        assert_eq!(judge(&counts(&[("host/jail", 1)]), &ceiling).len(), 1);
    }

    #[test]
    fn refuses_a_ceiling_it_cannot_read() {
        assert!(ceiling("# note\nguest 3\n").is_ok());
        assert!(ceiling("guest three\n").is_err());
        assert!(ceiling("guest\n").is_err());
    }
}
