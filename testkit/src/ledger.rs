//! What the tests of every crate did, written down for `cargo xtask ci`, a line each.

use std::fs::OpenOptions;
use std::io::Write;

/// The environment variable that names the file of somebody who keeps account.
pub const VARIABLE: &str = "INSTAR_TEST_LEDGER";

/// A test, or a part of it, could not run here.
pub fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
    note(&format!("skip {reason}"));
}

/// So many more things of a kind were tried.
pub fn count(kind: &str, number: usize) {
    note(&format!("count {number} {kind}"));
}

/// Adds a line, if somebody keeps account.
///
/// # Panics
/// If it cannot be written.
pub fn note(line: &str) {
    let Some(path) = std::env::var_os(VARIABLE) else {
        return;
    };
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(format!("{line}\n").as_bytes()).unwrap();
}
