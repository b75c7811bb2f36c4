//! What differs between releases of the reference tool: one table of facts, and the release whose facts hold for this run.
//!
//! A caller that was written for one release gets that one's words and columns. Options that a newer release added are taken in
//! every profile where they collide with nothing, so no fact stands for them.

mod facts;
mod installed;

pub use facts::{FACTS, Fact, Row};

use std::sync::OnceLock;

/// A release of the reference tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// As in `10.0`.
    pub series: Series,
    /// The rest of its number.
    pub patch: u16,
}

/// The first two numbers of a release, which decide what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Series(pub u16, pub u16);

impl std::fmt::Display for Series {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.series, self.patch)
    }
}

/// The releases that can be named, oldest first. Each is compared with the reference tool of that release.
pub const PROFILES: &[Release] = &[
    Release {
        series: Series(7, 2),
        patch: 22,
    },
    DEFAULT,
    Release {
        series: Series(11, 1),
        patch: 3,
    },
];

/// What holds unless something else is said.
pub const DEFAULT: Release = Release {
    series: Series(10, 0),
    patch: 2,
};

impl Default for Release {
    fn default() -> Self {
        DEFAULT
    }
}

impl Release {
    /// The release that a word names: a profile, or `auto` for the reference tool that is installed beside. Where none is, the default.
    ///
    /// # Errors
    /// The words that name one.
    pub fn parse(word: &[u8]) -> Result<Self, String> {
        if word == b"auto" {
            return Ok(installed::release().unwrap_or(DEFAULT));
        }
        let named = PROFILES
            .iter()
            .find(|profile| profile.series.to_string().as_bytes() == word);
        named.copied().ok_or_else(|| {
            let names: Vec<String> = PROFILES
                .iter()
                .map(|profile| profile.series.to_string())
                .collect();
            format!(
                "expects auto or one of {}, not '{}'",
                names.join(", "),
                crate::show::Escaped(word)
            )
        })
    }

    /// The release in the version of a package, such as `1:10.0.13+ds-0+deb13u1`.
    fn of_package(version: &str) -> Option<Self> {
        let upstream = version.split_once(':').map_or(version, |(_, rest)| rest);
        let end = upstream.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
        let mut numbers = upstream.get(..end.unwrap_or(upstream.len()))?.split('.');
        let mut number = || numbers.next()?.parse().ok();
        Some(Self {
            series: Series(number()?, number()?),
            patch: number().unwrap_or(0),
        })
    }

    /// Whether a fact holds for it.
    #[must_use]
    pub fn has(self, fact: Fact) -> bool {
        FACTS.iter().any(|row| row.fact == fact && row.holds(self.series))
    }
}

static CURRENT: OnceLock<Release> = OnceLock::new();

/// The release for this run. It is settled once, before the command line is judged.
pub(crate) fn settle(release: Release) {
    // Only `main` settles it, and only once.
    let _ = CURRENT.set(release);
}

/// The release for this run.
#[must_use]
pub fn current() -> Release {
    CURRENT.get().copied().unwrap_or_default()
}

/// Whether a fact holds for this run.
#[must_use]
pub fn has(fact: Fact) -> bool {
    current().has(fact)
}

#[cfg(test)]
mod tests;
