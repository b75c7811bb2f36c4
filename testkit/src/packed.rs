//! Programs that compress.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// What a program that compresses makes of `bytes`.
///
/// # Panics
///
/// If it is not here, or fails.
#[must_use]
pub fn packed(program: &str, words: &[&str], bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        // The program writes before it has read everything.
        scope.spawn(move || input.write_all(bytes).unwrap());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{program}");
        output.stdout
    })
}
