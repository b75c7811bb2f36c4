//! Words that do not belong into a public tree, and names in documents that must lead somewhere.

use std::collections::BTreeSet;
use std::path::Path;

use super::House;
use crate::workspace;

/// Package registries and directories of a developer's machine. Written in pieces, so that this file does not match.
const FOREIGN: &[&str] = &[
    concat!("crates", ".io"),
    concat!("static.", "rust-lang.org"),
    concat!("py", "pi.org"),
    concat!("npm", "js.org"),
    concat!("deb.", "debian.org"),
    concat!("/ro", "ot/."),
    concat!("/wo", "rk/"),
    concat!("/ho", "me/"),
];

pub(super) fn words(house: &House) -> Result<Vec<String>, String> {
    let mut findings = Vec::new();
    for file in house.files.iter().filter(|file| file.as_str() != "Cargo.lock") {
        // Files that are not text have no words.
        let Ok(text) = workspace::read(file) else { continue };
        for (number, line) in text.lines().enumerate() {
            for word in FOREIGN.iter().filter(|word| line.contains(**word)) {
                findings.push(format!("{file}:{}: {word}", number + 1));
            }
        }
    }
    Ok(findings)
}

/// Relative links in Markdown lead to files, and `test: name` leads to a test.
pub(super) fn links(house: &House) -> Result<Vec<String>, String> {
    let tests = test_names(house)?;
    let mut findings = Vec::new();
    for file in house.files.iter().filter(|file| file.ends_with(".md")) {
        let text = workspace::read(file)?;
        let directory = Path::new(file).parent().unwrap_or(Path::new(""));
        for target in link_targets(&text) {
            let path = target.split('#').next().unwrap_or_default();
            let foreign = path.is_empty() || path.contains("://") || path.starts_with("mailto:");
            if !foreign && !workspace::root().join(directory).join(path).exists() {
                findings.push(format!("{file}: the target of the link {path} does not exist"));
            }
        }
        for name in claimed_tests(&text).filter(|name| !tests.contains(*name)) {
            findings.push(format!("{file}: there is no test named {name}"));
        }
    }
    Ok(findings)
}

/// What stands between `](` and `)`.
fn link_targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|tail| tail.split(')').next())
}

/// Names written as `` test: `name` ``.
fn claimed_tests(text: &str) -> impl Iterator<Item = &str> {
    text.split("test: `")
        .skip(1)
        .filter_map(|tail| tail.split('`').next())
}

/// Every function in a source that holds tests.
fn test_names(house: &House) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for file in house.rust_files() {
        let source = workspace::read(file)?;
        for tail in source.split("fn ").skip(1) {
            let name: String = tail
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            names.insert(name);
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_link_targets_and_claimed_tests() {
        let text = "see [a](b.md#c) and [d](https://e/f), test: `refuses_it`.";
        assert_eq!(link_targets(text).collect::<Vec<_>>(), ["b.md#c", "https://e/f"]);
        assert_eq!(claimed_tests(text).collect::<Vec<_>>(), ["refuses_it"]);
    }
}
