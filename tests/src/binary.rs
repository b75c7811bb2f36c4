//! The binary under test: `INSTAR_BIN`, or the one that cargo builds beside the tests.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Directories whose sources end up in the binary.
const SOURCES: &[&str] =
    &["abi", "codecs", "disk", "formats", "guest", "host", "ops", "Cargo.lock", ".cargo"];

/// Where the binary is; built first if it is missing or older than its sources.
///
/// # Panics
///
/// If it cannot be built.
pub fn path() -> &'static Path {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    PATH.get_or_init(|| match std::env::var_os("INSTAR_BIN") {
        Some(path) => path.into(),
        None => built(),
    })
}

/// Whether the reference itself stands in for instar, to try the tests out.
pub(crate) fn is_reference() -> bool {
    path().file_name().is_some_and(|name| name == "qemu-img")
}

fn built() -> PathBuf {
    // target/TRIPLE/PROFILE/deps/TEST
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let binary = profile.join("instar");
    let stamp = File::create(profile.join("instar.built-by-tests.lock")).unwrap();
    stamp.lock().unwrap();
    let mark = profile.join("instar.built-by-tests");
    if modified(&binary).max(modified(&mark)) < newest_source() || !binary.exists() {
        build(profile);
        File::create(mark).unwrap();
    }
    binary
}

fn build(profile: &Path) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).args(["build", "--package", "instar"]);
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "the tests need the binary, and `cargo build --package instar` fails:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn newest_source() -> Option<SystemTime> {
    SOURCES.iter().map(|place| newest(&root().join(place))).max().flatten()
}

fn newest(path: &Path) -> Option<SystemTime> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return modified(path);
    };
    entries
        .filter_map(|entry| entry.ok())
        .filter(|entry| !["tests", "target"].iter().any(|name| entry.file_name() == *name))
        .map(|entry| newest(&entry.path()))
        .max()
        .flatten()
}

fn modified(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|facts| facts.modified()).ok()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}
