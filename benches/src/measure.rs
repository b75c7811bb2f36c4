//! One run of a program: wall time, processor time, memory, children included.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cleanup;

/// What one run took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sample {
    /// From start until reaped.
    pub(crate) wall: Duration,
    /// User and system time, children included.
    pub(crate) processor: Duration,
    /// Peak of the memory of the whole process tree, pages that several processes share counted once. Only in [`memory`]'s samples.
    pub(crate) memory_bytes: Option<u64>,
    /// Length of what was written.
    pub(crate) output_bytes: u64,
    /// Bytes of data in what was written, holes left out.
    pub(crate) data_bytes: u64,
}

/// How often the memory of a process tree is looked at.
const SAMPLING: Duration = Duration::from_millis(4);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// As `wait` gives it.
    status: i32,
    errors: String,
    sample: Sample,
}

impl Ended {
    /// The sample of a run that succeeded, or what went wrong.
    pub(crate) fn sample(self) -> Result<Sample, String> {
        match self.complaint() {
            None => Ok(self.sample),
            Some(complaint) => Err(complaint),
        }
    }

    /// Wall time, whatever happened.
    pub(crate) fn wall(&self) -> Duration {
        self.sample.wall
    }

    /// What went wrong, if anything did.
    pub(crate) fn complaint(&self) -> Option<String> {
        let first = self.errors.lines().next().unwrap_or_default();
        if libc::WIFSIGNALED(self.status) {
            return Some(format!("ended by signal {}", libc::WTERMSIG(self.status)));
        }
        let code = libc::WEXITSTATUS(self.status);
        (code != 0).then(|| format!("exit code {code}: {first}"))
    }
}

/// Runs `command` and times it.
pub(crate) fn time(command: Command) -> Result<Sample, String> {
    run(command)?.sample()
}

/// Runs `command` and times it, however it ends.
#[expect(
    clippy::zombie_processes,
    reason = "reaped by wait4, which tells what it used"
)]
pub(crate) fn run(mut command: Command) -> Result<Ended, String> {
    let start = Instant::now();
    let child = spawn(&mut command);
    let (status, usage) = reap(&child)?;
    Ok(finish(child, status, start.elapsed(), &usage))
}

/// Runs `command` and watches its memory, which costs time.
#[expect(
    clippy::zombie_processes,
    reason = "reaped by wait4, which tells what it used"
)]
pub(crate) fn memory(mut command: Command) -> Result<Sample, String> {
    let start = Instant::now();
    let child = spawn(&mut command);
    let id = child.id();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        let mut peak = 0;
        while stopped.recv_timeout(SAMPLING) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            peak = peak.max(tree_bytes(id));
        }
        peak
    });
    let (status, usage) = reap(&child)?;
    drop(stop);
    let peak = watcher.join().unwrap().max(resident_peak(&usage));
    let sample = finish(child, status, start.elapsed(), &usage).sample()?;
    Ok(Sample {
        memory_bytes: Some(peak),
        ..sample
    })
}

fn spawn(command: &mut Command) -> Child {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    cleanup::running(Some(child.id()));
    child
}

fn finish(mut child: Child, status: i32, wall: Duration, usage: &libc::rusage) -> Ended {
    let mut errors = String::new();
    if status != 0
        && let Some(stream) = child.stderr.as_mut()
    {
        let _ = std::io::Read::read_to_string(stream, &mut errors);
    }
    let sample = Sample {
        wall,
        processor: duration(usage.ru_utime) + duration(usage.ru_stime),
        ..Sample::default()
    };
    Ended {
        status,
        errors,
        sample,
    }
}

/// Waits for the child; its resources include those of the children that it waited for itself.
fn reap(child: &Child) -> Result<(i32, libc::rusage), String> {
    let mut status = 0;
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let id = libc::pid_t::try_from(child.id()).map_err(|error| error.to_string())?;
    // SAFETY: both pointers are to live, writable values of the types that the call fills.
    let reaped = unsafe { libc::wait4(id, &raw mut status, 0, usage.as_mut_ptr()) };
    cleanup::running(None);
    if reaped != id {
        return Err(std::io::Error::last_os_error().to_string());
    }
    // SAFETY: the structure is integers only, zeroed above and filled by the call.
    let usage = unsafe { usage.assume_init() };
    Ok((status, usage))
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.unsigned_abs()) + Duration::from_micros(time.tv_usec.unsigned_abs())
}

fn resident_peak(usage: &libc::rusage) -> u64 {
    usage.ru_maxrss.unsigned_abs() * 1024
}

/// Memory of a process and everything below it, shared pages divided among their users.
fn tree_bytes(root: u32) -> u64 {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if let Some(parent) = parent_of(id) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut open = vec![root];
    let mut bytes = 0;
    while let Some(id) = open.pop() {
        bytes += proportional_bytes(id);
        open.extend(children.get(&id).into_iter().flatten());
    }
    bytes
}

fn parent_of(id: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

fn proportional_bytes(id: u32) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).unwrap_or_default();
    rollup
        .lines()
        .find_map(|line| {
            line.strip_prefix("Pss:")?
                .split_whitespace()
                .next()?
                .parse::<u64>()
                .ok()
        })
        .map_or(0, |kibibytes| kibibytes * 1024)
}

/// What every program of a row took.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// qemu-img's.
    pub(crate) reference: Vec<Sample>,
    /// Ours, one list a sandbox.
    pub(crate) ours: Vec<Vec<Sample>>,
    /// In the order of the row's peers; none where the peer is not installed.
    pub(crate) peers: Vec<Option<Vec<Sample>>>,
    pub(crate) limit: Vec<Sample>,
}

/// The one in the middle, in seconds; none of none.
pub(crate) fn median(times: impl Iterator<Item = Duration>) -> Option<f64> {
    let mut all: Vec<Duration> = times.collect();
    all.sort();
    all.get(all.len() / 2).map(Duration::as_secs_f64)
}

/// A count as a number to divide.
#[expect(clippy::cast_precision_loss, reason = "ratios need no more digits")]
pub(crate) fn approximate(value: u64) -> f64 {
    value as f64
}

/// Bytes as GiB.
pub(crate) fn gibibytes(bytes: u64) -> f64 {
    approximate(bytes) / approximate(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_any_order_is_taken() {
        let middle = median([3, 1, 2].into_iter().map(Duration::from_secs)).unwrap();
        assert!((middle - 2.0).abs() < f64::EPSILON);
        assert!(median(std::iter::empty()).is_none());
    }
}
