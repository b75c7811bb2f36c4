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

const HEAD: &str = "# The crate, how often the word `unsafe` stands in its code, and how many of these begin a block; tests included. `cargo xtask tidy`\n\
                    # fails above it; after unsafe code was removed, `cargo xtask tidy --bless` lowers it. Raising it by hand needs a reason in the commit.\n";

/// Blocks in all crates. Ours: a reviewer reads so many in an afternoon.
const MOST_BLOCKS: usize = 150;

/// What a crate has of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    words: usize,
    blocks: usize,
}

type Amounts = BTreeMap<String, Amount>;

pub(super) fn check(house: &House) -> Result<Vec<String>, String> {
    Ok(judge(&count(house)?, &ceiling(&workspace::read(CEILING)?)?))
}

/// Writes the present counts down as the ceiling.
pub(super) fn bless(house: &House) -> Outcome {
    let mut text = HEAD.to_owned();
    for (place, Amount { words, blocks }) in count(house)? {
        writeln!(text, "{place} {words} {blocks}").map_err(|error| error.to_string())?;
    }
    std::fs::write(workspace::root().join(CEILING), text).map_err(|error| format!("{CEILING}: {error}"))
}

fn judge(amounts: &Amounts, ceiling: &Amounts) -> Vec<String> {
    let mut findings = Vec::new();
    for (place, amount) in amounts {
        if !ALLOWED.contains(&place.as_str()) {
            findings.push(format!("{place}: this crate must not have unsafe code"));
        }
        let limit = ceiling.get(place).copied().unwrap_or_default();
        for (what, found, most) in [
            ("uses of unsafe", amount.words, limit.words),
            ("unsafe blocks", amount.blocks, limit.blocks),
        ] {
            if found > most {
                findings.push(format!("{place}: {found} {what}; the ceiling is {most}"));
            }
        }
    }
    let blocks: usize = amounts.values().map(|amount| amount.blocks).sum();
    if blocks > MOST_BLOCKS {
        findings.push(format!(
            "{blocks} unsafe blocks in all crates; the limit is {MOST_BLOCKS}"
        ));
    }
    findings
}

fn count(house: &House) -> Result<Amounts, String> {
    let mut amounts = Amounts::new();
    for file in house.rust_files() {
        let Some(member) = house.member_of(file) else {
            continue;
        };
        let source = workspace::read(file)?;
        let of_file = |error| format!("{file}: {error}");
        let words = rust::count_word(&source, "unsafe").map_err(of_file)?;
        if words > 0 {
            let amount = amounts.entry(member.place.clone()).or_default();
            amount.words += words;
            amount.blocks += rust::count_unsafe_blocks(&source).map_err(of_file)?;
        }
    }
    Ok(amounts)
}

fn ceiling(text: &str) -> Result<Amounts, String> {
    let line = |line: &str| {
        let numbers: Vec<&str> = line.split(' ').collect();
        let [place, words, blocks] = numbers[..] else {
            return Err(format!("{CEILING}: {line}"));
        };
        let number = |text: &str| {
            text.parse()
                .map_err(|error| format!("{CEILING}: {line}: {error}"))
        };
        let amount = Amount {
            words: number(words)?,
            blocks: number(blocks)?,
        };
        Ok((place.to_owned(), amount))
    };
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(line)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(rows: &[(&str, usize, usize)]) -> Amounts {
        rows.iter()
            .map(|&(place, words, blocks)| (place.to_owned(), Amount { words, blocks }))
            .collect()
    }

    #[test]
    fn refuses_more_than_the_ceiling_and_any_in_a_safe_crate() {
        let ceiling = amounts(&[("guest", 3, 2), ("ops", 9, 9)]);
        let findings = |rows| judge(&amounts(rows), &ceiling).len();
        assert_eq!(findings(&[("guest", 3, 2)]), 0);
        assert_eq!(findings(&[("guest", 4, 2)]), 1);
        assert_eq!(findings(&[("guest", 3, 3)]), 1);
        assert_eq!(findings(&[("ops", 1, 1)]), 1);
        assert_eq!(findings(&[("host/jail", 1, 0)]), 1);
    }

    #[test]
    fn refuses_too_many_blocks_in_all_whatever_the_ceilings_say() {
        let rows = amounts(&[("guest", 100, 100), ("host/jail", 51, 51)]);
        assert_eq!(judge(&rows, &rows).len(), 1);
    }

    #[test]
    fn refuses_a_ceiling_it_cannot_read() {
        assert!(ceiling("# note\nguest 3 2\n").is_ok());
        assert!(ceiling("guest three 2\n").is_err());
        assert!(ceiling("guest 3\n").is_err());
        assert!(ceiling("guest\n").is_err());
    }
}
