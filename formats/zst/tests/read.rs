//! What the seek table may say. What frames decode to, tests of the program show.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use instar_disk::fault::zst as faults;
use instar_testkit::Bench;
use instar_testkit::image::walk;
use instar_testkit::lay::zst as lay;
use instar_testkit::pattern::pattern;

/// Three for both ends of the table and the file's first bytes, one for each block of entries, and one for each frame that is skipped.
const OPEN_CALLS: u64 = 7;
const MAP_CALLS: u64 = 1;

fn refusal(dir: &Bench, bytes: &[u8]) -> instar_disk::FaultCode {
    walk(instar_zst::open, &dir.path("image"), bytes, OPEN_CALLS, MAP_CALLS)
        .unwrap_err()
        .code
}

#[test]
fn a_table_that_does_not_lead_from_end_to_start_is_refused() {
    let dir = Bench::new();
    let frames = lay::frames(&pattern(0, 50_000), 10_000, &[]);
    let sound = lay::file(&frames, true);
    let end = sound.len();
    let table = end - lay::table(&frames, true).len();
    let lies: [(usize, &[u8], _); 14] = [
        (0, &[0], faults::MAGIC),
        (end - 1, &[0], faults::NOT_SEEKABLE),
        (end - 5, &[0x84], faults::FOOTER),
        (end - 5, &[0], faults::FOOTER),
        (end - 9, &[4], faults::FOOTER),
        (end - 9, &[6], faults::FOOTER),
        (end - 9, &[255; 4], faults::FOOTER),
        (table, &[0], faults::FOOTER),
        (table + 4, &[0], faults::FOOTER),
        (table + 8, &[0; 4], faults::SIZES),
        (table + 8, &[7, 0, 0, 0], faults::SIZES),
        (table + 8, &[9, 0, 0, 0], faults::END),
        (table + 12, &0x0400_0001_u32.to_le_bytes(), faults::SIZES),
        (table + 8, &0x0800_0001_u32.to_le_bytes(), faults::SIZES),
    ];
    for (at, value, fault) in lies {
        let mut lie = sound.clone();
        lie[at..at + value.len()].copy_from_slice(value);
        assert_eq!(refusal(&dir, &lie), fault, "{value:?} at {at}");
    }
    assert_eq!(refusal(&dir, &sound[..table]), faults::NOT_SEEKABLE);
    assert_eq!(refusal(&dir, &sound[..4]), faults::NOT_SEEKABLE);
    assert_eq!(refusal(&dir, &[]), faults::MAGIC);
}

/// Who decodes the file from its start would see more of a disk.
#[test]
fn a_frame_that_is_nothing_by_the_table_must_be_skipped_by_all() {
    let dir = Bench::new();
    let mut frames = lay::frames(&pattern(0, 50_000), 10_000, &[]);
    frames[2].0 = 0;
    assert_eq!(refusal(&dir, &lay::file(&frames, false)), faults::SKIPPED);
    let (_, hidden) = frames.remove(2);
    let mut shorter = lay::skipped(b"something");
    shorter.1.extend(hidden);
    frames.insert(2, shorter);
    assert_eq!(refusal(&dir, &lay::file(&frames, false)), faults::SKIPPED);
}

#[test]
fn bytes_between_the_frames_and_the_table_are_refused() {
    let dir = Bench::new();
    let frames = lay::frames(&pattern(0, 50_000), 10_000, &[]);
    let (told, untold) = frames.split_at(4);
    let mut file: Vec<u8> = told
        .iter()
        .chain(untold)
        .flat_map(|(_, frame)| frame.clone())
        .collect();
    file.extend(lay::table(told, false));
    assert_eq!(refusal(&dir, &file), faults::END);
}

#[test]
fn a_disk_without_frames_has_no_bytes() {
    let dir = Bench::new();
    for frames in [vec![], vec![lay::skipped(b"")], vec![lay::skipped(b"nothing"); 3]] {
        let file = lay::file(&frames, true);
        walk(instar_zst::open, &dir.path("image"), &file, OPEN_CALLS, MAP_CALLS).unwrap();
    }
}

/// Entries are read in blocks of 2048.
#[test]
fn a_disk_of_many_small_frames_is_mapped_to_each() {
    let dir = Bench::new();
    let one = lay::frames(&pattern(0, 512), 512, &[]);
    for count in [2047, 2048, 2049, 5000] {
        let file = lay::file(&vec![one[0].clone(); count], true);
        let bytes = walk(instar_zst::open, &dir.path("image"), &file, OPEN_CALLS, MAP_CALLS).unwrap();
        assert_eq!(bytes, 512 * count as u64, "{count} frames");
    }
}
