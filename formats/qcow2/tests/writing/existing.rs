//! Writing into images that qemu-img made and used: afterwards they hold what was written and, elsewhere, what they held.

use std::path::{Path, PathBuf};

use instar_disk::job::{Compression, Preallocation, Qcow2Create};
use instar_disk::{Fault, File, fault};
use instar_testkit::Native;
use proptest::prelude::*;

use crate::copier::{Copier, Step, as_device, noise};
use crate::made::{combinations, patterned, with_data_file};
use crate::reference::{self, succeed};

/// What an image went through before it is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    Empty,
    /// Every third 64 KiB written.
    Written,
    /// The same, compressed.
    Compressed,
    /// The same, then a snapshot, so that all is shared.
    Snapshot,
    /// Two snapshots, the first of them deleted.
    Snapshots,
    /// Every third 64 KiB written, over a backing file full of other things.
    Overlay,
}

struct Used {
    directory: tempfile::TempDir,
    image: PathBuf,
    contents: Vec<u8>,
    options: Qcow2Create,
}

impl Used {
    fn new(options: &Qcow2Create, size: u64, past: Past) -> Self {
        let directory = instar_testkit::scratch();
        let path = directory.path();
        std::fs::write(path.join("disk.raw"), thirds(size)).unwrap();
        let mut text = reference::option_text(options);
        let image = path.join("image.qcow2");
        match past {
            Past::Empty => {
                succeed(
                    path,
                    &[
                        "create",
                        "-q",
                        "-f",
                        "qcow2",
                        "-o",
                        &text,
                        "image.qcow2",
                        &size.to_string(),
                    ],
                );
            }
            Past::Overlay => {
                let mut below = vec![0; size as usize];
                noise(&mut below, 0..size);
                std::fs::write(path.join("below.raw"), below).unwrap();
                text += ",backing_file=below.raw,backing_fmt=raw";
                let arguments = [
                    "convert",
                    "-f",
                    "raw",
                    "-O",
                    "qcow2",
                    "-o",
                    &text,
                    "-B",
                    "below.raw",
                ];
                let backed = [&arguments[..], &["-F", "raw", "disk.raw", "image.qcow2"]].concat();
                succeed(path, &backed);
            }
            _ => {
                let flag = if past == Past::Compressed { "-c" } else { "-p" };
                let arguments = [
                    "convert",
                    flag,
                    "-f",
                    "raw",
                    "-O",
                    "qcow2",
                    "-o",
                    &text,
                    "disk.raw",
                    "image.qcow2",
                ];
                succeed(path, &arguments);
            }
        }
        if matches!(past, Past::Snapshot | Past::Snapshots) {
            succeed(path, &["snapshot", "-c", "one", "image.qcow2"]);
        }
        if past == Past::Snapshots {
            succeed(path, &["snapshot", "-c", "two", "image.qcow2"]);
            succeed(path, &["snapshot", "-d", "one", "image.qcow2"]);
        }
        Self {
            contents: reference::contents(&image),
            directory,
            image,
            options: options.clone(),
        }
    }

    /// Writes `steps` of `disk` and has qemu-img judge what came of it.
    fn judge(&self, steps: &[Step], disk: &[u8], compress: bool, device: bool) -> Copied {
        let facts = reference::facts(&self.image);
        let snapshot = self.snapshot();
        let copied = self.write(steps, disk, compress, device);
        let what = || format!("{} {steps:?}", reference::option_text(&self.options));
        reference::check(&self.image);
        assert_eq!(reference::facts(&self.image), facts, "{}", what());
        let mut expected = self.contents.clone();
        for step in steps {
            match step {
                Step::Data(range, _) | Step::Units(range) => {
                    let range = range.start as usize..range.end as usize;
                    expected[range.clone()].copy_from_slice(&disk[range]);
                }
                Step::Zero(range) => expected[range.start as usize..range.end as usize].fill(0),
            }
        }
        let contents = reference::contents(&self.image);
        if contents != expected {
            let wrong = (0..expected.len()).find(|at| contents[*at] != expected[*at]);
            assert!(wrong.is_none(), "byte {wrong:x?} is wrong: {}", what());
        }
        assert!(self.snapshot() == snapshot, "a snapshot changed: {}", what());
        copied
    }

    fn write(&self, steps: &[Step], disk: &[u8], compress: bool, device: bool) -> Copied {
        let host = Native::new(1);
        let file = if device {
            let file = std::fs::OpenOptions::new().write(true).open(&self.image).unwrap();
            let used = file.metadata().unwrap().len();
            std::os::unix::fs::FileExt::write_all_at(
                &file,
                &vec![0x5a; 16 << 20],
                used.next_multiple_of(2 << 20),
            )
            .unwrap();
            as_device(&host, host.existing(&self.image))
        } else {
            File::new(&host, host.existing(&self.image))
        };
        let data = self.options.data_file.as_ref().map(|_| {
            let path = self.directory.path().join("data.raw");
            File::new(&host, host.existing(path))
        });
        let mut target = instar_qcow2::existing(file, self.contents.len() as u64, data, compress).unwrap();
        let mut copier = Copier::new(&host, true);
        copier.run(&mut *target, steps, disk);
        target.finish().unwrap();
        Copied {
            fresh: copier.fresh,
            stale: copier.stale,
        }
    }

    /// What the remaining snapshot shows, if there is one.
    fn snapshot(&self) -> Option<Vec<u8>> {
        let path = self.directory.path();
        let list = succeed(path, &["snapshot", "-l", "image.qcow2"]);
        let name = ["one", "two"].into_iter().find(|name| list.contains(name))?;
        let arguments = [
            "convert",
            "-l",
            name,
            "-f",
            "qcow2",
            "-O",
            "raw",
            "image.qcow2",
            "snapshot.raw",
        ];
        succeed(path, &arguments);
        Some(std::fs::read(path.join("snapshot.raw")).unwrap())
    }
}

/// Every third 64 KiB compressible: 4 KiB of noise, then the same again.
fn thirds(size: u64) -> Vec<u8> {
    let mut disk = vec![0; size as usize];
    for start in (0..size).step_by(3 << 16) {
        let end = (start + (1 << 16)).min(size);
        let first = start..(start + 4096).min(end);
        noise(&mut disk, first.clone());
        for at in (first.end..end).step_by(4096) {
            let length = 4096.min(end - at);
            disk.copy_within(start as usize..(start + length) as usize, at as usize);
        }
    }
    disk
}

struct Copied {
    fresh: u64,
    stale: u64,
}

/// Data, zeros and untouched ranges over clusters of every kind.
fn mixture(options: &Qcow2Create, size: u64) -> Vec<Step> {
    let unit = 1 << options.cluster_bits;
    let step = unit.max(size / 23 / unit * unit);
    let mut steps = Vec::new();
    for (turn, start) in (0..size).step_by(step as usize).enumerate() {
        let end = (start + step).min(size);
        match turn % 4 {
            0 | 2 => steps.push(Step::Data(start..end, 3 * unit)),
            1 => steps.push(Step::Zero(start..end)),
            _ => {}
        }
    }
    steps
}

const PASTS: [Past; 6] = [
    Past::Empty,
    Past::Written,
    Past::Compressed,
    Past::Snapshot,
    Past::Snapshots,
    Past::Overlay,
];

#[test]
fn whatever_an_image_went_through_it_holds_what_was_written() {
    for options in combinations(&[9, 12, 16, 21]) {
        let orders: &[u32] = match options.cluster_bits {
            9 => &[4, 6],
            16 => &[1, 4],
            _ => &[4],
        };
        if options.compression == Compression::Zstd || !orders.contains(&options.refcount_order) {
            continue;
        }
        for past in PASTS {
            let size = (12 << options.cluster_bits).clamp(700 << 10, 6 << 20) + 512;
            let used = Used::new(&options, size, past);
            let copied = used.judge(&mixture(&options, size), &patterned(size), false, false);
            // Only where no cluster is the image's own, all are new.
            let own = matches!(past, Past::Written | Past::Overlay);
            assert!(copied.fresh > 0 || own, "{past:?}");
        }
    }
}

#[test]
fn clusters_that_are_the_images_own_are_overwritten_in_place() {
    let options = Qcow2Create::default();
    let size = 4 << 20;
    let used = Used::new(&options, size, Past::Written);
    let before = std::fs::metadata(&used.image).unwrap().len();
    let steps = [Step::Data(0..65536, 65536), Step::Data(196_608..262_144, 65536)];
    let copied = used.judge(&steps, &patterned(size), false, false);
    assert_eq!((copied.fresh, copied.stale), (0, 131_072));
    assert_eq!(std::fs::metadata(&used.image).unwrap().len(), before);
}

#[test]
fn preallocated_images_are_written_in_place() {
    for extended_l2 in [false, true] {
        let options = Qcow2Create {
            preallocation: Preallocation::Metadata,
            extended_l2,
            ..Qcow2Create::default()
        };
        let size = (3 << 20) + 512;
        let used = Used::new(&options, size, Past::Empty);
        let copied = used.judge(
            &[Step::Data(65536..size, 1 << 20)],
            &patterned(size),
            false,
            false,
        );
        assert_eq!(copied.fresh, 0);
    }
}

#[test]
fn data_files_are_written_at_the_same_offset() {
    for (raw, extended_l2) in [(false, false), (true, false), (false, true), (true, true)] {
        let options = with_data_file(
            Qcow2Create {
                extended_l2,
                ..Qcow2Create::default()
            },
            raw,
        );
        let size = 1_000_448;
        let used = Used::new(&options, size, Past::Written);
        used.judge(&mixture(&options, size), &patterned(size), false, false);
        if raw {
            let data = std::fs::read(used.directory.path().join("data.raw")).unwrap();
            assert!(data[..size as usize] == reference::contents(&used.image));
        }
    }
}

#[test]
fn compressed_units_replace_what_was_there() {
    for past in PASTS {
        for (bits, refcount_order) in [(9, 1), (12, 2), (16, 4), (16, 0)] {
            let shared = matches!(past, Past::Snapshot | Past::Snapshots);
            if refcount_order == 0 && shared {
                continue;
            }
            let options = Qcow2Create {
                cluster_bits: bits,
                refcount_order,
                ..Qcow2Create::default()
            };
            let size = (20 << bits).clamp(300 << 10, 2 << 20) + 512;
            let used = Used::new(&options, size, past);
            let mut disk = patterned(size);
            for start in (0..size).step_by(3 << bits) {
                let end = (start + (1 << bits)).min(size);
                noise(&mut disk, start..end);
            }
            let steps: Vec<Step> = mixture(&options, size)
                .into_iter()
                .map(|step| match step {
                    Step::Data(range, _) => Step::Units(range),
                    other => other,
                })
                .collect();
            used.judge(&steps, &disk, true, false);
        }
    }
}

#[test]
fn refcount_tables_move_when_they_are_full() {
    for refcount_order in [4, 6] {
        let options = Qcow2Create {
            cluster_bits: 9,
            refcount_order,
            ..Qcow2Create::default()
        };
        let size = 12 << 20;
        let used = Used::new(&options, size, Past::Empty);
        let before = std::fs::read(&used.image).unwrap()[48..60].to_vec();
        used.judge(&[Step::Data(0..size, 5 << 20)], &patterned(size), false, false);
        let after = std::fs::read(&used.image).unwrap()[48..60].to_vec();
        assert_ne!(before, after);
    }
}

#[test]
fn devices_are_written_behind_what_is_counted() {
    for past in [Past::Empty, Past::Written, Past::Snapshot] {
        let options = Qcow2Create::default();
        let size = (2 << 20) + 512;
        let used = Used::new(&options, size, past);
        let copied = used.judge(&mixture(&options, size), &patterned(size), false, true);
        assert!(copied.stale > 0 && copied.fresh == 0);
        let path = used.directory.path();
        if past != Past::Snapshot {
            succeed(path, &["resize", "-q", "-f", "qcow2", "image.qcow2", "+64K"]);
            let grown = reference::contents(&used.image);
            assert!(grown[size as usize..].iter().all(|b| *b == 0));
        }
    }
}

#[test]
fn an_image_that_is_being_overwritten_is_refused_until_it_is_complete() {
    for (version, words) in [(3, "conversion incomplete"), (2, "Unsupported qcow2 version")] {
        let options = Qcow2Create {
            version,
            ..Qcow2Create::default()
        };
        let used = Used::new(&options, 1 << 20, Past::Overlay);
        let path = used.directory.path();
        let head = |image: &Path| {
            let mut bytes = std::fs::read(image).unwrap();
            bytes.truncate(65536);
            bytes
        };
        let before = head(&used.image);
        let host = Native::new(1);
        let file = File::new(&host, host.existing(&used.image));
        let mut target = instar_qcow2::existing(file, 1 << 20, None, false).unwrap();
        // Nothing was changed so far.
        assert!(head(&used.image) == before);
        target.zero(0, 65536).unwrap();
        for verb in [
            ["info", "image.qcow2"],
            ["check", "image.qcow2"],
            ["map", "image.qcow2"],
        ] {
            let output = reference::run(path, &verb);
            assert!(!output.status.success());
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(stderr.contains(words), "{verb:?}: {stderr}");
        }
        target.finish().unwrap();
        drop(target);
        assert!(head(&used.image) == before, "the header is not what it was");
        reference::check(&used.image);
    }
}

#[test]
fn zeroing_what_is_zero_changes_nothing() {
    for options in [
        Qcow2Create::default(),
        Qcow2Create {
            version: 2,
            ..Qcow2Create::default()
        },
    ] {
        let used = Used::new(&options, 64 << 20, Past::Empty);
        let before = std::fs::read(&used.image).unwrap();
        let copied = used.judge(&[Step::Zero(0..64 << 20)], &[], false, false);
        assert_eq!((copied.fresh, copied.stale), (0, 0));
        assert!(std::fs::read(&used.image).unwrap() == before);
    }
}

#[test]
fn images_that_cannot_be_written_safely_are_refused() {
    let refusal = |used: &Used| -> Fault {
        let host = Native::new(1);
        let before = std::fs::read(&used.image).unwrap();
        let file = File::new(&host, host.existing(&used.image));
        let fault = instar_qcow2::existing(file, 1 << 20, None, false).err().unwrap();
        assert!(std::fs::read(&used.image).unwrap() == before);
        fault
    };
    let patch = |image: &Path, at: u64, byte: u8| {
        let file = std::fs::OpenOptions::new().write(true).open(image).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[byte], at).unwrap();
    };
    let used = || Used::new(&Qcow2Create::default(), 1 << 20, Past::Written);
    let corrupt = used();
    patch(&corrupt.image, 79, 2);
    assert_eq!(refusal(&corrupt).code, fault::qcow2_write::TARGET_CORRUPT);
    let dirty = used();
    patch(&dirty.image, 79, 1);
    let host = Native::new(1);
    let file = File::new(&host, host.existing(&dirty.image));
    drop(instar_qcow2::existing(file, 1 << 20, None, false).unwrap());
    let header = std::fs::read(&dirty.image).unwrap();
    assert_eq!(header[79], 0, "an image that was not closed is repaired first");
    let small = used();
    let host = Native::new(1);
    let file = File::new(&host, host.existing(&small.image));
    let fault = instar_qcow2::existing(file, (1 << 20) + 1, None, false)
        .err()
        .unwrap();
    assert_eq!(fault.code, fault::core::TARGET_TOO_SMALL);
    let unknown = used();
    patch(&unknown.image, 72, 0x40);
    assert_eq!(refusal(&unknown).code, fault::qcow2::FEATURES);
    let options = with_data_file(Qcow2Create::default(), false);
    let external = Used::new(&options, 1 << 20, Past::Empty);
    assert_eq!(refusal(&external).code, fault::qcow2_write::TARGET_DATA_FILE);
}

#[test]
fn tables_that_lead_to_other_tables_are_not_followed() {
    let options = Qcow2Create::default();
    let used = Used::new(&options, 1 << 20, Past::Written);
    let mut image = std::fs::read(&used.image).unwrap();
    let word = |image: &[u8], at: usize| u64::from_be_bytes(image[at..at + 8].try_into().unwrap());
    let l1 = word(&image, 40) as usize;
    let l2 = (word(&image, l1) & 0x00ff_ffff_ffff_fe00) as usize;
    // The first cluster of the disk claims to be the L1 table, the refcount table, the header.
    for place in [l1 as u64, word(&image, 48), 0x1_0000_0001_0000, 512] {
        image[l2..l2 + 8].copy_from_slice(&(place | 1 << 63).to_be_bytes());
        std::fs::write(&used.image, &image).unwrap();
        let host = Native::new(1);
        let file = File::new(&host, host.existing(&used.image));
        let mut target = instar_qcow2::existing(file, 1 << 20, None, false).unwrap();
        match target.allocate(0, 65536) {
            Ok(placed) => assert!(placed.offset >= image.len() as u64, "{placed:?}"),
            Err(fault) => assert!(
                [
                    fault::qcow2_write::TARGET_TABLE,
                    fault::qcow2_write::TARGET_REFCOUNT
                ]
                .contains(&fault.code),
                "{fault:?}"
            ),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, max_shrink_iters: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_writes_and_zeros_is_right(
        bits in 9_u32..=17,
        extended in any::<bool>(),
        version in 2_u32..=3,
        past in 0_usize..6,
        writes in proptest::collection::vec((0_u64..40, 1_u64..12, any::<bool>(), 1_u64..5), 1..20),
    ) {
        let options = Qcow2Create {
            version,
            cluster_bits: bits,
            extended_l2: extended && bits >= 14 && version == 3,
            ..Qcow2Create::default()
        };
        let unit: u64 = 1 << bits;
        let size = 40 * unit + 512;
        let used = Used::new(&options, size, PASTS[past]);
        let steps: Vec<Step> = writes
            .into_iter()
            .map(|(start, length, zero, piece)| {
                let range = start * unit..((start + length) * unit).min(size);
                if zero { Step::Zero(range) } else { Step::Data(range, piece * unit) }
            })
            .collect();
        used.judge(&steps, &patterned(size), false, false);
    }
}
