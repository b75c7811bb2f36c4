//! Changes that fail on the way: what they did is taken back.

use instar_disk::job::{Change, NewSnapshot};
use instar_disk::{Fault, File, fault};
use instar_testkit::{Full, Native, Report};

use crate::damage::{LAYOUTS, sound};
use crate::repaired::verdict;
use crate::support::Bench;

fn create(name: &str) -> Change {
    Change::CreateSnapshot(NewSnapshot {
        name: name.into(),
        seconds: 1_700_000_000,
        nanoseconds: 5,
    })
}

/// Carries out `change`, while so many more bytes of the file can be written than it has.
fn with_room(bench: &Bench, change: &Change, room: u64) -> Result<(), Fault> {
    let end = bench.bytes("image").len() as u64;
    let full = Full::at(end + room);
    let file = File::new(&full, full.native.existing(bench.path("image")));
    instar_qcow2::edit(file)?.change(change)
}

/// A full disk in the middle of a change.
#[test]
fn a_change_that_finds_no_room_leaves_the_image_as_it_was() {
    let mut failed = 0;
    for layout in LAYOUTS {
        for change in [
            create("new"),
            Change::ApplySnapshot("old".into()),
            Change::DeleteSnapshot("old".into()),
        ] {
            let bench = Bench::new();
            let image = sound(&bench, layout);
            let before = [
                bench.reference("image", "-f qcow2"),
                bench.reference("image", "-f qcow2 -l old"),
            ];
            let length = bench.bytes("image").len();
            for room in (0..).map(|step| step * image.cluster() / 2) {
                let what = format!("{layout}, {change:?}, room for {room} bytes");
                let outcome = with_room(&bench, &change, room);
                let Err(fault) = outcome else {
                    break;
                };
                failed += 1;
                assert_eq!((fault.code, fault.numbers[0]), (fault::core::IO, 28), "{what}");
                let bytes = bench.bytes("image");
                assert!(bytes[7] < 3 || bytes[79] & 1 == 0, "{what}: left dirty");
                assert_eq!(verdict(&bench, "image"), 0, "{what}");
                assert_eq!(bytes.len(), length, "{what}: the file has grown");
                assert!(
                    bench.reference("image", "-f qcow2") == before[0],
                    "{what}: another disk"
                );
                assert!(
                    bench.reference("image", "-f qcow2 -l old") == before[1],
                    "{what}: another snapshot"
                );
            }
            assert_eq!(verdict(&bench, "image"), 0, "{layout}, {change:?}");
        }
    }
    assert!(failed > 20, "there was room in all but {failed} cases");
}

/// An image that was not closed is repaired before it is changed.
#[test]
fn a_dirty_image_is_repaired_and_then_changed() {
    for layout in LAYOUTS {
        let bench = Bench::new();
        let mut image = sound(&bench, layout);
        if image.bytes[7] < 3 {
            continue;
        }
        image.bytes[79] |= 1;
        image.set_count(0, 3);
        bench.put("image", &image.bytes);
        let before = bench.reference("image", "-f qcow2");
        let native = Native::new(1);
        let file = File::new(&native, native.existing(bench.path("image")));
        let mut edit = instar_qcow2::edit(file).unwrap();
        edit.change(&create("new")).unwrap();
        drop(edit);
        assert_eq!(verdict(&bench, "image"), 0, "{layout}");
        assert!(bench.reference("image", "-f qcow2 -l new") == before, "{layout}");
        let said: Vec<Fault> = native
            .reports()
            .into_iter()
            .flat_map(|report| match report {
                Report::Findings(found) => found,
                _ => Vec::new(),
            })
            .collect();
        let codes: Vec<_> = said.iter().map(|fault| fault.code).collect();
        assert_eq!(
            codes,
            [fault::check::LEAKED, fault::check::REPAIRING_CLUSTER],
            "{layout}"
        );
    }
}
