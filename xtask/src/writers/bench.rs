//! The directory that everything happens in, the disks that writers are given, and both readers.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::apt::Trees;
use crate::workspace;

/// Pieces that differ from their neighbours: data, zeros, repeated bytes, holes.
const PIECE: usize = 65_536;

/// The disks that writers are given.
#[derive(Debug)]
pub(super) struct Disks {
    /// Some 9 MiB of all kinds of pieces, whose size is a multiple of a sector only.
    pub(super) odd: PathBuf,
    /// The same, 10 MiB.
    pub(super) even: PathBuf,
    /// 8 MiB that hold nothing.
    pub(super) empty: PathBuf,
    /// Larger than 2 GiB and nearly all hole, so that formats that split do so.
    pub(super) large: PathBuf,
}

#[derive(Debug)]
pub(super) struct Bench {
    pub(super) home: PathBuf,
    pub(super) disks: Disks,
    instar: PathBuf,
}

impl Bench {
    pub(super) fn new() -> Result<Self, String> {
        let home = workspace::root().join("target/writers");
        std::fs::create_dir_all(&home).map_err(|error| error.to_string())?;
        let home = home.canonicalize().map_err(|error| error.to_string())?;
        let instar = crate::run::instar()?;
        let place = home.join("disks");
        std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
        let disks = Disks {
            odd: disk(&place.join("odd.raw"), (150 * PIECE + 37 * 512) as u64, 1)?,
            even: disk(&place.join("even.raw"), 10 << 20, 1)?,
            empty: disk(&place.join("empty.raw"), 8 << 20, 0)?,
            large: disk(&place.join("large.raw"), (2 << 30) + (300 << 20), 977)?,
        };
        Ok(Self { home, disks, instar })
    }

    /// A fresh directory for one writer, with links to the disks in it.
    pub(super) fn room(&self, name: &str) -> Result<PathBuf, String> {
        let room = self.home.join("rooms").join(name);
        let _ = std::fs::remove_dir_all(&room);
        std::fs::create_dir_all(&room).map_err(|error| error.to_string())?;
        for disk in [
            &self.disks.odd,
            &self.disks.even,
            &self.disks.empty,
            &self.disks.large,
        ] {
            let name = disk.file_name().unwrap_or_default();
            std::fs::hard_link(disk, room.join(name)).map_err(|error| error.to_string())?;
        }
        Ok(room)
    }

    /// The apt that fetches programs.
    pub(super) fn apt(&self) -> Result<Trees, String> {
        Trees::new(&self.home.join("apt"))
    }

    pub(super) fn stock(&self, words: &[&str], directory: &Path) -> Result<Output, String> {
        start(
            Command::new("timeout").args(["300", "qemu-img"]).args(words),
            directory,
        )
    }

    pub(super) fn ours(&self, words: &[&str], directory: &Path) -> Result<Output, String> {
        start(
            Command::new("timeout").arg("300").arg(&self.instar).args(words),
            directory,
        )
    }
}

fn start(command: &mut Command, directory: &Path) -> Result<Output, String> {
    let command = command.current_dir(directory).env("LC_ALL", "C.UTF-8");
    command.output().map_err(|error| error.to_string())
}

/// A disk of pieces: every `step`th piece holds something, where `step` is not 0.
fn disk(path: &Path, size: u64, step: u64) -> Result<PathBuf, String> {
    let fail = |error: std::io::Error| format!("{}: {error}", path.display());
    let file = File::create(path).map_err(fail)?;
    file.set_len(size).map_err(fail)?;
    let pieces = size.div_ceil(PIECE as u64);
    for number in (0..pieces).filter(|number| step > 0 && (number % step == 0 || number + 1 == pieces)) {
        let start = number.saturating_mul(PIECE as u64);
        let length = usize::try_from(size.saturating_sub(start))
            .unwrap_or(PIECE)
            .min(PIECE);
        let Some(bytes) = piece(number / step.max(1)) else {
            continue;
        };
        file.write_all_at(bytes.get(..length).unwrap_or(&bytes), start)
            .map_err(fail)?;
    }
    Ok(path.to_owned())
}

/// Bytes that tell which piece they are, zeros, one repeated byte, or none for a hole.
fn piece(number: u64) -> Option<Vec<u8>> {
    match number % 5 {
        0 | 3 => {
            let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut next = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()
            };
            Some((0..PIECE / 8).flat_map(|_| next()).collect())
        }
        1 => Some(vec![0; PIECE]),
        2 => Some(vec![0xff; PIECE]),
        _ => None,
    }
}
