//! A program and everything that it starts, kept together: Slurm's daemons let go of what they start, so that it outlives them.
//!
//! The keeper is a process of its own, to which the kernel gives every orphan below it. It holds a pipe from us: whatever ends us,
//! the pipe ends, and the keeper kills all that is left.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, wait};

use crate::Outcome;

/// The word by which these tools start themselves as a keeper.
pub(super) const WORD: &str = "keep";
/// What the kernel may take to end what was killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// A program that is kept. Ends with all that it started when dropped.
#[derive(Debug)]
pub(super) struct Keeper(Child);

impl Keeper {
    /// Starts a program that says what it says in `log`. The directory `last` goes when everything has ended.
    pub(super) fn start(program: &mut Command, log: &Path, last: Option<&Path>) -> Result<Self, String> {
        let ourselves = std::env::current_exe().map_err(|error| format!("our own program: {error}"))?;
        let said = File::create(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let saying = said
            .try_clone()
            .map_err(|error| format!("{}: {error}", log.display()))?;
        let mut keeper = Command::new(ourselves);
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => keeper.env(name, value),
                None => keeper.env_remove(name),
            };
        }
        keeper
            .args(["slurm", WORD])
            .arg(last.unwrap_or(Path::new("")))
            .arg(program.get_program())
            .args(program.get_args())
            .stdin(Stdio::piped())
            .stdout(said)
            .stderr(saying)
            // Ctrl-C in a terminal is for us alone.
            .process_group(0)
            .spawn()
            .map(Self)
            .map_err(|error| format!("{}: {error}", program.get_program().to_string_lossy()))
    }

    /// Kills the program and all that it started with SIGKILL, and waits until nothing is left of them.
    pub(super) fn kill(mut self) -> Outcome {
        let status = self.end()?;
        if status.success() {
            return Ok(());
        }
        Err(format!("a keeper could not end what it kept ({status})"))
    }

    fn end(&mut self) -> Result<std::process::ExitStatus, String> {
        drop(self.0.stdin.take());
        self.0.wait().map_err(|error| format!("a keeper: {error}"))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{error}");
        }
    }
}

/// What the keeper does: `last`, program, arguments.
pub(super) fn keep(words: &[&str]) -> Outcome {
    let [last, program, arguments @ ..] = words else {
        return Err("a keeper is started by these tools alone".to_owned());
    };
    set_child_subreaper(Some(getpid())).map_err(|error| format!("PR_SET_CHILD_SUBREAPER: {error}"))?;
    let started = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|error| format!("{program}: {error}"));
    let waited = wait_for_end();
    end_all()?;
    if !last.is_empty() {
        remove(Path::new(last))?;
    }
    started.and(waited)
}

/// Waits until the pipe has ended, and takes in what has ended meanwhile.
fn wait_for_end() -> Outcome {
    let input = std::io::stdin();
    let pause = Timespec::try_from(PAUSE).map_err(|error| error.to_string())?;
    loop {
        match poll(&mut [PollFd::new(&input, PollFlags::IN)], Some(&pause)) {
            Ok(0) | Err(Errno::INTR) => reap().map(drop)?,
            // Nothing is ever written to the pipe: it is ready when it has ended.
            Ok(_) => return Ok(()),
            Err(error) => return Err(format!("waiting for the end: {error}")),
        }
    }
}

/// Takes in children that have ended; whether there are others.
fn reap() -> Result<bool, String> {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Ok(true),
            Err(Errno::CHILD) => return Ok(false),
            Err(error) => return Err(format!("waiting for children: {error}")),
        }
    }
}

/// Kills children until there are none: those of a killed child become ours.
fn end_all() -> Outcome {
    let began = Instant::now();
    while reap()? {
        if began.elapsed() > PATIENCE {
            return Err(format!(
                "still there after {} s: {:?}",
                PATIENCE.as_secs(),
                children()?
            ));
        }
        for child in children()? {
            // A child that has ended keeps its number until it is taken in, so that no other process is meant.
            kill_process(child, Signal::KILL).map_err(|error| format!("killing {child:?}: {error}"))?;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Our children, by what the kernel says of each process.
fn children() -> Result<Vec<Pid>, String> {
    let entries = std::fs::read_dir("/proc").map_err(|error| format!("/proc: {error}"))?;
    let ours = getpid().as_raw_nonzero().get();
    Ok(entries
        .flatten()
        .filter_map(|entry| {
            let number: i32 = entry.file_name().to_str()?.parse().ok()?;
            // One that ended meanwhile has no file.
            let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
            (parent(&stat)? == ours).then(|| Pid::from_raw(number)).flatten()
        })
        .collect())
}

/// The parent in a line of `/proc/PID/stat`; the name before it may hold anything.
fn parent(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// Removes a directory into which other keepers' programs may write until those have ended, too.
fn remove(directory: &Path) -> Outcome {
    let began = Instant::now();
    loop {
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                if began.elapsed() > PATIENCE {
                    return Err(format!("{}: {error}", directory.display()));
                }
                std::thread::sleep(PAUSE);
            }
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::parent;

    #[test]
    fn a_name_with_brackets_does_not_hide_the_parent() {
        assert_eq!(parent("12 (slurmd) 3) S 7 12 12 0 -1"), Some(7));
        assert_eq!(parent("12 (sh) S"), None);
    }
}
