//! The matrix of `dd` in its page: every row with what each release does, from the baselines.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::{Outcome, workspace};

const PAGE: &str = "docs/verbs/dd.md";
const START: &str = "<!-- matrix: written by `cargo xtask baselines` -->\n";
const END: &str = "<!-- end of matrix -->";
const RELEASES: [&str; 3] = ["7.2", "10.0", "11.1"];

/// Writes the table into the page.
pub(crate) fn render() -> Outcome {
    let text = workspace::read(PAGE)?;
    let (before, rest) = text
        .split_once(START)
        .ok_or(format!("{PAGE} lacks the start marker of the matrix"))?;
    let (_, after) = rest
        .split_once(END)
        .ok_or(format!("{PAGE} lacks the end marker of the matrix"))?;
    let page = format!("{before}{START}{}{END}{after}", table()?);
    std::fs::write(workspace::root().join(PAGE), page).map_err(|error| format!("{PAGE}: {error}"))
}

/// The page says what the baselines say.
pub(crate) fn check() -> Result<Vec<String>, String> {
    if workspace::read(PAGE)?.contains(&table()?) {
        return Ok(Vec::new());
    }
    Ok(vec![format!(
        "{PAGE} does not match tests/baselines; run: cargo xtask baselines"
    )])
}

/// A row of the matrix: its words, and what each release does.
struct Row {
    dimension: String,
    name: String,
    words: String,
    results: [String; 3],
}

fn table() -> Result<String, String> {
    let rows = rows()?;
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for row in &rows {
        match counts.last_mut() {
            Some((known, count)) if *known == row.dimension => *count += 1,
            _ => counts.push((&row.dimension, 1)),
        }
    }
    let mut text = String::from(
        "| dimension | rows | releases | sandboxes | comparisons |\n| --- | --- | --- | --- | --- |\n",
    );
    for (dimension, count) in &counts {
        let all = count * RELEASES.len() * 2;
        let _ = writeln!(
            text,
            "| {} | {count} | {} | 2 | {all} |",
            words_of(dimension),
            RELEASES.join(", ")
        );
    }
    for (dimension, _) in &counts {
        let _ = write!(
            text,
            "\n### {}\n\n| row | words | {} |\n| --- | --- | --- | --- | --- |\n",
            words_of(dimension),
            RELEASES.join(" | ")
        );
        for row in rows.iter().filter(|row| row.dimension == *dimension) {
            let _ = writeln!(
                text,
                "| {} | `{}` | {} |",
                words_of(&row.name),
                row.words,
                row.results.join(" | ")
            );
        }
    }
    Ok(text)
}

fn words_of(name: &str) -> String {
    name.replace('_', " ")
}

fn rows() -> Result<Vec<Row>, String> {
    let mut rows: Vec<Row> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    for (release, series) in RELEASES.iter().enumerate() {
        let text = workspace::read(&format!("tests/baselines/{series}/dd.txt"))?;
        for block in text.split("\n\n") {
            let mut lines = block.trim_matches('\n').lines();
            let Some((dimension, name)) = lines
                .next()
                .and_then(|head| head.strip_prefix('[')?.split_once("] "))
            else {
                continue;
            };
            let place = *places.entry(format!("{dimension} {name}")).or_insert_with(|| {
                rows.push(Row {
                    dimension: dimension.to_owned(),
                    name: name.to_owned(),
                    words: String::new(),
                    results: Default::default(),
                });
                rows.len() - 1
            });
            let Some(row) = rows.get_mut(place) else { continue };
            if let Some(words) = lines.next().and_then(|line| line.strip_prefix("$ dd ")) {
                words.clone_into(&mut row.words);
            }
            if let Some(cell) = row.results.get_mut(release) {
                *cell = result(lines);
            }
        }
    }
    Ok(rows)
}

/// `2048 bytes of raw`, or `refused`.
fn result<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let (mut text, mut warned) = ("refused".to_owned(), false);
    for line in lines {
        if let Some((format, rest)) = line.strip_prefix("> ").and_then(|rest| rest.split_once(", ")) {
            let bytes = rest.split(' ').next().unwrap_or_default();
            text = if format == "raw" {
                bytes.to_owned()
            } else {
                format!("{format}: {bytes}")
            };
        }
        warned |= line.starts_with("! ");
    }
    if warned && text != "refused" {
        text.push_str(", warns");
    }
    text
}
