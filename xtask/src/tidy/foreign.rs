//! What other people's crates may be, whether they are linked into the product or not: where they come from, under which licence, and
//! in one version each. Known faults in them are another question, which `cargo xtask ci` asks.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::House;
use crate::run;

/// Licences that ask for nothing but to be named.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "MIT",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Crates that are there in two versions, and why.
const TWICE: &[(&str, &str)] = &[
    ("bitflags", "the crates for KVM use the first"),
    ("embedded-io", "postcard names two that nobody asks it for"),
    ("syn", "derives of two generations; none is linked"),
    ("windows-link", "what loom stands on names one; none is built"),
];

/// How a source begins that is a registry, not a repository of somebody's.
const REGISTRY: &str = "registry+";

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    /// None for our own.
    source: Option<String>,
    license: Option<String>,
}

pub(super) fn check(_: &House) -> Result<Vec<String>, String> {
    let text = run::output(run::cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Metadata =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    Ok(judge(&metadata.packages))
}

fn judge(packages: &[Package]) -> Vec<String> {
    let mut findings = Vec::new();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in packages {
        let Some(source) = &package.source else { continue };
        let Package { name, version, .. } = package;
        versions.entry(name).or_default().insert(version);
        if !source.starts_with(REGISTRY) {
            findings.push(format!("{name} {version}: comes from {source}"));
        }
        let licence = package.license.as_deref().unwrap_or_default();
        if !is_permissive(licence) {
            findings.push(format!("{name} {version}: its licence is '{licence}'"));
        }
    }
    for (name, versions) in &versions {
        if versions.len() > 1 && !TWICE.iter().any(|(known, _)| known == name) {
            let versions: Vec<&str> = versions.iter().copied().collect();
            findings.push(format!("{name}: in several versions, {}", versions.join(" and ")));
        }
    }
    for (name, why) in TWICE {
        if versions.get(name).is_none_or(|versions| versions.len() < 2) {
            findings.push(format!(
                "{name}: no longer in several versions, which was excused with: {why}"
            ));
        }
    }
    findings
}

/// One alternative is enough; all that is joined by AND must be permissive.
fn is_permissive(licence: &str) -> bool {
    let licence = licence.replace('/', " OR ").replace(['(', ')'], "");
    licence
        .split(" AND ")
        .all(|part| part.split(" OR ").any(|choice| LICENCES.contains(&choice.trim())))
}

#[cfg(test)]
mod tests {
    use super::{Package, REGISTRY, TWICE, is_permissive, judge};

    fn package(name: &str, version: &str, license: &str) -> Package {
        Package {
            name: name.to_owned(),
            version: version.to_owned(),
            source: Some(REGISTRY.to_owned()),
            license: Some(license.to_owned()),
        }
    }

    #[test]
    fn one_permissive_alternative_is_enough() {
        for (licence, permissive) in [
            ("MIT", true),
            ("GPL-2.0-only", false),
            ("MIT OR Apache-2.0 OR LGPL-2.1-or-later", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("MIT/Apache-2.0", true),
            ("", false),
        ] {
            assert_eq!(is_permissive(licence), permissive, "{licence}");
        }
    }

    #[test]
    fn a_second_version_needs_an_excuse_and_an_excuse_a_second_version() {
        let mut packages = Vec::new();
        for (name, _) in TWICE {
            packages.extend(["1.0.0", "2.0.0"].map(|version| package(name, version, "MIT")));
        }
        assert!(judge(&packages).is_empty());
        packages.extend(["1.0.0", "2.0.0"].map(|version| package("other", version, "MIT")));
        packages.remove(0);
        assert_eq!(judge(&packages).len(), 2);
    }
}
