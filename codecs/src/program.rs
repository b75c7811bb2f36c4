//! Programs that encode, for tests.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// What a program makes of `bytes`.
pub(crate) fn packed(program: &str, words: &[&str], bytes: &[u8]) -> Vec<u8> {
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
        child.wait_with_output().unwrap().stdout
    })
}
