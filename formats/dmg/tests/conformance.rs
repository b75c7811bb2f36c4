//! The suite of every format, on Apple's disk images.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::single_range_in_vec_init,
    reason = "a failure is a test failure"
)]

use instar_testkit::Bench;
use instar_testkit::conformance::{Format, Sound, Tally, covers_the_disk, survives_changes, survives_cuts};
use instar_testkit::lay::dmg as lay;
use instar_testkit::pattern::pattern;

/// `open` reads the window of the trailer, the trailer, and all tables at once; `map` reads nothing.
const FORMAT: Format = Format {
    open: instar_dmg::open,
    open_requests: 3,
    map_requests: 0,
    bytes: 64 << 10,
    heap: 192 << 10,
};

fn sound(dir: &Bench, home: lay::Home, kind: u32) -> Sound {
    let mut disk = pattern(0, 60 * 512);
    disk[8 * 512..16 * 512].fill(0);
    disk[24 * 512..40 * 512].fill(0);
    let chunks = lay::chunks(&disk, 4096, kind, <[u8]>::to_vec);
    let (first, second) = chunks.split_at(5);
    let bytes = lay::image(&[first, second], home);
    let name = format!("{home:?} {kind:x}.dmg");
    let image = dir.path(&name);
    std::fs::write(&image, &bytes).unwrap();
    let end = bytes.len() as u64;
    let word = |at: u64| {
        let at = (end - 512 + at) as usize;
        u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
    };
    let (start, length) = match home {
        lay::Home::List => (word(216), word(224)),
        lay::Home::Fork => (word(40), word(48)),
    };
    let trailer = end - 512;
    let tables = match home {
        lay::Home::List => vec![start..start + length],
        lay::Home::Fork => vec![start..start + 12, start + 256..start + length],
    };
    Sound {
        name,
        image,
        fields: vec![
            trailer..trailer + 4,
            trailer + 24..trailer + 56,
            trailer + 216..trailer + 232,
            trailer + 492..end,
        ],
        edges: vec![start, start + length, trailer],
        metadata: vec![start..end],
        least: end - 511,
        tables,
        ..Sound::default()
    }
}

fn images(dir: &Bench) -> Vec<Sound> {
    vec![
        sound(dir, lay::Home::List, lay::RAW),
        sound(dir, lay::Home::Fork, lay::RAW),
        sound(dir, lay::Home::Fork, lay::LZFSE),
    ]
}

#[test]
fn the_map_covers_every_disk() {
    let dir = Bench::new();
    for sound in images(&dir) {
        covers_the_disk(&FORMAT, &sound);
    }
}

#[test]
fn an_image_cut_off_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    for sound in images(&dir) {
        let tally = survives_cuts(&FORMAT, &sound);
        assert!(tally.refused > 10, "{}: {tally:?}", sound.name);
    }
}

#[test]
fn an_image_changed_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    let mut tally = Tally::default();
    for sound in images(&dir).iter().take(2) {
        tally += survives_changes(&FORMAT, sound);
    }
    assert!(tally.read > 300 && tally.refused > 300, "{tally:?}");
}
