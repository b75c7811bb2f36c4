//! Bytes for images. Written in pieces: what this program once held in memory shows in what the kernel says about its children.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Writes bytes that no codec shrinks.
pub(super) fn noise(target: &Path, length: u64) {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut file = BufWriter::with_capacity(1 << 20, File::create(target).unwrap());
    let mut left = length;
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = state.to_le_bytes();
        let piece = left.min(8);
        file.write_all(&word[..piece as usize]).unwrap();
        left -= piece;
    }
    file.flush().unwrap();
}

/// Copies regular files, deepest last, until `copied` reaches `wanted`.
pub(super) fn copy_some(source: &Path, target: &Path, copied: &mut u64, wanted: u64) {
    let Ok(entries) = fs::read_dir(source) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    let _ = fs::create_dir_all(target);
    for path in paths {
        if *copied >= wanted {
            return;
        }
        let Ok(facts) = path.symlink_metadata() else {
            continue;
        };
        let place = target.join(path.file_name().unwrap_or_default());
        if facts.is_dir() {
            copy_some(&path, &place, copied, wanted);
        } else if facts.is_file() && facts.len() < 64 << 20 && fs::copy(&path, &place).is_ok() {
            *copied += facts.len();
        }
    }
}
