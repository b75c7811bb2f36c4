//! Completion for shells, written from the tables of options.
//!
//! ```text
//!  flags, create ─► values: what can follow an option ─┬─► bash ── after instar.bash
//!                                                      ├─► zsh ─── after instar.zsh
//!                                                      └─► fish ── after instar.fish
//! ```
//!
//! What a shell does with the tables is written in its own language, in the file of that name; what is generated is data.

mod bash;
mod fish;
mod values;
mod zsh;

use crate::flags::Flag;
use crate::manual::explanation;

/// A shell that can complete words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl Shell {
    pub const ALL: [Self; 3] = [Self::Bash, Self::Zsh, Self::Fish];

    /// The name of the file in which the shell looks for it.
    #[must_use]
    pub const fn file(self) -> &'static str {
        match self {
            Self::Bash => "instar",
            Self::Zsh => "_instar",
            Self::Fish => "instar.fish",
        }
    }
}

/// The script for a shell.
#[must_use]
pub fn script(shell: Shell) -> String {
    match shell {
        Shell::Bash => bash::script(),
        Shell::Zsh => zsh::script(),
        Shell::Fish => fish::script(),
    }
}

/// Whether people type this option.
fn is_offered(flag: &Flag) -> bool {
    explanation(flag).is_some()
}

/// All names of an option, as they are typed.
fn names(flag: &Flag) -> Vec<String> {
    let letter = flag.short.map(|letter| format!("-{}", char::from(letter)));
    letter.into_iter().chain(long_names(flag)).collect()
}

fn long_names(flag: &Flag) -> impl Iterator<Item = String> {
    flag.long.iter().chain(flag.exact).map(|name| format!("--{name}"))
}

/// The text of an option up to its first colon or line break: lists of shells have one line for each.
fn short_text(flag: &Flag) -> String {
    let text = explanation(flag).unwrap_or_default().replace('`', "");
    let end = text.find([';', ':', '\n']).unwrap_or(text.len());
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
