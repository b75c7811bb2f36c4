//! Command lines of callers.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde::Deserialize;

use super::{Bench, missing};
use crate::run::output;

const LINES: &str = include_str!("lines.toml");

/// Size of the disk that every layout begins with: not a multiple of a cluster.
const DISK_BYTES: usize = 150 * 65_536 + 37 * 512;

#[derive(Deserialize)]
struct Table {
    layout: String,
    line: Vec<Line>,
}

/// One line of one caller.
#[derive(Deserialize)]
struct Line {
    client: String,
    run: String,
    /// What must hold the same disk afterwards, and its format.
    disk: Option<String>,
    format: Option<String>,
    /// Whether what it prints must be the same.
    #[serde(default)]
    output: bool,
}

/// What came of a line.
#[derive(PartialEq, Eq)]
struct Attempt {
    code: Option<i32>,
    printed: String,
    complaint: String,
    /// The disk in raw, as qemu-img reads it.
    disk: Option<Vec<u8>>,
}

/// Runs every line with both programs; how many fail without a missing verb.
pub(super) fn run(bench: &Bench) -> Result<usize, String> {
    let table: Table = toml::from_str(LINES).map_err(|error| error.to_string())?;
    let raw = bench.home.join("disk.raw");
    std::fs::write(&raw, disk()).map_err(|error| error.to_string())?;
    let (mut same, mut allowed, mut absent, mut worse, mut skipped) = (0, 0, 0, 0, 0);
    let settings = Settings::new(bench)?;
    for line in &table.line {
        let device = if line.run.contains("$LOOP") {
            match Loop::new(bench) {
                Ok(device) => Some(device),
                Err(reason) => {
                    println!("skipped: {}: {}: {reason}", line.client, line.run);
                    skipped += 1;
                    continue;
                }
            }
        } else {
            None
        };
        let scene = Scene {
            bench,
            layout: &table.layout,
            raw: &raw,
            device: device.as_ref(),
        };
        let stock = scene.attempt(line, false, &settings.none)?;
        if stock.code != Some(0) {
            println!(
                "stock fails: {}: {}: {}",
                line.client,
                line.run,
                stock.complaint.trim()
            );
            skipped += 1;
            continue;
        }
        let ours = scene.attempt(line, true, &settings.none)?;
        match difference(line, &stock, &ours) {
            None => same += 1,
            Some(what) => match missing(&line.run) {
                Some(verb) => {
                    println!("missing verb {verb}: {}: {}", line.client, line.run);
                    absent += 1;
                }
                None if difference(line, &stock, &scene.attempt(line, true, &settings.allowed)?)
                    .is_none() =>
                {
                    println!("with allow-dir: {}: {}\n    {what}", line.client, line.run);
                    allowed += 1;
                }
                None => {
                    println!("DIFFERS: {}: {}\n    {what}", line.client, line.run);
                    worse += 1;
                }
            },
        }
    }
    println!(
        "lines of callers: {} in all, {same} give what qemu-img gives, {allowed} more with an allow-dir, {absent} want a verb that is missing, {worse} differ, {skipped} could not be tried",
        table.line.len()
    );
    Ok(worse)
}

/// Homes of users: one without configuration, and one that allows the directories of the layout and devices, as docs/callers has it.
struct Settings {
    none: PathBuf,
    allowed: PathBuf,
}

impl Settings {
    fn new(bench: &Bench) -> Result<Self, String> {
        let (none, allowed) = (
            bench.home.join("settings/none"),
            bench.home.join("settings/allowed"),
        );
        let place = allowed.join(".config/instar");
        for directory in [&none, &place] {
            std::fs::create_dir_all(directory).map_err(|error| error.to_string())?;
        }
        let text = format!(
            "allow-dir = [\"{}\", \"/dev\"]\n",
            bench.home.join("room").display()
        );
        std::fs::write(place.join("config.toml"), text).map_err(|error| error.to_string())?;
        Ok(Self { none, allowed })
    }
}

/// Where a line is run.
struct Scene<'a> {
    bench: &'a Bench,
    layout: &'a str,
    raw: &'a Path,
    device: Option<&'a Loop>,
}

impl Scene<'_> {
    /// Runs a line in a fresh layout, with one of the programs as `qemu-img`, for the user of a home.
    fn attempt(&self, line: &Line, ours: bool, home: &Path) -> Result<Attempt, String> {
        // The same directory for both, so that names in what they print are the same.
        let room = self.bench.home.join("room");
        let _ = std::fs::remove_dir_all(&room);
        std::fs::create_dir_all(&room).map_err(|error| error.to_string())?;
        if let Some(device) = self.device {
            device.clear()?;
        }
        let laid = self.shell(&room, self.layout, ours, home)?;
        if !laid.status.success() {
            return Err(format!("the layout: {}", String::from_utf8_lossy(&laid.stderr)));
        }
        let done = self.shell(&room, &line.run, ours, home)?;
        let disk = match (&line.disk, &line.format) {
            (Some(disk), Some(format)) if done.status.success() => {
                let script = format!("$STOCK convert -f {format} -O raw {disk} \"$DISK.seen\"");
                let read = self.shell(&room, &script, false, home)?;
                let seen = PathBuf::from(format!("{}.seen", self.raw.display()));
                let bytes = if read.status.success() {
                    sparse(&seen)
                } else {
                    None
                };
                let _ = std::fs::remove_file(&seen);
                Some(bytes.unwrap_or_default())
            }
            _ => None,
        };
        Ok(Attempt {
            code: done.status.code(),
            printed: String::from_utf8_lossy(&done.stdout).into_owned(),
            complaint: String::from_utf8_lossy(&done.stderr).into_owned(),
            disk,
        })
    }

    fn shell(&self, room: &Path, script: &str, ours: bool, home: &Path) -> Result<Output, String> {
        let mut command = Command::new("timeout");
        command
            .args(["120", "sh", "-e", "-c", script])
            .current_dir(room)
            .env("PATH", self.bench.path(ours))
            .env("STOCK", self.bench.stock.join("qemu-img"))
            .env("HOME", home)
            .env_remove("XDG_CONFIG_HOME")
            .env("DISK", self.raw)
            .env("LC_ALL", "C.UTF-8");
        if let Some(device) = self.device {
            command.env("LOOP", &device.0);
        }
        command.output().map_err(|error| error.to_string())
    }
}

/// A raw disk's size and what is in it; large disks are compared by what is allocated.
fn sparse(path: &Path) -> Option<Vec<u8>> {
    let size = std::fs::metadata(path).ok()?.len();
    let mut seen = size.to_le_bytes().to_vec();
    if size <= 64 << 20 {
        seen.extend(std::fs::read(path).ok()?);
    }
    Some(seen)
}

/// How instar's result differs from qemu-img's.
fn difference(line: &Line, stock: &Attempt, ours: &Attempt) -> Option<String> {
    let complaint = ours.complaint.lines().last().unwrap_or_default();
    if ours.code != stock.code {
        return Some(format!("exit {:?} and {:?}: {complaint}", stock.code, ours.code));
    }
    if line.output && unmeasured(&stock.printed) != unmeasured(&ours.printed) {
        let (left, right) = (unmeasured(&stock.printed), unmeasured(&ours.printed));
        let pair = left
            .lines()
            .zip(right.lines())
            .find(|(left, right)| left != right);
        let (left, right) = pair.unwrap_or((&left, &right));
        return Some(format!(
            "prints {:?} where qemu-img prints {:?}",
            right.trim(),
            left.trim()
        ));
    }
    if ours.disk != stock.disk {
        return Some("the disk is another one".to_owned());
    }
    None
}

/// How much a file takes on the file system differs from one writing to the next.
fn unmeasured(printed: &str) -> String {
    printed
        .lines()
        .filter(|line| !line.contains("actual-size") && !line.contains("disk size"))
        .map(|line| format!("{line}\n"))
        .collect()
}

/// Data, zeros and repeated bytes.
fn disk() -> Vec<u8> {
    (0..DISK_BYTES)
        .map(|place| match (place >> 16) % 5 {
            1 | 4 => 0,
            2 => 0xff,
            _ => (place >> 3).wrapping_mul(2_654_435_761).to_le_bytes()[3],
        })
        .collect()
}

/// A block device as large as the disk.
struct Loop(String);

impl Loop {
    fn new(bench: &Bench) -> Result<Self, String> {
        let file = bench.home.join("device");
        std::fs::write(&file, vec![0; DISK_BYTES.next_multiple_of(1 << 20)])
            .map_err(|error| error.to_string())?;
        let name = output(Command::new("losetup").args(["-f", "--show"]).arg(&file))?;
        Ok(Self(name.trim().to_owned()))
    }

    fn clear(&self) -> Result<(), String> {
        output(
            Command::new("dd")
                .args(["if=/dev/zero", "bs=1M", "count=10", "conv=notrunc"])
                .arg(format!("of={}", self.0)),
        )
        .map(drop)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["-d", &self.0]).status();
    }
}
