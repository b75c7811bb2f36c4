//! Another process that has an image open.

use std::process::{Child, Command};
use std::time::Duration;

use crate::Bench;

/// Starts a process that holds a qcow2 image open for writing, and waits until it does.
///
/// # Panics
///
/// If it cannot be started, or does not take its locks.
pub fn hold(bench: &Bench, image: &str) -> Child {
    let mut command = Command::new("qemu-io");
    command.current_dir(bench.directory());
    command.args(["-f", "qcow2", "-c", "sleep 600000", image]);
    let mut holder = command.spawn().unwrap();
    for _ in 0..50 {
        std::thread::sleep(Duration::from_millis(300));
        // Our own look may have been in its way.
        if holder.try_wait().unwrap().is_some() {
            holder = command.spawn().unwrap();
        } else if bench.qemu(["info", image]).code() != Some(0) {
            return holder;
        }
    }
    holder.kill().unwrap();
    panic!("qemu-io has not locked {image}");
}
