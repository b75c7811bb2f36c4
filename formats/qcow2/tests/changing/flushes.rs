//! How often a change waits for the disk: each flush that has something to flush keeps an order that a power cut could break, and there
//! are no others.

use instar_disk::job::{Amend, BitmapAction, Change, ChangeBitmaps, NewSnapshot, Source};
use instar_disk::{Edit, Fault, File, Slot};
use instar_testkit::{Native, Torn};

use crate::compact::{SHORTEN, with};
use crate::power::assert_clean;
use crate::resize::{resizing, to};
use crate::support::{Bench, KIB};

const V3: &str = "cluster_size=64k";
const V2: &str = "cluster_size=64k,compat=0.10";

/// An image of so many KiB that holds something.
fn image(layout: &str, kib: u64) -> Bench {
    let bench = Bench::new();
    bench.qemu_img(&format!("create -q -f qcow2 -o {layout} image {kib}k"));
    bench.qemu_io("image", &["write -P 7 64k 70k"]);
    bench
}

/// Flushes that had something to flush while `act` changed the image.
fn flushes(bench: &Bench, act: impl FnOnce(&mut dyn Edit) -> Result<(), Fault>) -> usize {
    let torn = Torn::default();
    let file = File::new(&torn, torn.native.existing(bench.path("image")));
    let mut edit = instar_qcow2::edit(file).unwrap();
    act(&mut *edit).unwrap();
    drop(edit);
    assert_clean(bench, "image");
    torn.flushes()
}

fn changes(bench: &Bench, change: &Change) -> usize {
    flushes(bench, |edit| edit.change(change))
}

fn create(name: &str) -> Change {
    Change::CreateSnapshot(NewSnapshot {
        name: name.into(),
        seconds: 1,
        nanoseconds: 0,
    })
}

fn resizes(bench: &Bench, size: u64) -> usize {
    let path = bench.path("image");
    flushes(bench, |edit| {
        resizing(to(size), &[], None, &path, &mut |to| edit.resize(to))
    })
}

fn bitmaps(bench: &Bench, name: &str, actions: &[BitmapAction]) -> usize {
    let job = ChangeBitmaps {
        image: Source::new(Slot(0), None),
        name: name.into(),
        actions: actions.to_vec(),
        from: None,
    };
    flushes(bench, |edit| {
        let changed = edit.bitmaps()?.change(&job, None);
        changed.map_err(|undone| undone.fault)
    })
}

#[test]
fn what_moves_waits_for_the_disk_as_seldom_as_it_is_little() {
    let counted = [1, 8].map(|mebibytes: u64| {
        let bench = image(V3, 32 << 10);
        let half = mebibytes << 9;
        bench.qemu_io(
            "image",
            &[
                &format!("write -P 8 1M {}k", half * 2),
                &format!("discard 1M {half}k"),
            ],
        );
        let native = Native::new(1);
        native.existing(bench.path("image"));
        flushes(&bench, |edit| with(edit, &native, SHORTEN).map(drop))
    });
    // Copies and counts; entries; what is freed. Then the end of the file.
    assert!(counted[0] <= 8 && counted[0] == counted[1], "{counted:?}");
}

#[test]
fn snapshots_wait_for_the_mark_the_tables_the_header_and_what_is_freed() {
    let bench = image(V3, 1024);
    // Mark; counts, flags, tables; header, which takes the mark away.
    assert_eq!(changes(&bench, &create("a")), 3);
    // And the old table is freed.
    bench.qemu_io("image", &["write -P 8 0 70k"]);
    assert_eq!(changes(&bench, &create("b")), 4);
    bench.qemu_io("image", &["write -P 9 0 70k"]);
    // Counts, tables; header; what is freed. No flag changes.
    assert_eq!(changes(&bench, &Change::ApplySnapshot(b"a".to_vec())), 3);
    // Table; header, with the mark; what is freed, flags; no mark.
    assert_eq!(changes(&bench, &Change::DeleteSnapshot(b"a".to_vec())), 4);
    // There is no table any more.
    assert_eq!(changes(&bench, &Change::DeleteSnapshot(b"b".to_vec())), 3);

    let bench = image(V2, 1024);
    assert_eq!(changes(&bench, &create("a")), 2);
    assert_eq!(changes(&bench, &create("b")), 3);
    bench.qemu_io("image", &["write -P 9 0 70k"]);
    assert_eq!(changes(&bench, &Change::ApplySnapshot(b"a".to_vec())), 3);
    assert_eq!(changes(&bench, &Change::DeleteSnapshot(b"a".to_vec())), 3);
    assert_eq!(changes(&bench, &Change::DeleteSnapshot(b"b".to_vec())), 2);
}

#[test]
fn a_disk_of_another_size_waits_for_the_header_and_for_what_moves() {
    for layout in [V3, V2] {
        let bench = image(layout, 1024);
        // There is room behind the entries of the L1 table.
        assert_eq!(resizes(&bench, 3 << 30), 1);
        // Header; entries; counts.
        assert_eq!(resizes(&bench, 64 * KIB), 3);
    }
    let bench = image("cluster_size=4k", 1024);
    // A table of another cluster; header; the old table.
    assert_eq!(resizes(&bench, 2 << 30), 3);
}

#[test]
fn options_and_bitmaps_wait_for_the_header() {
    let bench = image(V3, 1024);
    let lazy = |on| {
        Change::Amend(Some(Amend {
            lazy_refcounts: Some(on),
            ..Amend::default()
        }))
    };
    assert_eq!(changes(&bench, &lazy(true)), 1);
    assert_eq!(changes(&bench, &lazy(true)), 0);
    assert_eq!(changes(&bench, &lazy(false)), 1);
    // Table and directory; header.
    assert_eq!(bitmaps(&bench, "a", &[BitmapAction::Add(0)]), 2);
    // And the old directory.
    assert_eq!(bitmaps(&bench, "b", &[BitmapAction::Add(0)]), 3);
    // Four bytes of the directory.
    assert_eq!(bitmaps(&bench, "a", &[BitmapAction::Disable]), 1);
    assert_eq!(bitmaps(&bench, "a", &[BitmapAction::Disable]), 0);
    bench.qemu_io("image", &["write -P 8 0 70k"]);
    // Table and directory; header; the old ones.
    assert_eq!(bitmaps(&bench, "b", &[BitmapAction::Clear]), 3);
    assert_eq!(bitmaps(&bench, "a", &[BitmapAction::Remove]), 3);
    // Header; what stood behind its end, in a sector of its own; the old ones.
    assert_eq!(bitmaps(&bench, "b", &[BitmapAction::Remove]), 3);
}
