//! Disks made larger and smaller.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use std::path::{Path, PathBuf};

use instar_disk::fault::{resize as faults, vmdk};
use instar_disk::job::Preallocation;
use instar_testkit::Bench;
use instar_testkit::oracle::qemu_io;
use instar_testkit::oracle::{qemu, text};
use instar_testkit::pattern::MIB;
use instar_testkit::resizing::{Resizer, To, to};

const VMDK: Resizer = Resizer {
    format: "vmdk",
    open: instar_vmdk::open,
    edit: instar_vmdk::edit,
};

/// An image of 5 MiB and a sector with data in some grains, not in their order.
fn image(dir: &Bench, options: &str) -> PathBuf {
    let path = dir.path("image.vmdk");
    let _ = std::fs::remove_file(&path);
    let options = format!("subformat={options}");
    qemu(&[
        "create",
        "-q",
        "-f",
        "vmdk",
        "-o",
        &options,
        text(&path),
        "5243392",
    ]);
    for command in ["write -P 1 4M 900k", "write -P 2 100k 64k", "write -P 3 5M 512"] {
        qemu_io("vmdk", &path, command);
    }
    path
}

/// The files in which the data are, if they are others.
fn apart(path: &Path) -> Vec<PathBuf> {
    let flat = path.with_file_name("image-flat.vmdk");
    flat.exists().then_some(flat).into_iter().collect()
}

const OPTIONS: [&str; 3] = [
    "monolithicSparse",
    "monolithicSparse,zeroed_grain=on",
    "monolithicFlat",
];

#[test]
fn a_power_cut_leaves_the_old_disk_or_the_new_one() {
    let mut states = 0;
    for options in OPTIONS {
        let dir = Bench::new();
        let path = image(&dir, options);
        // More grain tables, in a directory of more than a sector.
        let large = if options.contains("Flat") {
            9 * MIB
        } else {
            5000 * MIB
        };
        for size in [5 * MIB + 2048, 40 * MIB, large, 3 * MIB + 1024, 3 * MIB + 4096] {
            states += VMDK.survives(&path, &apart(&path), to(size), size);
            if options.contains("Sparse") {
                qemu(&["check", "-f", "vmdk", text(&path)]);
            }
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn a_failure_at_any_change_leaves_an_image_that_can_be_resized() {
    for options in OPTIONS {
        let dir = Bench::new();
        let path = image(&dir, options);
        let (large, least) = match options {
            "monolithicFlat" => (20 * MIB, 2),
            _ => (600 * MIB, 3),
        };
        for size in [large, 3 * MIB] {
            assert!(VMDK.recovers(&path, &apart(&path), to(size), size) > least);
        }
    }
}

#[test]
fn the_image_goes_on_as_if_it_had_been_made_that_large() {
    for options in OPTIONS {
        let dir = Bench::new();
        let path = image(&dir, options);
        for (size, command) in [
            (2000 * MIB, "write -P 9 1990M 3M"),
            (3 * MIB, "write -P 8 1M 1M"),
            (20 * MIB, "write -P 7 10M 5M"),
            (40_000 * MIB, "write -P 6 39999M 1M"),
            (30 * MIB, "write -P 5 28M 1M"),
        ] {
            let before = VMDK.disk(&path).unwrap();
            VMDK.resize(&path, &apart(&path), to(size)).unwrap();
            let after = VMDK.disk(&path).unwrap();
            assert!(after == before.of_size(size), "{options}, {size}");
            qemu_io("vmdk", &path, command);
            if options.contains("Sparse") {
                qemu(&["check", "-f", "vmdk", text(&path)]);
            }
        }
        let length = std::fs::metadata(&path).unwrap().len();
        assert!(
            length < 35 * MIB,
            "{options}, {length}: what was cut off was given back"
        );
    }
}

/// What the descriptor says.
fn descriptor(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let start = if bytes.starts_with(b"KDMV") { 512 } else { 0 };
    let text = bytes[start..].split(|byte| *byte == 0).next().unwrap();
    String::from_utf8(text.to_vec()).unwrap()
}

#[test]
fn the_descriptor_says_the_size_as_in_a_new_image() {
    for options in ["monolithicSparse", "monolithicFlat"] {
        let dir = Bench::new();
        let path = image(&dir, options);
        for size in [20_000 * MIB, 3 * MIB] {
            VMDK.resize(&path, &apart(&path), to(size)).unwrap();
            let new = dir.path("new.vmdk");
            let option = format!("subformat={options}");
            qemu(&[
                "create",
                "-q",
                "-f",
                "vmdk",
                "-o",
                &option,
                text(&new),
                &size.to_string(),
            ]);
            // An identifier that is some digits shorter than the one before it leaves those of the old text behind the end of the new one;
            // then a comment makes up for longer numbers.
            let but_id = |path: &Path| {
                let text = descriptor(path)
                    .replace("new", "image")
                    .replace("# Disk DescriptorFile", "# Disk Descript");
                let lines = text.trim_end().lines().map(str::to_owned);
                lines.filter(|line| !line.starts_with("CID")).collect::<Vec<_>>()
            };
            assert_eq!(but_id(&path), but_id(&new), "{options}, {size}");
        }
    }
}

#[test]
fn a_flat_extent_is_as_long_as_the_disk() {
    for preallocation in [Preallocation::Off, Preallocation::Falloc, Preallocation::Full] {
        let dir = Bench::new();
        let path = image(&dir, "monolithicFlat");
        for size in [20 * MIB, 20 * MIB + 512] {
            VMDK.resize(&path, &apart(&path), To { size, preallocation })
                .unwrap();
            assert_eq!(std::fs::metadata(&apart(&path)[0]).unwrap().len(), size);
        }
        VMDK.resize(&path, &apart(&path), to(3 * MIB)).unwrap();
        assert_eq!(std::fs::metadata(&apart(&path)[0]).unwrap().len(), 3 * MIB);
    }
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let dir = Bench::new();
    for (options, size, preallocation, code) in [
        (
            "monolithicSparse",
            20 * MIB,
            Preallocation::Falloc,
            faults::PREALLOCATION,
        ),
        (
            "monolithicFlat",
            20 * MIB,
            Preallocation::Metadata,
            faults::PREALLOCATION,
        ),
        (
            "monolithicSparse",
            1 << 48,
            Preallocation::Off,
            instar_disk::fault::core::TARGET_TOO_LARGE,
        ),
        ("twoGbMaxExtentFlat", 20 * MIB, Preallocation::Off, faults::LAYOUT),
        (
            "twoGbMaxExtentSparse",
            20 * MIB,
            Preallocation::Off,
            faults::LAYOUT,
        ),
    ] {
        let path = image(&dir, options);
        let before = std::fs::read(&path).unwrap();
        let fault = VMDK
            .resize(&path, &apart(&path), To { size, preallocation })
            .unwrap_err();
        assert_eq!(fault.code, code, "{options}");
        assert!(std::fs::read(&path).unwrap() == before, "{options}");
    }
    // An overlay, and a stream.
    let base = image(&dir, "monolithicSparse");
    let path = dir.path("other.vmdk");
    qemu(&[
        "create",
        "-q",
        "-f",
        "vmdk",
        "-b",
        text(&base),
        "-F",
        "vmdk",
        text(&path),
    ]);
    assert_eq!(
        VMDK.resize(&path, &[], to(20 * MIB)).unwrap_err().code,
        faults::LAYOUT
    );
    let option = "subformat=streamOptimized";
    qemu(&["convert", "-O", "vmdk", "-o", option, text(&base), text(&path)]);
    assert_eq!(
        VMDK.resize(&path, &[], to(20 * MIB)).unwrap_err().code,
        faults::LAYOUT
    );
}

#[test]
fn what_is_wrong_is_found_before_anything_is_written() {
    let dir = Bench::new();
    let path = image(&dir, "monolithicSparse");
    let good = std::fs::read(&path).unwrap();
    let sector = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..][..4].try_into().unwrap());
    let directory = sector(&good, 56) as usize * 512;
    let table = sector(&good, directory) as usize * 512;
    for (at, value, size, code) in [
        (directory, 1_u32, 3 * MIB, vmdk::TABLE_IN_METADATA),
        (directory, 0x7fff_ffff, 3 * MIB, vmdk::TABLE_PAST_END),
        (directory, 1, 300 * MIB, vmdk::TABLE_IN_METADATA),
        (table, 2, 3 * MIB, vmdk::GRAIN_IN_METADATA),
        (table, 0x7fff_ffff, 3 * MIB, vmdk::GRAIN_PAST_END),
        // The last grain.
        (table + 80 * 4, 0x7fff_ffff, 300 * MIB, vmdk::GRAIN_PAST_END),
        // The redundant directory.
        (48, 1, 300 * MIB, vmdk::TABLE_IN_METADATA),
        (48, 0x7fff_ffff, 300 * MIB, vmdk::TABLE_PAST_END),
    ] {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        std::fs::write(&path, &bytes).unwrap();
        let fault = VMDK.resize(&path, &[], to(size)).unwrap_err();
        assert_eq!(fault.code, code, "{at}, {size}: {fault:?}");
        assert!(std::fs::read(&path).unwrap() == bytes);
    }
}

#[test]
fn grains_that_are_shared_stay_with_those_that_are_kept() {
    let dir = Bench::new();
    let path = image(&dir, "monolithicSparse");
    let mut bytes = std::fs::read(&path).unwrap();
    let sector = |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..][..4].try_into().unwrap());
    // The first grain, which had none, gets the place of one at 4 MiB, in both tables.
    for directory in [48, 56] {
        let directory = sector(&bytes, directory) as usize * 512;
        let table = sector(&bytes, directory) as usize * 512;
        let entry: [u8; 4] = bytes[table + 66 * 4..][..4].try_into().unwrap();
        bytes[table..table + 4].copy_from_slice(&entry);
    }
    std::fs::write(&path, &bytes).unwrap();
    let before = VMDK.disk(&path).unwrap();
    VMDK.resize(&path, &[], to(3 * MIB)).unwrap();
    assert!(VMDK.disk(&path).unwrap() == before.of_size(3 * MIB));
}
