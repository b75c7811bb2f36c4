//! What no table says: sections of a page in plain text, beside the verb.
//!
//! ```text
//!  = EXIT STATUS
//!  A paragraph; empty lines end it. What stands between `backquotes` is to be typed.
//!
//!  0
//!      What the term above means.
//! ```

use super::roff::{Roff, bold};

/// A part of a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) title: String,
    pub(super) blocks: Vec<Block>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    Paragraph(String),
    Entry(String, String),
}

/// The sections that stand beside a verb.
pub(super) fn of(verb: &str) -> Option<Vec<Section>> {
    TEXTS
        .iter()
        .find(|(name, _)| *name == verb)
        .map(|(_, text)| sections(text))
}

/// Reads sections.
pub(super) fn sections(text: &str) -> Vec<Section> {
    let mut sections = Vec::new();
    let mut current: Option<Section> = None;
    for block in text.split("\n\n").map(|block| block.trim_matches('\n')) {
        let mut rest = block;
        if let Some(head) = block.strip_prefix("= ") {
            let (title, tail) = head.split_once('\n').unwrap_or((head, ""));
            sections.extend(current.take());
            current = Some(Section {
                title: title.to_owned(),
                blocks: Vec::new(),
            });
            rest = tail;
        }
        if let (Some(section), false) = (&mut current, rest.is_empty()) {
            section.blocks.extend(blocks(rest));
        }
    }
    sections.extend(current);
    sections
}

/// A paragraph, or terms with their meanings below them.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let mut meaning = String::new();
        while let Some(next) = lines.next_if(|next| next.starts_with("    ")) {
            meaning.push_str(next.trim_start());
            meaning.push(' ');
        }
        match blocks.last_mut() {
            _ if !meaning.is_empty() => {
                blocks.push(Block::Entry(line.to_owned(), meaning.trim_end().to_owned()));
            }
            Some(Block::Paragraph(words)) => {
                words.push(' ');
                words.push_str(line);
            }
            _ => blocks.push(Block::Paragraph(line.to_owned())),
        }
    }
    blocks
}

impl Section {
    pub(super) fn write(&self, roff: &mut Roff) {
        roff.heading(&self.title);
        for block in &self.blocks {
            match block {
                Block::Paragraph(text) => roff.paragraph(text),
                Block::Entry(term, meaning) => roff.entry(&bold(term), meaning),
            }
        }
    }
}

macro_rules! beside {
    ($($verb:literal),* $(,)?) => {
        &[$(($verb, include_str!(concat!("../verbs/", $verb, "/manual.txt")))),*]
    };
}

/// One text for each verb.
const TEXTS: &[(&str, &str)] = beside![
    "amend", "bench", "bitmap", "check", "checksum", "commit", "compact", "compare", "convert", "create",
    "dd", "fleet", "info", "map", "measure", "rebase", "resize", "sandbox", "selftest", "snapshot", "trust",
    "worker",
];
