//! Help pages, written from the tables.

use std::fmt::Write;

use instar_abi::Format;

use super::policy::GROUP as SAFETY;
use super::{Flag, Page, TOP};
use crate::program::Program;

/// Column in which descriptions start.
const COLUMN: usize = 31;
/// Columns of a page.
const WIDTH: usize = 80;

/// What `--help` prints before a verb.
#[must_use]
pub fn top_page(pages: impl IntoIterator<Item = &'static Page>, program: &Program) -> String {
    let name = program.prefix();
    let mut text = format!(
        "{name} - work with disk images, parsed in a sandbox\n\nUsage: {name} [options] COMMAND [options] ...\n\nCommands:\n"
    );
    for page in pages {
        let _ = writeln!(text, "  {:<10} {}", page.name, page.summary);
    }
    text.push_str("\nOptions:\n");
    flags(&mut text, TOP);
    let _ = writeln!(text, "\n{} (before or after COMMAND):", SAFETY.title);
    flags(&mut text, SAFETY.flags);
    let formats: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
    let formats = wrapped(&format!("Formats: {}", formats.join(", ")), WIDTH).join("\n  ");
    let _ = write!(text, "\n{formats}\n\nHelp for a command: {name} COMMAND --help\n");
    text
}

/// What `--help` prints after a verb.
#[must_use]
pub fn verb_page(page: &Page, program: &Program) -> String {
    let name = program.prefix();
    let mut text = format!(
        "{name} {} - {}\n\nUsage: {name} {} {}\n\n{}\n",
        page.name,
        page.summary,
        page.name,
        page.usage,
        wrapped(page.about, WIDTH).join("\n")
    );
    if !page.operands.is_empty() {
        text.push('\n');
        for (left, right) in page.operands {
            entry(&mut text, left, right);
        }
    }
    for group in page.groups.iter().chain([&SAFETY]) {
        let _ = writeln!(text, "\n{}:", group.title);
        flags(&mut text, group.flags);
    }
    if !page.examples.is_empty() {
        text.push_str("\nExamples:\n");
        for (command, purpose) in page.examples {
            let _ = writeln!(text, "  # {purpose}\n  {name} {command}");
        }
    }
    text
}

fn flags(text: &mut String, flags: &[Flag]) {
    for flag in flags.iter().filter(|flag| !flag.help.is_empty()) {
        let long = flag.long.first().or(flag.exact.first());
        let mut left = match (flag.short, long) {
            (Some(short), Some(long)) => format!("-{}, --{long}", char::from(short)),
            (Some(short), None) => format!("-{}", char::from(short)),
            (None, Some(long)) => format!("    --{long}"),
            (None, None) => continue,
        };
        if let Some(value) = flag.value {
            if !value.starts_with('[') {
                left.push(' ');
            }
            left.push_str(value);
        }
        entry(text, &left, flag.help);
    }
}

/// A term and its description, which starts on the next line if the term is long.
fn entry(text: &mut String, left: &str, right: &str) {
    let mut lines = wrapped(right, WIDTH - COLUMN).into_iter();
    if left.len() + 4 > COLUMN {
        let _ = writeln!(text, "  {left}");
    } else {
        let first = lines.next().unwrap_or_default();
        let _ = writeln!(text, "  {left:<width$}{first}", width = COLUMN - 2);
    }
    for line in lines {
        let _ = writeln!(text, "{:COLUMN$}{line}", "");
    }
}

/// Lines of at most `width` bytes.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
