//! What cargo knows about the workspace, and which files belong to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::run;

/// The workspace's directory.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// One crate of the workspace.
#[derive(Debug)]
pub(crate) struct Member {
    /// Where it lies below the root, for example `host/cli`.
    pub(crate) place: String,
    /// What it depends on, in the order of its manifest.
    pub(crate) dependencies: Vec<Dependency>,
}

/// An edge out of a crate.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    kind: Option<String>,
}

impl Dependency {
    /// Linked into the product, neither a test's nor a build script's.
    pub(crate) fn is_normal(&self) -> bool {
        self.kind.is_none()
    }

    /// Used by tests only.
    pub(crate) fn is_dev(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

/// The crates of the workspace by name.
pub(crate) fn members() -> Result<BTreeMap<String, Member>, String> {
    let text = run::output(run::cargo().args(["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: Metadata =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    metadata
        .packages
        .into_iter()
        .map(|package| {
            let directory = package.manifest_path.parent().unwrap_or(Path::new(""));
            let place = directory
                .strip_prefix(&metadata.workspace_root)
                .map_err(|error| error.to_string())?;
            let member = Member {
                place: place.to_string_lossy().into_owned(),
                dependencies: package.dependencies,
            };
            Ok((package.name, member))
        })
        .collect()
}

/// Every file of the project: tracked, or new and not ignored.
pub(crate) fn files() -> Result<Vec<String>, String> {
    let list = run::output(std::process::Command::new("git").current_dir(root()).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    let mut files: Vec<String> = list
        .lines()
        .filter(|file| root().join(file).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    Ok(files)
}

/// The text of a file of the project.
pub(crate) fn read(file: &str) -> Result<String, String> {
    std::fs::read_to_string(root().join(file)).map_err(|error| format!("{file}: {error}"))
}
