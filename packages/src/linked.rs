//! Which crates are linked into the program, its sandboxed part included: cargo knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::files::{cargo, output, read_text};

/// The program, and the program inside it.
const ROOTS: [&str; 2] = ["instar", "instar-guest"];

/// The crate that has the sandboxed program in it.
const EMBEDS: &str = "instar-sandbox";

/// A crate, by name and version.
pub type Id = (String, String);

/// A crate that is linked.
#[derive(Clone, Debug)]
pub struct Linked {
    pub id: Id,
    /// It is part of this project.
    pub ours: bool,
    pub licence: String,
    pub authors: Vec<String>,
    pub repository: Option<String>,
    /// Where its source is.
    pub directory: PathBuf,
    /// SHA-256 of its source, as the lock file has it.
    pub checksum: Option<String>,
    pub dependencies: BTreeSet<Id>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    authors: Vec<String>,
    repository: Option<String>,
    manifest_path: PathBuf,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// Every crate that is linked, sorted by name.
///
/// # Errors
/// What cargo complains of.
pub fn crates(root: &Path) -> Result<Vec<Linked>, String> {
    let mut edges = BTreeMap::new();
    for program in ROOTS {
        let tree = output(cargo(root).args([
            "tree",
            "--locked",
            "--package",
            program,
            "--edges",
            "normal,no-proc-macro",
            "--target",
            "x86_64-unknown-linux-gnu",
            "--prefix",
            "depth",
            "--format",
            " {p}",
        ]))?;
        read_tree(&tree, &mut edges)?;
    }
    embed(&mut edges)?;
    let metadata = output(cargo(root).args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Metadata =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let lock = read_text(&root.join("Cargo.lock"))?;
    let lock: Lock = toml::from_str(&lock).map_err(|error| format!("Cargo.lock: {error}"))?;
    edges
        .into_iter()
        .map(|(id, dependencies)| {
            let package = metadata
                .packages
                .iter()
                .find(|package| (&package.name, &package.version) == (&id.0, &id.1))
                .ok_or_else(|| format!("cargo metadata: no crate {} {}", id.0, id.1))?;
            let locked = lock
                .package
                .iter()
                .find(|locked| (&locked.name, &locked.version) == (&id.0, &id.1));
            Ok(linked(id, dependencies, package, locked))
        })
        .collect()
}

fn linked(id: Id, dependencies: BTreeSet<Id>, package: &Package, locked: Option<&Locked>) -> Linked {
    Linked {
        id,
        ours: package.source.is_none(),
        licence: package.license.clone().unwrap_or_default(),
        authors: package.authors.clone(),
        repository: package.repository.clone(),
        directory: package.manifest_path.parent().unwrap_or(Path::new("")).to_owned(),
        checksum: locked.and_then(|locked| locked.checksum.clone()),
        dependencies,
    }
}

/// Reads lines such as `2 cfg-if v1.0.5`: the depth says whose dependency it is.
fn read_tree(tree: &str, edges: &mut BTreeMap<Id, BTreeSet<Id>>) -> Result<(), String> {
    let mut path: Vec<Id> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let (depth, name, version) = (words.next(), words.next(), words.next());
        let read = || {
            let depth: usize = depth?.parse().ok()?;
            Some((depth, (name?.to_owned(), version?.strip_prefix('v')?.to_owned())))
        };
        let (depth, id) = read().ok_or_else(|| format!("cargo tree: cannot read '{line}'"))?;
        path.truncate(depth);
        if let Some(above) = path.last() {
            edges.entry(above.clone()).or_default().insert(id.clone());
        }
        edges.entry(id.clone()).or_default();
        path.push(id);
    }
    Ok(())
}

/// The sandboxed program is no dependency for cargo: a build script builds it.
fn embed(edges: &mut BTreeMap<Id, BTreeSet<Id>>) -> Result<(), String> {
    let find = |name: &str| {
        let found = edges.keys().find(|id| id.0 == name);
        found
            .cloned()
            .ok_or_else(|| format!("cargo tree: no crate {name}"))
    };
    let (host, guest) = (find(EMBEDS)?, find("instar-guest")?);
    edges.entry(host).or_default().insert(guest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_of_a_line_says_whose_dependency_it_is() {
        let mut edges = BTreeMap::new();
        read_tree(
            "0 a v1.0.0 (/x)\n1 b v2.0.0\n2 c v3.0.0\n1 c v3.0.0 (*)\n",
            &mut edges,
        )
        .unwrap();
        let id = |name: &str, version: &str| (name.to_owned(), version.to_owned());
        assert_eq!(
            edges,
            [
                (id("a", "1.0.0"), [id("b", "2.0.0"), id("c", "3.0.0")].into()),
                (id("b", "2.0.0"), [id("c", "3.0.0")].into()),
                (id("c", "3.0.0"), BTreeSet::new()),
            ]
            .into()
        );
        assert!(read_tree("a b c", &mut edges).is_err());
    }
}
