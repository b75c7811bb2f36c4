//! Images that we write, read and checked by qemu-img; images that we check and repair, with qemu-img's counts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use std::path::PathBuf;

use instar_disk::job::{QedCreate, Repair};
use instar_disk::{File, Findings, ImageText};
use instar_testkit::Bench;
use instar_testkit::Native;
use instar_testkit::image::write_disk;
use instar_testkit::oracle::{qemu, qemu_reads, run, text};
use instar_testkit::pattern::{MIB, assert_same, pattern};

fn options(cluster_size: u64, table_size: u64) -> QedCreate {
    QedCreate {
        cluster_size,
        table_size,
        ..QedCreate::default()
    }
}

fn write(dir: &Bench, disk: &[u8], options: &QedCreate, stride: u64) -> PathBuf {
    let path = dir.path("ours.qed");
    let native = Native::new(1);
    let facts = native.target(&path);
    let mut target = instar_qed::create(File::new(&native, facts), options, disk.len() as u64).unwrap();
    write_disk(&native, target.as_mut(), disk, stride).unwrap();
    path
}

/// Pattern, with holes of several sizes.
fn disk(size: u64) -> Vec<u8> {
    let mut bytes = pattern(0, size);
    for (index, block) in bytes.chunks_mut(1 << 17).enumerate() {
        if index % 5 == 1 {
            block.fill(0);
        }
    }
    bytes
}

fn is_clean(path: &std::path::Path, what: &str) {
    let said = qemu(&["check", "-f", "qed", text(path)]);
    assert!(said.contains("No errors"), "{what}: {said}");
}

#[test]
fn qemu_img_reads_what_we_write_and_finds_nothing_to_say() {
    let dir = Bench::new();
    for size in [512, MIB - 512, MIB, MIB + 512, 10 * MIB + 1024] {
        for (cluster, table, stride) in [
            (4096, 2, 1),
            (4096, 2, 64),
            (65536, 4, 3),
            (MIB, 16, 2),
            (4 * MIB, 2, 2),
        ] {
            let disk = disk(size);
            let ours = write(&dir, &disk, &options(cluster, table), stride);
            let what = format!("{size} {cluster} {table} {stride}");
            assert_same(&qemu_reads("qed", &ours), &disk, &what);
            is_clean(&ours, &what);
        }
    }
}

#[test]
fn a_longer_file_is_overwritten() {
    let dir = Bench::new();
    let path = dir.path("ours.qed");
    std::fs::write(&path, vec![0xaa; 3 << 20]).unwrap();
    let disk = disk(512);
    let native = Native::new(1);
    let facts = native.existing(&path);
    let mut target =
        instar_qed::create(File::new(&native, facts), &options(65536, 4), disk.len() as u64).unwrap();
    write_disk(&native, target.as_mut(), &disk, 1).unwrap();
    assert_same(&qemu_reads("qed", &path), &disk, "over a longer file");
    is_clean(&path, "over a longer file");
}

#[test]
fn an_unfinished_image_is_not_a_qed() {
    let dir = Bench::new();
    let path = dir.path("ours.qed");
    let native = Native::new(1);
    let facts = native.target(&path);
    let mut target = instar_qed::create(File::new(&native, facts), &QedCreate::default(), 3 * MIB).unwrap();
    target.allocate(0, MIB).unwrap();
    assert!(!run(&["info", "-f", "qed", text(&path)]).status.success());
}

#[test]
fn zeros_hide_what_is_below() {
    let dir = Bench::new();
    dir.raw("below", 3 * MIB, &[(0, 3 * MIB)]);
    let path = dir.path("ours.qed");
    let native = Native::new(1);
    let facts = native.target(&path);
    let over = QedCreate {
        backing_file: Some(ImageText::new(b"below")),
        backing_raw: true,
        ..QedCreate::default()
    };
    let mut target = instar_qed::create(File::new(&native, facts), &over, 3 * MIB).unwrap();
    target.zero(MIB, MIB).unwrap();
    target.finish().unwrap();
    let mut expected = pattern(0, 3 * MIB);
    expected[1 << 20..2 << 20].fill(0);
    assert_same(&qemu_reads("qed", &path), &expected, "over");
    is_clean(&path, "over");
}

#[test]
fn counts_and_repairs_as_qemu_img_does() {
    let dir = Bench::new();
    let disk = disk(4 * MIB);
    let sound = std::fs::read(write(&dir, &disk, &options(65536, 2), 4)).unwrap();
    let path = dir.path("image");
    let table = u64::from_le_bytes(sound[65536..65544].try_into().unwrap());
    let at = |offset: u64| usize::try_from(offset).unwrap();
    let cases: [&[(u64, u64)]; 6] = [
        &[],
        // An entry of L2 that leads nowhere; a table that does; both.
        &[(table, 77)],
        &[(65536 + 8, 1 << 40)],
        &[(table, 77), (65536 + 8, 3)],
        // One cluster for two; a leak with it.
        &[(
            table,
            u64::from_le_bytes(sound[at(table + 8)..at(table + 16)].try_into().unwrap()),
        )],
        // A table that is the other one.
        &[(65536 + 8, table)],
    ];
    for (number, case) in cases.into_iter().enumerate() {
        for dirty in [0, 2] {
            let mut bytes = sound.clone();
            bytes[16] = dirty;
            for (offset, value) in case {
                bytes[at(*offset)..at(*offset) + 8].copy_from_slice(&value.to_le_bytes());
            }
            std::fs::write(&path, &bytes).unwrap();
            let what = format!("{number} {dirty}");
            let native = Native::new(1);
            let mut image = instar_qed::check(File::new(&native, native.existing(&path))).unwrap();
            let counted = image.run(&mut Findings::new(&native)).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), bytes, "{what}: only looked at");
            let said =
                String::from_utf8(run(&["check", "--output=json", "-f", "qed", text(&path)]).stdout).unwrap();
            let number = |said: &str, key: &str| {
                let rest = said.split(&format!("\"{key}\": ")).nth(1);
                rest.map_or(0, |rest| {
                    rest.split(|c: char| !c.is_ascii_digit())
                        .next()
                        .unwrap()
                        .parse()
                        .unwrap()
                })
            };
            for (key, ours) in [
                ("corruptions", counted.corruptions),
                ("leaks", counted.leaks),
                ("total-clusters", counted.total_clusters),
                ("allocated-clusters", counted.allocated_clusters),
                ("fragmented-clusters", counted.fragmented_clusters),
            ] {
                assert_eq!(ours, number(&said, key), "{what}: {key}: {said}");
            }
            let mut image = instar_qed::check(File::new(&native, native.existing(&path))).unwrap();
            let repaired = image.repair(Repair::Leaks, &mut Findings::new(&native)).unwrap();
            let ours = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes).unwrap();
            let said = String::from_utf8(
                run(&["check", "--output=json", "-r", "leaks", "-f", "qed", text(&path)]).stdout,
            )
            .unwrap();
            assert_eq!(
                repaired.corruptions_fixed,
                number(&said, "corruptions-fixed"),
                "{what}: {said}"
            );
            let mut theirs = std::fs::read(&path).unwrap();
            // When it closes a file, the reference tool forgets that the file is still damaged.
            theirs[16] = if repaired.corruptions > 0 { dirty } else { 0 };
            assert_same(&ours, &theirs, &what);
        }
    }
}

#[test]
fn refuses_the_size_that_qemu_img_refuses_in_its_words() {
    let dir = Bench::new();
    let native = Native::new(1);
    for (size, fits) in [(1 << 30, true), ((1 << 30) + 512, false), (1 << 62, false)] {
        let facts = native.target(dir.path("ours.qed"));
        let tables = options(4096, 1);
        let made = instar_qed::create(File::new(&native, facts), &tables, size);
        if fits {
            assert!(made.is_ok());
            continue;
        }
        let theirs = dir.path("theirs.qed");
        let output = run(&[
            "create",
            "-q",
            "-f",
            "qed",
            "-o",
            "cluster_size=4096,table_size=1",
            text(&theirs),
            &size.to_string(),
        ]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains(&instar_testkit::words(&made.err().unwrap())),
            "{said}"
        );
    }
}
