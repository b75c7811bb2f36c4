//! Which process on which machine carries an item out.

use std::fmt::{Display, Formatter};

use serde::{Deserialize, Serialize};

/// A process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Worker {
    host: String,
    process: u32,
    /// When it started, in the kernel's ticks since the boot: numbers of processes are given again.
    started: Option<u64>,
    /// The boot of the machine, and the container in which the number of the process means something.
    place: Option<String>,
}

impl Worker {
    /// This process.
    pub(super) fn this() -> Self {
        let process = std::process::id();
        Self {
            host: host(),
            process,
            started: started(process),
            place: place(),
        }
    }

    /// Whether it has ended, as far as can be told from here.
    pub(super) fn is_known_dead(&self) -> bool {
        let here = self.place.is_some() && self.place == place();
        // Without /proc nothing is known of any process, ours included.
        here && started(std::process::id()).is_some() && started(self.process) != self.started
    }

    #[cfg(test)]
    pub(super) fn that_is_gone() -> Self {
        Self {
            started: Some(0),
            ..Self::this()
        }
    }
}

impl Display for Worker {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "process {} on {}", self.process, self.host)
    }
}

/// The name of this machine.
pub(super) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn place() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let processes = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{} {}", boot.trim(), processes.to_str()?))
}

/// The 22nd field of a process's line; the second may hold anything, in parentheses.
fn started(process: u32) -> Option<u64> {
    let line = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, behind) = line.rsplit_once(')')?;
    behind.split_ascii_whitespace().nth(19)?.parse().ok()
}
