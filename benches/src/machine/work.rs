//! The loops that meet the limits.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustix::fs::SeekFrom;

use super::Kind;

/// The first word of a command line that asks for this instead of a table.
pub(crate) const WORD: &str = "--limit";

const PIECE: u64 = 256 << 10;

/// Large enough that no cache holds two of them.
const MEMORY: usize = 64 << 20;

/// Does what `WORD KIND THREADS BYTES SOURCE OUTPUT` asks for, and prints the seconds that it took.
pub(crate) fn serve(words: &[String]) {
    let [kind, threads, bytes, source, output] = words else {
        panic!("{words:?}: five words are needed");
    };
    let kind = Kind::ALL.into_iter().find(|known| known.word() == kind).unwrap();
    let threads: usize = threads.parse().unwrap();
    let bytes: u64 = bytes.parse().unwrap();
    let seconds = match kind {
        Kind::Copy => copy(threads, bytes),
        Kind::Read => read(threads, bytes, Path::new(source)),
        Kind::Write => write(threads, bytes, Path::new(output)),
        Kind::CopyRange => copy_range(threads, Path::new(source), Path::new(output)),
    };
    println!("{seconds}");
}

fn copy(threads: usize, bytes: u64) -> f64 {
    let share = bytes / threads as u64;
    let buffers: Vec<_> = (0..threads)
        .map(|_| (vec![1_u8; MEMORY], vec![2_u8; MEMORY]))
        .collect();
    timed(buffers, |(from, into)| {
        let mut left = share;
        while left > 0 {
            let length = left.min(MEMORY as u64) as usize;
            into[..length].copy_from_slice(&from[..length]);
            std::hint::black_box(&*into);
            left -= length as u64;
        }
    })
}

fn read(threads: usize, bytes: u64, source: &Path) -> f64 {
    let file = File::open(source).unwrap();
    let pieces = pieces(extents(source));
    let next = AtomicU64::new(0);
    let buffers = vec![vec![0_u8; PIECE as usize]; threads];
    let _ = bytes;
    timed(buffers, |buffer| {
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let length = (piece.end - piece.start) as usize;
            file.read_exact_at(&mut buffer[..length], piece.start).unwrap();
        }
    })
}

fn write(threads: usize, bytes: u64, output: &Path) -> f64 {
    let file = File::create_new(output).unwrap();
    let next = AtomicU64::new(0);
    timed(vec![vec![1_u8; PIECE as usize]; threads], |buffer| {
        loop {
            let place = next.fetch_add(PIECE, Ordering::Relaxed);
            if place >= bytes {
                break;
            }
            let length = PIECE.min(bytes - place) as usize;
            file.write_all_at(&buffer[..length], place).unwrap();
        }
    })
}

fn copy_range(threads: usize, source: &Path, output: &Path) -> f64 {
    let from = File::open(source).unwrap();
    let into = File::create_new(output).unwrap();
    let pieces = pieces(extents(source));
    let next = AtomicU64::new(0);
    timed(vec![(); threads], |()| {
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
            let (mut here, mut there) = (piece.start, piece.start);
            while here < piece.end {
                let length = (piece.end - here) as usize;
                let copied =
                    rustix::fs::copy_file_range(&from, Some(&mut here), &into, Some(&mut there), length)
                        .unwrap();
                assert!(copied > 0, "{}: the file became shorter", source.display());
            }
        }
    })
}

/// Where a file has data.
pub(super) fn extents(path: &Path) -> Vec<Range<u64>> {
    let file = File::open(path).unwrap();
    let length = file.metadata().unwrap().len();
    let mut extents = Vec::new();
    let mut place = 0;
    while let Ok(start) = rustix::fs::seek(&file, SeekFrom::Data(place)) {
        let end = rustix::fs::seek(&file, SeekFrom::Hole(start)).unwrap_or(length);
        extents.push(start..end);
        place = end;
    }
    extents
}

/// Extents cut into pieces, none across two extents.
fn pieces(extents: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let cut = |extent: Range<u64>| {
        let end = extent.end;
        extent
            .step_by(PIECE as usize)
            .map(move |start| start..end.min(start + PIECE))
    };
    extents.into_iter().flat_map(cut).collect()
}

/// Runs `work` in one thread for each state, and says how many seconds passed until all had ended.
fn timed<State: Send>(states: Vec<State>, work: impl Fn(&mut State) + Sync) -> f64 {
    let start = Instant::now();
    std::thread::scope(|scope| {
        for mut state in states {
            let work = &work;
            scope.spawn(move || work(&mut state));
        }
    });
    start.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_extents_exactly() {
        let cut = pieces(vec![0..4096, PIECE..3 * PIECE + 1]);
        assert_eq!(
            cut,
            [
                0..4096,
                PIECE..2 * PIECE,
                2 * PIECE..3 * PIECE,
                3 * PIECE..3 * PIECE + 1
            ]
        );
    }
}
