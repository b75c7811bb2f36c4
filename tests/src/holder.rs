//! Another process that has an image open.

use crate::Bench;

/// qemu-io with an image open for writing.
#[derive(Debug)]
pub struct Holder(std::process::Child);

impl Holder {
    /// Opens the image, and comes back when it is open.
    ///
    /// # Panics
    ///
    /// If it cannot be opened.
    #[must_use]
    pub fn of(bench: &Bench, format: &str, image: &str) -> Self {
        let mut child = instar_testkit::oracle::program("qemu-io")
            .current_dir(bench.directory())
            .args(["-f", format, image])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It is open once qemu-io answers.
        use std::io::{Read, Write};
        child.stdin.as_mut().unwrap().write_all(b"length\n").unwrap();
        let mut answer = [0; 64];
        let mut seen = Vec::new();
        while !seen.contains(&b'K') && !seen.contains(&b'M') && !seen.contains(&b'B') {
            let count = child.stdout.as_mut().unwrap().read(&mut answer).unwrap();
            assert!(count > 0, "qemu-io has ended");
            seen.extend_from_slice(&answer[..count]);
        }
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().unwrap();
    }
}
