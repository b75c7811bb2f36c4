//! What other people's crates may be, whether they are linked into the product or not: where they come from, under which licence, and
//! in one version each. `deny.toml` says what is let in, for cargo-deny too. Known faults in them are another question, which
//! `cargo xtask ci` asks.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::House;
use crate::{run, workspace};

/// How a source begins that is a registry, not a repository of somebody's.
const REGISTRY: &str = "registry+";

/// What is let in.
#[derive(Deserialize)]
struct Rules {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    skip: Vec<Twice>,
}

/// A crate that may be there in two versions, and why.
#[derive(Deserialize)]
struct Twice {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

impl Rules {
    fn read() -> Result<Self, String> {
        toml::from_str(&workspace::read("deny.toml")?).map_err(|error| format!("deny.toml: {error}"))
    }
}

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
    Ok(judge(&Rules::read()?, &metadata.packages))
}

fn judge(rules: &Rules, packages: &[Package]) -> Vec<String> {
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
        if !is_permissive(&rules.licenses, licence) {
            findings.push(format!("{name} {version}: its licence is '{licence}'"));
        }
    }
    for (name, versions) in &versions {
        if versions.len() > 1 && !rules.bans.skip.iter().any(|twice| twice.name == *name) {
            let versions: Vec<&str> = versions.iter().copied().collect();
            findings.push(format!("{name}: in several versions, {}", versions.join(" and ")));
        }
    }
    for Twice { name, reason } in &rules.bans.skip {
        if versions
            .get(name.as_str())
            .is_none_or(|versions| versions.len() < 2)
        {
            findings.push(format!(
                "{name}: no longer in several versions, which was excused with: {reason}"
            ));
        }
    }
    findings
}

/// One alternative is enough; all that is joined by AND must be permissive.
fn is_permissive(allowed: &Licences, licence: &str) -> bool {
    let licence = licence.replace('/', " OR ").replace(['(', ')'], "");
    licence.split(" AND ").all(|part| {
        part.split(" OR ")
            .any(|choice| allowed.allow.iter().any(|known| known == choice.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::{Package, REGISTRY, Rules, is_permissive, judge};

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
        let rules = Rules::read().unwrap();
        for (licence, permissive) in [
            ("MIT", true),
            ("GPL-2.0-only", false),
            ("MIT OR Apache-2.0 OR LGPL-2.1-or-later", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("MIT/Apache-2.0", true),
            ("", false),
        ] {
            assert_eq!(is_permissive(&rules.licenses, licence), permissive, "{licence}");
        }
    }

    #[test]
    fn a_second_version_needs_an_excuse_and_an_excuse_a_second_version() {
        let rules = Rules::read().unwrap();
        let mut packages = Vec::new();
        for twice in &rules.bans.skip {
            packages.extend(["1.0.0", "2.0.0"].map(|version| package(&twice.name, version, "MIT")));
        }
        assert!(judge(&rules, &packages).is_empty());
        packages.extend(["1.0.0", "2.0.0"].map(|version| package("other", version, "MIT")));
        packages.remove(0);
        assert_eq!(judge(&rules, &packages).len(), 2);
    }
}
