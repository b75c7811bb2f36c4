//! One run of one program, bounded in time, its output kept.

use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code, if it exited.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// It was killed because it took too long.
    pub hung: bool,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Ended {
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.code == Some(0)
    }

    #[must_use]
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// It ended by itself, as a program should.
    #[must_use]
    pub(crate) fn is_civil(&self) -> bool {
        !self.hung && self.signal.is_none()
    }
}

/// Runs `command` in `directory`, under the name of qemu-img.
pub(crate) fn run(command: &mut Command, directory: &Path) -> Ended {
    command
        .arg0("qemu-img")
        .current_dir(directory)
        .env("LC_ALL", "C")
        .env("TZ", "UTC");
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
    let deadline = Instant::now() + PATIENCE;
    let streams = collect(&mut child, deadline);
    let status = streams.as_ref().and_then(|_| reap(&mut child, deadline));
    let hung = status.is_none();
    let status = status.unwrap_or_else(|| {
        let _ = child.kill();
        child.wait().unwrap()
    });
    let [stdout, stderr] = streams.unwrap_or_default();
    Ended {
        code: status.code(),
        signal: status.signal(),
        hung,
        stdout,
        stderr,
    }
}

/// Both streams to their ends; nothing if that takes too long.
fn collect(child: &mut Child, deadline: Instant) -> Option<[Vec<u8>; 2]> {
    let mut stdout = child.stdout.take();
    let mut stderr = child.stderr.take();
    let mut kept = [Vec::new(), Vec::new()];
    let mut buffer = vec![0; 1 << 16];
    while stdout.is_some() || stderr.is_some() {
        let left = deadline.checked_duration_since(Instant::now())?;
        let timeout = Timespec::try_from(left).ok()?;
        let mut waited: Vec<PollFd<'_>> = Vec::with_capacity(2);
        waited.extend(
            stdout
                .as_ref()
                .map(|stream| PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN)),
        );
        waited.extend(
            stderr
                .as_ref()
                .map(|stream| PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN)),
        );
        match poll(&mut waited, Some(&timeout)) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => panic!("poll: {error}"),
        }
        let mut ready = waited
            .iter()
            .map(|fd| !fd.revents().is_empty())
            .collect::<Vec<_>>()
            .into_iter();
        drop(waited);
        if stdout.is_some() && ready.next() == Some(true) {
            take(&mut stdout, &mut kept[0], &mut buffer);
        }
        if stderr.is_some() && ready.next() == Some(true) {
            take(&mut stderr, &mut kept[1], &mut buffer);
        }
    }
    Some(kept)
}

/// One piece of a stream, or its end.
fn take<R: Read>(stream: &mut Option<R>, kept: &mut Vec<u8>, buffer: &mut [u8]) {
    let Some(open) = stream else { return };
    match open.read(buffer) {
        Ok(0) => *stream = None,
        Ok(length) if kept.len() < MOST => kept.extend_from_slice(&buffer[..length]),
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::Interrupted => {}
        Err(error) => panic!("a program's output: {error}"),
    }
}

/// The status of a program that has closed its output, which is there at once but for those that linger.
fn reap(child: &mut Child, deadline: Instant) -> Option<ExitStatus> {
    let mut pause = Duration::from_micros(20);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(5));
    }
    None
}

/// No command of a case takes longer; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes of a stream that are kept.
const MOST: usize = 8 << 20;
