//! Dirty images. qemu-img refuses to read them until it may replay the log into the file; instar replays it in memory. Each
//! case is read as it is, and must be what qemu-img reads after `check -r all` on a copy.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

mod build;

use build::Change::{Data, Zero};
use build::{BAT, ByHand, DATA, LOG, entry, log, put};
use instar_disk::fault::vhdx as faults;
use instar_disk::job::Repair;
use instar_disk::{File, Findings};
use instar_testkit::image::{read_all, walk};
use instar_testkit::oracle::{qemu_complaint, qemu_reads, run, text};
use instar_testkit::pattern::{MIB, assert_same, pattern};
use instar_testkit::{Bench, Native, State, Torn, words};

/// The image and its BAT sector, which is then lost from the file: only a log that holds it can bring it back.
fn lost_table() -> (Vec<u8>, Vec<u8>) {
    let mut bytes = ByHand::default().build();
    let at = usize::try_from(BAT).unwrap();
    let table = bytes[at..at + 4096].to_vec();
    bytes[at..at + 4096].fill(0);
    (bytes, table)
}

/// Reads the dirty image, and lets qemu-img repair and read a copy.
fn assert_as_repaired(dir: &Bench, what: &str, bytes: &[u8]) -> Vec<u8> {
    let dirty = dir.path("dirty.vhdx");
    std::fs::write(&dirty, bytes).unwrap();
    assert!(
        qemu_complaint("vhdx", &dirty)
            .expect("qemu-img wants a repair")
            .contains("log"),
        "{what}"
    );
    let ours =
        read_all(instar_vhdx::open, &dirty).unwrap_or_else(|fault| panic!("{what}: {}", words(&fault)));
    assert_eq!(
        std::fs::read(&dirty).unwrap(),
        bytes,
        "{what}: the source was written to"
    );
    let native = Native::new(1);
    let facts = native.source(&dirty);
    assert!(
        instar_vhdx::open(File::new(&native, facts))
            .unwrap()
            .describe()
            .unwrap()
            .dirty
    );
    for word in [Repair::Leaks, Repair::All] {
        assert_replayed(dir, what, word, bytes, &ours);
    }
    let repaired = run(&["check", "-q", "-r", "all", "-f", "vhdx", text(&dirty)]);
    assert!(
        repaired.status.success(),
        "{what}: {}",
        String::from_utf8_lossy(&repaired.stderr)
    );
    assert_same(&ours, &qemu_reads("vhdx", &dirty), what);
    ours
}

/// We replay the log into a copy, and qemu-img reads that as it is.
fn assert_replayed(dir: &Bench, what: &str, word: Repair, bytes: &[u8], disk: &[u8]) {
    let copy = dir.path("replayed.vhdx");
    std::fs::write(&copy, bytes).unwrap();
    let native = Native::new(1);
    let file = File::new(&native, native.existing(&copy));
    let mut findings = Findings::new(&native);
    let mut image = instar_vhdx::check(file).unwrap();
    let checked = image.repair(word, &mut findings).unwrap();
    assert_eq!((checked.corruptions, checked.corruptions_fixed), (0, 1), "{what}");
    drop(image);
    assert_eq!(qemu_complaint("vhdx", &copy), None, "{what}: not replayed");
    assert_same(disk, &qemu_reads("vhdx", &copy), what);
    // Nothing is left to do.
    let replayed = std::fs::read(&copy).unwrap();
    let mut image = instar_vhdx::check(file).unwrap();
    assert!(
        !image.repair(word, &mut findings).unwrap().has_repaired(),
        "{what}"
    );
    assert_eq!(
        std::fs::read(&copy).unwrap(),
        replayed,
        "{what}: a clean image was written to"
    );
}

#[test]
fn a_power_cut_while_the_log_is_replayed_leaves_the_same_disk() {
    let dir = Bench::new();
    let (mut bytes, table) = lost_table();
    let size = size_of(&bytes);
    let changes = [
        Data(BAT, table),
        Zero(DATA + 8192, 8192),
        Data(DATA, vec![7; 4096]),
    ];
    log(&mut bytes, 0, &entry(1, 0, size, size, &changes));
    let path = dir.path("image.vhdx");
    std::fs::write(&path, &bytes).unwrap();
    let disk = read_all(instar_vhdx::open, &path).unwrap();
    let torn = Torn::default();
    let facts = torn.native.existing(&path);
    let mut findings = Findings::new(&torn);
    let mut image = instar_vhdx::check(File::new(&torn, facts)).unwrap();
    image.repair(Repair::All, &mut findings).unwrap();
    drop(image);
    let cut = dir.path("cut.vhdx");
    let mut number = 0;
    torn.states(&State::from([(facts.slot, bytes.into())]), &mut |state, what| {
        state[&facts.slot].put(&cut);
        let found =
            read_all(instar_vhdx::open, &cut).unwrap_or_else(|fault| panic!("{what}: {}", words(&fault)));
        assert_same(&found, &disk, what);
        number += 1;
        if number % 10 == 0 {
            assert!(
                run(&["check", "-q", "-r", "all", "-f", "vhdx", text(&cut)])
                    .status
                    .success(),
                "{what}"
            );
            assert_same(&qemu_reads("vhdx", &cut), &disk, what);
        }
    });
    assert!(number > 50, "{number} states of power cuts");
}

/// What is replayed may be replayed again after a stop, so no change may lie where the log or a header stands.
#[test]
fn a_log_that_changes_itself_or_a_header_is_not_replayed() {
    for place in [LOG, 64 << 10, 0] {
        let dir = Bench::new();
        let (mut bytes, table) = lost_table();
        let size = size_of(&bytes);
        let changes = [Data(BAT, table), Zero(place, 4096)];
        log(&mut bytes, 0, &entry(1, 0, size, size, &changes));
        let path = dir.path("image.vhdx");
        std::fs::write(&path, &bytes).unwrap();
        let native = Native::new(1);
        let mut findings = Findings::new(&native);
        let mut image = instar_vhdx::check(File::new(&native, native.existing(&path))).unwrap();
        let fault = image.repair(Repair::All, &mut findings).unwrap_err();
        assert_eq!((fault.code, fault.numbers[0]), (faults::LOG_OVERLAP, place));
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "something was written");
    }
}

fn size_of(bytes: &[u8]) -> u64 {
    bytes.len() as u64
}

#[test]
fn one_entry_brings_a_table_back() {
    let dir = Bench::new();
    let (mut bytes, table) = lost_table();
    let size = size_of(&bytes);
    log(&mut bytes, 0, &entry(1, 0, size, size, &[Data(BAT, table)]));
    let disk = assert_as_repaired(&dir, "one entry", &bytes);
    assert_same(&disk[..1 << 20], &ByHand::default().data(1), "content");
}

#[test]
fn the_entry_may_start_anywhere_and_go_around_the_end() {
    let dir = Bench::new();
    for at in [4096, 64 << 10, MIB - 8192, MIB - 4096] {
        let (mut bytes, table) = lost_table();
        let size = size_of(&bytes);
        log(
            &mut bytes,
            at,
            &entry(0x1_0000_0007, at, size, size, &[Data(BAT, table)]),
        );
        let dirty = dir.path("dirty.vhdx");
        std::fs::write(&dirty, &bytes).unwrap();
        let disk = read_all(instar_vhdx::open, &dirty).unwrap();
        assert_same(&disk[..1 << 20], &ByHand::default().data(1), &format!("at {at}"));
        if at < MIB - 4096 {
            assert_as_repaired(&dir, &format!("at {at}"), &bytes);
        }
    }
}

#[test]
fn later_entries_win_and_a_sequence_is_replayed_in_order() {
    let dir = Bench::new();
    let (mut bytes, table) = lost_table();
    let size = size_of(&bytes);
    let mut wrong = table.clone();
    put(&mut wrong, 0, &(DATA | 6).to_le_bytes());
    log(&mut bytes, 0, &entry(5, 0, size, size, &[Data(BAT, wrong)]));
    log(&mut bytes, 8192, &entry(6, 0, size, size, &[Zero(BAT, 8192)]));
    log(
        &mut bytes,
        8192 + 4096,
        &entry(7, 0, size, size, &[Zero(BAT, 4096), Data(BAT, table)]),
    );
    let disk = assert_as_repaired(&dir, "three entries", &bytes);
    assert_same(&disk[..1 << 20], &ByHand::default().data(1), "content");
}

#[test]
fn entries_before_the_tail_are_not_replayed() {
    let dir = Bench::new();
    let (mut bytes, table) = lost_table();
    let size = size_of(&bytes);
    // The first entry would zero a payload block; the second says that it is done with.
    log(&mut bytes, 0, &entry(5, 0, size, size, &[Zero(DATA, 2 * MIB)]));
    log(&mut bytes, 4096, &entry(6, 4096, size, size, &[Data(BAT, table)]));
    let dirty = dir.path("dirty.vhdx");
    std::fs::write(&dirty, &bytes).unwrap();
    let disk = read_all(instar_vhdx::open, &dirty).unwrap();
    assert_same(&disk[..1 << 20], &ByHand::default().data(1), "content");
}

#[test]
fn the_newest_sequence_counts_and_torn_or_foreign_entries_do_not() {
    let dir = Bench::new();
    let (mut bytes, table) = lost_table();
    let size = size_of(&bytes);
    // An older sequence that would hide the disk, the one that counts, a torn entry after it, one of another log.
    log(
        &mut bytes,
        32 << 10,
        &entry(3, 32 << 10, size, size, &[Zero(BAT, 4096)]),
    );
    log(
        &mut bytes,
        64 << 10,
        &entry(10, 64 << 10, size, size, &[Data(BAT, table)]),
    );
    let mut torn = entry(11, 64 << 10, size, size, &[Zero(BAT, 4096)]);
    torn[100] ^= 1;
    log(&mut bytes, (64 << 10) + 8192, &torn);
    let mut foreign = entry(99, 128 << 10, size, size, &[Zero(BAT, 4096)]);
    foreign[32] ^= 1;
    build::seal(&mut foreign, 0, 4096);
    log(&mut bytes, 128 << 10, &foreign);
    let disk = assert_as_repaired(&dir, "newest", &bytes);
    assert_same(&disk[..1 << 20], &ByHand::default().data(1), "content");
}

#[test]
fn changes_to_guest_data_are_mapped_from_the_log() {
    let dir = Bench::new();
    let mut bytes = ByHand::default().build();
    let size = size_of(&bytes);
    let new = pattern(1 << 50, 4096);
    let changes = [
        Data(DATA + 65536, new.clone()),
        Zero(DATA + MIB + 8192, 12288),
        Data(DATA + MIB + 12288, new.clone()),
    ];
    log(&mut bytes, 0, &entry(1, 0, size, size, &changes));
    let disk = assert_as_repaired(&dir, "guest data", &bytes);
    assert_same(&disk[(2 << 20) + 65536..(2 << 20) + 69632], &new, "block 2");
    assert_same(&disk[12288..16384], &new, "block 0");
    assert!(disk[8192..12288].iter().all(|byte| *byte == 0));
}

#[test]
fn many_descriptors_fill_several_sectors() {
    let dir = Bench::new();
    let dirty = dir.path("dirty.vhdx");
    // 126 fit the first sector, 128 each of the next ones. qemu-img cannot read more than 126.
    for count in [126, 127, 254, 255] {
        let (mut bytes, table) = lost_table();
        let size = size_of(&bytes);
        let mut clean = ByHand::default().build();
        let mut changes = vec![Data(BAT, table)];
        for n in 1..count {
            let (offset, new) = match n % 3 {
                0 => (DATA + 4096 * (n % 200), pattern(n << 30, 4096)),
                _ => (DATA + MIB + 4096 * (n % 200), vec![0; 4096]),
            };
            put(&mut clean, offset, &new);
            changes.push(if n % 3 == 0 {
                Data(offset, new)
            } else {
                Zero(offset, 4096)
            });
        }
        log(&mut bytes, 0, &entry(1, 0, size, size, &changes));
        std::fs::write(&dirty, &clean).unwrap();
        let wanted = qemu_reads("vhdx", &dirty);
        std::fs::write(&dirty, &bytes).unwrap();
        let ours = read_all(instar_vhdx::open, &dirty).unwrap();
        assert_same(&ours, &wanted, &format!("{count} descriptors"));
        if count == 126 {
            assert_as_repaired(&dir, "126 descriptors", &bytes);
        }
    }
}

#[test]
fn a_log_may_say_that_the_file_grows() {
    let dir = Bench::new();
    let (mut bytes, mut table) = lost_table();
    let size = size_of(&bytes);
    put(&mut table, 8, &(size | 6).to_le_bytes());
    log(&mut bytes, 0, &entry(1, 0, size, size + MIB, &[Data(BAT, table)]));
    let dirty = dir.path("dirty.vhdx");
    std::fs::write(&dirty, &bytes).unwrap();
    let disk = read_all(instar_vhdx::open, &dirty).unwrap();
    assert!(disk[1 << 20..2 << 20].iter().all(|byte| *byte == 0));
    assert_same(&disk[..1 << 20], &ByHand::default().data(1), "content");
}

#[test]
fn a_log_without_a_valid_entry_is_empty_as_in_qemu_img() {
    let dir = Bench::new();
    let image = dir.path("dirty.vhdx");
    let mut bytes = ByHand::default().build();
    let size = size_of(&bytes);
    let mut same = 0;
    for spoil in [0, 4, 8, 12, 16, 24, 32, 64, 64 + 16, 64 + 24, 4096, 4100, 8191] {
        let mut broken = entry(1, 0, size, size, &[Data(BAT, vec![0; 4096])]);
        broken[spoil] ^= 0x55;
        log(&mut bytes, 0, &broken);
        std::fs::write(&image, &bytes).unwrap();
        let ours = read_all(instar_vhdx::open, &image).unwrap();
        // A descriptor that is none makes qemu-img give up instead of passing over the entry.
        if qemu_complaint("vhdx", &image).is_none() {
            assert_same(&ours, &qemu_reads("vhdx", &image), &format!("spoilt at {spoil}"));
            same += 1;
        }
        assert_same(
            &ours[..1 << 20],
            &ByHand::default().data(1),
            &format!("spoilt at {spoil}"),
        );
    }
    assert!(same > 5, "{same}");
}

#[test]
fn a_file_shorter_than_its_log_says_is_refused_as_by_qemu_img() {
    let dir = Bench::new();
    let image = dir.path("dirty.vhdx");
    let (mut bytes, table) = lost_table();
    let size = size_of(&bytes);
    log(&mut bytes, 0, &entry(1, 0, size + 1, size, &[Data(BAT, table)]));
    let fault = walk(instar_vhdx::open, &image, &bytes, 300, 100).unwrap_err();
    assert_eq!(fault.code, faults::LOG_TRUNCATED);
    assert!(
        !run(&["check", "-r", "all", "-f", "vhdx", text(&image)])
            .status
            .success()
    );
}

#[test]
fn a_log_that_would_be_read_without_end_is_refused_after_four_passes() {
    let dir = Bench::new();
    let image = dir.path("loop.vhdx");
    let mut bytes = ByHand::default().build();
    // Every sector starts an entry that claims the whole log and has a wrong checksum, which shows at its end only.
    for sector in 0..256 {
        let mut claim = entry(1, 0, 0, 0, &[]);
        put(&mut claim, 8, &u32::try_from(MIB).unwrap().to_le_bytes());
        log(&mut bytes, sector * 4096, &claim);
    }
    let fault = walk(instar_vhdx::open, &image, &bytes, 80, 10).unwrap_err();
    assert_eq!(fault.code, faults::LOG_LOOP, "{}", words(&fault));
}

#[test]
fn cyclic_sequences_and_tails_that_lead_nowhere_end() {
    let dir = Bench::new();
    let image = dir.path("cycle.vhdx");
    // The ring is full of entries, each of which follows the one before, the last followed by the first.
    let mut bytes = ByHand::default().build();
    let size = size_of(&bytes);
    for sector in 0..256_u64 {
        log(
            &mut bytes,
            sector * 4096,
            &entry(sector + 1, 0, size, size, &[Zero(DATA, 4096)]),
        );
    }
    walk(instar_vhdx::open, &image, &bytes, 100, 10).unwrap();
    // All the same number; all a tail past the sequence; zero lengths; the highest number there is.
    for (sequence, tail) in [(1, 0), (5, 128 << 10), (u64::MAX, 0)] {
        let mut bytes = ByHand::default().build();
        for sector in 0..16 {
            log(
                &mut bytes,
                sector * 4096,
                &entry(sequence, tail, 0, u64::MAX, &[Zero(DATA, 0)]),
            );
        }
        let outcome = walk(instar_vhdx::open, &image, &bytes, 100, 10);
        assert!(outcome.is_ok(), "{sequence} {tail}");
    }
}

#[test]
fn changes_beyond_all_bounds_are_refused_or_harmless() {
    let dir = Bench::new();
    let image = dir.path("far.vhdx");
    let aligned_max = u64::MAX - 4095;
    for changes in [
        vec![Zero(0, aligned_max)],
        vec![Zero(aligned_max, aligned_max)],
        vec![Data(aligned_max, pattern(0, 4096))],
        vec![Zero(BAT, aligned_max), Data(METADATA_SIGNATURE, vec![0; 4096])],
    ] {
        let mut bytes = ByHand::default().build();
        log(&mut bytes, 0, &entry(1, 0, 0, 0, &changes));
        let _ = walk(instar_vhdx::open, &image, &bytes, 300, 100);
    }
    // A log that replaces the region table by nothing.
    let mut bytes = ByHand::default().build();
    log(&mut bytes, 0, &entry(1, 0, 0, 0, &[Zero(192 << 10, 128 << 10)]));
    let fault = walk(instar_vhdx::open, &image, &bytes, 300, 100).unwrap_err();
    assert_eq!(fault.code, faults::NO_REGIONS);
}

const METADATA_SIGNATURE: u64 = build::METADATA;
