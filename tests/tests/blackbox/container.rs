//! A container with less memory than the target has data. Needs root and a control group for memory.

use std::fs;
use std::path::PathBuf;

use instar_tests::compare::same_bytes;
use instar_tests::disk::{self, Piece};
use instar_tests::{Bench, Outcome, both_sandboxes, ledger};

const LIMIT: u64 = 96 << 20;
const DATA: u64 = 192 << 20;

/// A control group with a limit on memory; removed when it goes.
struct Group(PathBuf);

impl Group {
    fn new(bench: &Bench) -> Result<Self, &'static str> {
        let name = format!("instar-test-{}-{}", bench.sandbox().name(), std::process::id());
        let places = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        for (place, file) in places {
            let group = Self(PathBuf::from(place).join(&name));
            if fs::create_dir(&group.0).is_ok() && fs::write(group.0.join(file), LIMIT.to_string()).is_ok() {
                return Ok(group);
            }
        }
        Err("no control group for memory can be made here: containers with little memory are not tried")
    }

    /// The words that run a program in it.
    fn words(&self) -> [String; 4] {
        let enter = format!("echo $$ >{}/cgroup.procs && exec \"$@\"", self.0.display());
        ["sh".into(), "-c".into(), enter, "sh".into()]
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

both_sandboxes!(a_container_with_little_memory_is_enough,);

fn a_container_with_little_memory_is_enough(bench: &Bench) {
    // Files in memory count as memory of the container.
    let bench = &bench.on_disk();
    let group = match Group::new(bench) {
        Ok(group) => group,
        Err(reason) => return ledger::skip(reason),
    };
    disk::make(&bench.path("disk.raw"), DATA, &[Piece::Data(0, DATA, 5)]);
    let words = group.words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    for (format, options) in [("raw", "-S4k"), ("raw", "-C"), ("qcow2", "-S4k")] {
        let line = ["convert", options, "-f", "raw", "-O", format, "disk.raw", "out"];
        Outcome::of(&mut bench.command_under(&words, line)).succeeds();
        bench.qemu(["convert", "-f", format, "-O", "raw", "out", "seen"]).succeeds();
        same_bytes(bench, "disk.raw", "seen", format);
        fs::remove_file(bench.path("out")).unwrap();
    }
}
