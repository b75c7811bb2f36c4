//! The rules that no compiler checks, as a program.

mod code;
mod edges;
mod foreign;
mod rust;
mod text;
mod unsafety;

use crate::Outcome;
use crate::workspace::{self, Member};
use std::collections::BTreeMap;

/// What the rules look at.
struct House {
    members: BTreeMap<String, Member>,
    files: Vec<String>,
}

impl House {
    fn look() -> Result<Self, String> {
        Ok(Self {
            members: workspace::members()?,
            files: workspace::files()?,
        })
    }

    /// The crate that a file belongs to.
    fn member_of(&self, file: &str) -> Option<&Member> {
        self.members
            .values()
            .filter(|member| file.starts_with(&format!("{}/", member.place)))
            .max_by_key(|member| member.place.len())
    }

    fn rust_files(&self) -> impl Iterator<Item = &str> {
        self.files
            .iter()
            .map(String::as_str)
            .filter(|file| file.ends_with(".rs"))
    }
}

type Rule = fn(&House) -> Result<Vec<String>, String>;

const RULES: &[(&str, Rule)] = &[
    ("imports between crates", edges::check),
    ("crates of others", foreign::check),
    ("size of files", code::sizes),
    ("first lines of crates", code::heads),
    ("amount of unsafe code", unsafety::check),
    ("forbidden words", text::words),
    ("links and names in documents", text::links),
    ("table of deviations", |_| crate::deviations::check()),
    ("matrix of dd", |_| crate::dd_matrix::check()),
];

/// Applies every rule.
pub(crate) fn check() -> Outcome {
    let house = House::look()?;
    let mut broken = 0;
    for (what, rule) in RULES {
        let findings = rule(&house)?;
        println!(
            "tidy: {what}: {}",
            if findings.is_empty() { "ok" } else { "BROKEN" }
        );
        for finding in &findings {
            println!("  {finding}");
        }
        broken += findings.len();
    }
    if broken == 0 {
        return Ok(());
    }
    Err(format!("{broken} findings; each breaks a rule above"))
}

/// Writes the unsafe ceiling anew.
pub(crate) fn bless() -> Outcome {
    unsafety::bless(&House::look()?)
}
