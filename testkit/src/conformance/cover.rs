//! The map of an image that is all right.

use instar_disk::{File, Kind, Mapping, Sealed, Slot};

use super::walk::{bounded, mapped, opened};
use super::{Format, Sound};
use crate::{Counting, Native};

/// The map has an answer for every byte, whatever the order of the questions, and none behind the end; no two places of the
/// disk are one place of a file.
///
/// # Panics
/// If not.
pub fn covers_the_disk(format: &Format, sound: &Sound) {
    let native = Native::new(1);
    let host = Counting::new(&native);
    let file = File::new(&host, native.source(&sound.image));
    let runs = in_order(format, &host, file, &sound.name);
    backwards(format, &host, file, &runs, &sound.name);
    nothing_behind_the_end(format, &host, file, &sound.name);
    no_place_twice(&runs, &sound.name);
}

fn in_order(format: &Format, host: &Counting<'_>, file: File<'_>, name: &str) -> Vec<(u64, Mapping)> {
    let mut image = opened(format, host, file).unwrap();
    let size = image.size();
    let mut runs = Vec::new();
    let mut at = 0;
    while at < size {
        let mapping = mapped(format, host, &mut image, at).unwrap();
        runs.push((at, mapping));
        at += mapping.length;
        assert!(
            runs.len() as u64 <= size / 512 + 1,
            "{name}: more answers than sectors"
        );
    }
    assert_eq!(at, size, "{name}");
    assert_eq!(image.describe().unwrap().virtual_size, size, "{name}");
    runs
}

/// A question in the middle gets the same answer as the one that led there, in an image that was asked nothing before.
fn backwards(format: &Format, host: &Counting<'_>, file: File<'_>, runs: &[(u64, Mapping)], name: &str) {
    let mut image = opened(format, host, file).unwrap();
    for (start, run) in runs.iter().rev() {
        for within in [run.length - 1, run.length / 2, run.length / 3, 0] {
            let answer = mapped(format, host, &mut image, start + within).unwrap();
            assert_eq!(
                answer.kind,
                run.skip(within).kind,
                "{name}: byte {} of the run at {start}",
                within
            );
        }
    }
}

fn nothing_behind_the_end(format: &Format, host: &Counting<'_>, file: File<'_>, name: &str) {
    let mut image = opened(format, host, file).unwrap();
    let size = image.size();
    for at in [
        size,
        size + 1,
        size + 511,
        size.next_power_of_two() * 2,
        u64::MAX / 2,
        u64::MAX,
    ] {
        if let Ok(mapping) = bounded(format, host, format.map_requests, || image.map(at)) {
            assert_eq!(mapping.length, 0, "{name}: an answer at {at}, behind {size}");
        }
    }
    if size > 0 {
        mapped(format, host, &mut image, size - 1).unwrap();
    }
}

fn no_place_twice(runs: &[(u64, Mapping)], name: &str) {
    let mut places: Vec<(Slot, u64, u64)> = runs
        .iter()
        .filter_map(|(_, run)| match run.kind {
            Kind::Data { slot, offset } | Kind::Sealed(Sealed { slot, offset, .. }) => {
                Some((slot, offset, run.length))
            }
            _ => None,
        })
        .collect();
    places.sort_by_key(|(slot, offset, _)| (slot.0, *offset));
    for pair in places.windows(2) {
        let [(slot, offset, length), next] = [pair[0], pair[1]];
        assert!(
            next.0 != slot || offset + length <= next.1,
            "{name}: byte {} of a file is two bytes of the disk",
            next.1
        );
    }
}
