//! Disks that become larger, and images that get another layer below: a stop at any moment leaves the old state or the new one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use instar_disk::job::{Change, NewBacking};
use instar_disk::{Edit, Fault, File};
use instar_testkit::Bench;
use instar_testkit::oracle::{qemu, qemu_info, qemu_reads, text};
use instar_testkit::pattern::{MIB, assert_same, pattern};
use instar_testkit::{Failing, Native};

fn made(dir: &Bench, size: u64) -> std::path::PathBuf {
    let raw = dir.raw("disk.raw", size, &[(0, 100_000), (size - 512, 512)]);
    let image = dir.path("disk.qed");
    qemu(&["convert", "-f", "raw", "-O", "qed", text(&raw), text(&image)]);
    image
}

fn named(name: &[u8], format: &str) -> Change {
    Change::Rebase(NewBacking {
        name: Some(name.to_vec()),
        format: Some(format.as_bytes().to_vec()),
        compress: false,
    })
}

#[test]
fn another_name_is_there_or_not_whatever_fails() {
    let dir = Bench::new();
    let image = made(&dir, 3 * MIB);
    let (short, long) = (vec![b'a'; 20], vec![b'b'; 4000]);
    let mut changes = 0;
    for (old, new) in [(&short, &long), (&long, &short), (&long, &long), (&short, &short)] {
        for allowed in 0.. {
            qemu(&[
                "rebase",
                "-u",
                "-b",
                text(std::path::Path::new(std::str::from_utf8(old).unwrap())),
                "-F",
                "raw",
                text(&image),
            ]);
            let before = qemu_info("qed", &image);
            let host = Failing::after(allowed);
            let facts = host.native.existing(&image);
            let outcome = instar_qed::edit(File::new(&host, facts))
                .and_then(|mut editor| editor.change(&named(new, "qcow2")));
            let after = qemu_info("qed", &image);
            let is_new = after.contains(&format!("\"{}\"", std::str::from_utf8(new).unwrap()))
                && !after.contains("backing-filename-format");
            assert!(is_new || after == before, "{allowed}");
            changes += 1;
            if outcome.is_ok() {
                assert!(is_new, "{allowed}");
                break;
            }
        }
    }
    assert!(changes > 10, "{changes}");
}

#[test]
fn what_is_behind_the_end_does_not_show_when_the_disk_grows() {
    let dir = Bench::new();
    let image = made(&dir, 3 * MIB);
    let mut bytes = std::fs::read(&image).unwrap();
    // The disk ends inside a cluster now, with data behind its end.
    bytes[48..56].copy_from_slice(&(3 * MIB - 1024).to_le_bytes());
    std::fs::write(&image, &bytes).unwrap();
    let native = Native::new(1);
    let mut editor = instar_qed::edit(File::new(&native, native.existing(&image))).unwrap();
    grow(editor.as_mut(), 9 * MIB).unwrap();
    let mut expected = vec![0; 9 << 20];
    expected[..100_000].copy_from_slice(&pattern(0, 100_000));
    assert_same(&qemu_reads("qed", &image), &expected, "grown");
    assert!(qemu(&["check", "-f", "qed", text(&image)]).contains("No errors"));
    // Whole clusters behind the end.
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[48..56].copy_from_slice(&65536_u64.to_le_bytes());
    std::fs::write(&image, &bytes).unwrap();
    let mut editor = instar_qed::edit(File::new(&native, native.existing(&image))).unwrap();
    grow(editor.as_mut(), 2 * MIB).unwrap();
    let mut expected = vec![0; 2 << 20];
    expected[..65536].copy_from_slice(&pattern(0, 65536));
    assert_same(&qemu_reads("qed", &image), &expected, "grown again");
}

fn grow(editor: &mut dyn Edit, size: u64) -> Result<(), Fault> {
    let mut fetch = |_: instar_disk::Distant, _: &mut [u8]| Ok(());
    editor.resize(&mut instar_disk::Resizing {
        size,
        preallocation: instar_disk::job::Preallocation::Off,
        below: 0,
        fetch: &mut fetch,
        apart: Vec::new(),
    })
}
