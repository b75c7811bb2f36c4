//! The table of deliberate differences from qemu-img: kept as data, read by the tests, rendered for people.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Deserialize;

use crate::{Outcome, workspace};

const TABLE: &str = "tests/deviations.toml";
const PAGE: &str = "docs/deviations.md";

/// What tests call to show an entry; those that take the bench take it first.
const SHOWN_BY: [&str; 3] = ["deviates(", "only_we_refuse(", "only_we_read("];

const HEAD: &str = "# Deliberate differences from qemu-img\n\n\
    `cargo xtask deviations` renders this page from [tests/deviations.toml](../tests/deviations.toml); do not edit it here. A test shows each\n\
    row by running both programs, and fails if they no longer differ. Every other difference is a mistake.\n\
    [differences.md](differences.md) has the ten rows that you will notice first.\n\n\
    | name | qemu-img | instar | why |\n| --- | --- | --- | --- |\n";

#[derive(Deserialize)]
struct Table {
    #[serde(default)]
    deviation: Vec<Deviation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deviation {
    name: String,
    reference: String,
    ours: String,
    reason: String,
}

/// Writes the page.
pub(crate) fn render() -> Outcome {
    let path = workspace::root().join(PAGE);
    std::fs::write(path, page(&read()?)?).map_err(|error| format!("{PAGE}: {error}"))
}

/// The page is up to date, every entry is used by a test, every test's entry exists.
pub(crate) fn check() -> Result<Vec<String>, String> {
    let table = read()?;
    let mut findings = Vec::new();
    if workspace::read(PAGE).unwrap_or_default() != page(&table)? {
        findings.push(format!(
            "{PAGE} does not match {TABLE}; run: cargo xtask deviations"
        ));
    }
    let known: BTreeSet<String> = table.deviation.into_iter().map(|entry| entry.name).collect();
    let used = used()?;
    findings.extend(
        known
            .difference(&used)
            .map(|name| format!("{TABLE}: no test shows the deviation {name}")),
    );
    findings.extend(
        used.difference(&known)
            .map(|name| format!("{TABLE}: a test uses the deviation {name}, which is not listed")),
    );
    Ok(findings)
}

/// Names of all entries.
pub(crate) fn names() -> Result<BTreeSet<String>, String> {
    Ok(read()?.deviation.into_iter().map(|entry| entry.name).collect())
}

fn read() -> Result<Table, String> {
    toml::from_str(&workspace::read(TABLE)?).map_err(|error| format!("{TABLE}: {error}"))
}

fn page(table: &Table) -> Result<String, String> {
    let mut text = HEAD.to_owned();
    for entry in &table.deviation {
        let cells = [&entry.reference, &entry.ours, &entry.reason].map(|cell| cell.trim().replace('\n', " "));
        let [reference, ours, reason] = cells;
        writeln!(text, "| `{}` | {reference} | {ours} | {reason} |", entry.name)
            .map_err(|error| error.to_string())?;
    }
    Ok(text)
}

/// Names that tests pass to [`SHOWN_BY`].
fn used() -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    for file in workspace::files()?
        .iter()
        .filter(|file| file.starts_with("tests/tests/") && file.ends_with(".rs"))
    {
        let source = workspace::read(file)?;
        for tail in SHOWN_BY.iter().flat_map(|call| source.split(call).skip(1)) {
            let tail = tail.trim_start();
            let tail = tail.strip_prefix("bench,").unwrap_or(tail).trim_start();
            if let Some(name) = tail.strip_prefix('"').and_then(|tail| tail.split('"').next()) {
                names.insert(name.to_owned());
            }
        }
    }
    Ok(names)
}
