//! The recorded cases: command lines, and the images that they refer to.

use std::fs;

use instar_tests::variant::{self, Variant};
use instar_tests::{Bench, Outcome, Sandbox};

use super::shown;
use crate::dd;

/// Cases that are kept in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// The matrix of `dd`.
    Dd,
    /// Verbs that look at images.
    Looking,
}

/// A command line.
#[derive(Debug)]
pub(super) struct Case {
    /// All its words.
    pub(super) words: Vec<String>,
}

/// Variants whose description does not depend on where they are.
const IMAGES: &[&[Variant]] =
    &[variant::LAYOUTS, variant::CLUSTERS, variant::CHAINS, variant::STATES, variant::RAW, variant::FOREIGN];

/// Lines for each image.
const LOOKS: &[&str] = &[
    "info image",
    "info --output=json image",
    "info --backing-chain image",
    "map image",
    "map --output=json image",
    "check image",
    "check --output=json image",
    "snapshot -l image",
    "measure -O qcow2 image",
    "measure --output=json -O raw image",
];

/// Variants that are left out, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("qcow2 over raw, absolute name", "the name of its directory is random"),
    ("clusters of 512", "its map has thousands of lines"),
    ("raw, all hole", "where it has space depends on the file system"),
];

impl Group {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Dd => "dd",
            Self::Looking => "looking",
        }
    }

    /// Runs every case as each of `releases`; gives the head line of each and what is kept of its result.
    pub(super) fn run(self, sandbox: Sandbox, releases: &[&str], run: Run<'_>) -> Vec<Found> {
        let mut found = vec![Found::new(); releases.len()];
        match self {
            Self::Dd => windows(sandbox, releases, run, &mut found),
            Self::Looking => looks(sandbox, releases, run, &mut found),
        }
        found
    }
}

/// Starts a program for a case, as a release.
pub(super) type Run<'a> = &'a dyn Fn(&Bench, &str, &Case) -> Outcome;

/// Head lines, and what is kept of the results.
pub(super) type Found = Vec<(String, String)>;

fn windows(sandbox: Sandbox, releases: &[&str], run: Run<'_>, found: &mut [Found]) {
    let bench = Bench::new(sandbox);
    for name in dd::sources() {
        dd::material(&bench, name);
    }
    let before = bench.names();
    for (dimension, rows) in dd::DIMENSIONS {
        for row in *rows {
            let case = Case {
                words: dd::line(row.words),
            };
            for (series, found) in releases.iter().zip(&mut *found) {
                let outcome = run(&bench, series, &case);
                let mut body = format!("$ dd {}\n{}", row.words, shown::outcome(&outcome));
                if outcome.code() == Some(0) {
                    body.push_str(&shown::image(&bench, "out"));
                }
                for name in bench.names().iter().filter(|name| !before.contains(name)) {
                    fs::remove_file(bench.path(name)).unwrap();
                }
                found.push((format!("[{dimension}] {}", row.name), body));
            }
        }
    }
}

fn looks(sandbox: Sandbox, releases: &[&str], run: Run<'_>, found: &mut [Found]) {
    let variants = IMAGES.iter().flat_map(|list| *list);
    for variant in variants.filter(|variant| !LEFT_OUT.iter().any(|(name, _)| *name == variant.name)) {
        let bench = Bench::new(sandbox);
        variant.make(&bench);
        for name in bench.names().iter().filter(|name| bench.path(name).is_file()) {
            fs::File::open(bench.path(name)).unwrap().sync_all().unwrap();
        }
        for look in LOOKS {
            let line = look.strip_suffix("image").unwrap_or(look);
            let words: Vec<String> =
                line.split_whitespace().chain(variant.source.iter().copied()).map(str::to_owned).collect();
            // Before 10.0 this verb takes no format.
            if words.contains(&"-f".to_owned()) && words.first().is_some_and(|verb| verb == "snapshot") {
                continue;
            }
            let case = Case { words };
            for (series, found) in releases.iter().zip(&mut *found) {
                let outcome = run(&bench, series, &case);
                found.push((format!("[{}] {look}", variant.name), shown::outcome(&outcome)));
            }
        }
    }
}
