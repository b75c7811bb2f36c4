//! The reference tools: what they make, read and say decides what is right.

mod kept;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

pub(crate) use kept::{CopiedRun, Kept};

use crate::Outcome;

/// Runs qemu-img, whatever comes of it.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn run(arguments: &[&str]) -> Outcome {
    run_in(Path::new("."), arguments)
}

/// The same in a directory, so that names are plain.
///
/// # Panics
/// If it is not installed.
#[must_use]
pub fn run_in(directory: &Path, arguments: &[&str]) -> Outcome {
    Outcome::of(program("qemu-img").current_dir(directory).args(arguments))
}

/// A program of qemu-utils, by its name or its place, that is loaded once for many runs ([`Outcome::of`]) and derives keys in next to
/// no time. A name means the one of [`release`].
#[must_use]
pub fn program(name: impl AsRef<Path>) -> Command {
    let name = name.as_ref();
    let mut program = match release() {
        Some(bin) if name.components().count() == 1 => Command::new(bin.join(name)),
        _ => Command::new(name),
    };
    program.env(PRELOAD, LIBRARY);
    program
}

/// Where the programs are that tests run beside: those of the fetched release that [`RELEASE`] names; else those of the 10.0 that was
/// fetched, if the installed ones are of another release. None: on the path.
///
/// # Panics
/// If the release that is named was not fetched.
pub fn release() -> Option<&'static Path> {
    static FETCHED: OnceLock<Option<PathBuf>> = OnceLock::new();
    let fetched = |series: &str| {
        let references = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/references"));
        let bin = references.join(series).join("bin");
        bin.join("qemu-img").exists().then_some(bin)
    };
    let find = || {
        if let Ok(series) = std::env::var(RELEASE) {
            let bin = fetched(&series);
            assert!(
                bin.is_some(),
                "{RELEASE}={series}: it was not fetched (cargo xtask references)"
            );
            return bin;
        }
        let installed = Command::new("qemu-img").arg("--version").output();
        let written_beside = |output: Output| output.stdout.starts_with(b"qemu-img version 10.0.");
        match installed.is_ok_and(written_beside) {
            true => None,
            false => fetched("10.0"),
        }
    };
    FETCHED.get_or_init(find).as_deref()
}

/// Names another release to run all tests beside.
pub const RELEASE: &str = "INSTAR_TEST_RELEASE";

const PRELOAD: &str = "LD_PRELOAD";
/// What changes those programs; see the C files beside this one.
const LIBRARY: &str = env!("ORACLE");

/// Runs qemu-img, which must succeed; gives what it printed.
///
/// # Panics
/// If it fails.
pub fn qemu(arguments: &[&str]) -> String {
    qemu_in(Path::new("."), arguments)
}

/// The same in a directory.
///
/// # Panics
/// If it fails.
pub fn qemu_in(directory: &Path, arguments: &[&str]) -> String {
    let output = run_in(directory, arguments);
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "qemu-img {arguments:?}: {words}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs commands of qemu-io on an image, in a directory.
///
/// # Panics
/// If one fails.
pub fn qemu_io_in(directory: &Path, format: &str, image: &str, commands: &[&str]) {
    let mut program = program("qemu-io");
    program.current_dir(directory).args(["-f", format]);
    for command in commands {
        program.args(["-c", command]);
    }
    let output = Outcome::of(program.arg(image));
    let words = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    let failed = !output.status.success() || words.contains("rror") || words.contains("failed");
    assert!(!failed, "qemu-io {commands:?}: {words}");
}

/// Runs one command of qemu-io on an image.
///
/// # Panics
/// If it fails.
pub fn qemu_io(format: &str, path: &Path, command: &str) {
    qemu_io_in(Path::new("."), format, text(path), &[command]);
}

/// What qemu-img says when it refuses `path`, without the prefix; none if it reads all of it.
#[must_use]
pub fn qemu_complaint(format: &str, path: &Path) -> Option<String> {
    let out = path.with_extension("complaint");
    let output = run(&["convert", "-f", format, "-O", "raw", text(path), text(&out)]);
    let _ = std::fs::remove_file(&out);
    if output.status.success() {
        return None;
    }
    let said = String::from_utf8(output.stderr).unwrap();
    let prefix = format!("qemu-img: Could not open '{}': ", path.display());
    Some(said.trim().trim_start_matches(&prefix).to_owned())
}

/// The whole disk as qemu-img reads `path`.
#[must_use]
pub fn qemu_reads(format: &str, path: &Path) -> Vec<u8> {
    let out = path.with_extension("as-raw");
    qemu(&["convert", "-f", format, "-O", "raw", text(path), text(&out)]);
    let bytes = std::fs::read(&out).unwrap();
    std::fs::remove_file(out).unwrap();
    bytes
}

/// `qemu-img info --output json` without what differs between two files of the same content: names and space used.
#[must_use]
pub fn qemu_info(format: &str, path: &Path) -> String {
    qemu(&["info", "--output", "json", "-f", format, text(path)])
        .lines()
        .filter(|line| !line.contains("\"filename\"") && !line.contains("\"actual-size\""))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The value of a number in `qemu-img info`'s JSON, outermost object only.
#[must_use]
pub fn info_number(format: &str, path: &Path, key: &str) -> Option<u64> {
    let needle = format!("    \"{key}\": ");
    qemu(&["info", "--output", "json", "-f", format, text(path)])
        .lines()
        .find_map(|line| line.strip_prefix(&needle)?.trim_end_matches(',').parse().ok())
}

/// A path as a word of a command line.
///
/// # Panics
/// If it is not text.
#[must_use]
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
