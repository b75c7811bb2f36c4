//! The suite of every format, on raw files: there are no structures, so every file is read.
#![allow(
    clippy::single_range_in_vec_init,
    clippy::unwrap_used,
    reason = "a list of one range; a failure is a test failure"
)]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use instar_testkit::conformance::{Format, Sound, covers_the_disk, survives_cuts};

const FORMAT: Format = Format {
    open: instar_raw::open,
    open_requests: 0,
    map_requests: 1,
    bytes: 0,
    heap: 4096,
};

/// A file of `size` bytes with data in these places.
fn sound(directory: &Path, size: u64, data: &[(u64, usize)]) -> Sound {
    let image = directory.join(format!("{size}.raw"));
    let file = File::create(&image).unwrap();
    file.set_len(size).unwrap();
    for (at, length) in data {
        file.write_all_at(&vec![0xa5; *length], *at).unwrap();
    }
    Sound {
        name: format!("{size} bytes"),
        image,
        edges: data
            .iter()
            .flat_map(|(at, length)| [*at, at + *length as u64])
            .collect(),
        metadata: vec![0..size.min(64 << 10)],
        ..Sound::default()
    }
}

fn images(directory: &Path) -> Vec<Sound> {
    let mib = 1 << 20;
    vec![
        sound(directory, 0, &[]),
        sound(directory, 1, &[(0, 1)]),
        sound(directory, 511, &[]),
        sound(directory, 513, &[(512, 1)]),
        sound(directory, mib, &[(0, 1 << 20)]),
        sound(
            directory,
            3 * mib + 7,
            &[(mib, 4096), (2 * mib, 65536), (3 * mib, 7)],
        ),
        sound(directory, 1 << 40, &[(1 << 39, 4096)]),
    ]
}

#[test]
fn the_map_covers_every_disk() {
    let directory = tempfile::tempdir().unwrap();
    for sound in images(directory.path()) {
        covers_the_disk(&FORMAT, &sound);
    }
}

#[test]
fn a_file_cut_off_anywhere_is_a_smaller_disk() {
    let directory = tempfile::tempdir().unwrap();
    for sound in images(directory.path()).iter().skip(1).take(5) {
        let tally = survives_cuts(&FORMAT, sound);
        assert_eq!(tally.refused, 0, "{}", sound.name);
    }
}
