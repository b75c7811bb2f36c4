//! What a repair leaves, and what it says.

use instar_disk::job::Repair;
use instar_disk::report::Checked;
use instar_disk::{Fault, File, Findings};
use instar_testkit::Native;

use crate::damage::{ALL, LAYOUTS, sound};
use crate::support::{Bench, assert_same};

/// Repairs `image`, with so many bytes for the counts.
pub(crate) fn repair(
    bench: &Bench,
    image: &str,
    what: Repair,
    memory: Option<u64>,
) -> Result<Checked, Fault> {
    let native = Native::new(1);
    let file = File::new(&native, native.existing(bench.path(image)));
    let mut findings = Findings::new(&native);
    let mut image = match memory {
        Some(bytes) => instar_qcow2::check_within(file, bytes)?,
        None => instar_qcow2::check(file)?,
    };
    image.repair(what, &mut findings)
}

/// What the reference finds: 0 for nothing, 2 for damage, 3 for leaks.
pub(crate) fn verdict(bench: &Bench, image: &str) -> i32 {
    let output = bench.try_qemu_img(&format!("check {image}"));
    output.status.code().unwrap()
}

/// The disk and the snapshot as the reference reads them.
fn content(bench: &Bench, image: &str) -> [Vec<u8>; 2] {
    ["-f qcow2", "-f qcow2 -l old"].map(|options| bench.reference(image, options))
}

/// Whether the mark that forbids writing is set: qemu-img does not read such an image with a snapshot named.
fn unmarked(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if bytes[7] == 3 {
        bytes[79] &= !3;
    }
    bytes
}

#[test]
fn everything_is_repaired_and_the_disk_stays() {
    for layout in LAYOUTS {
        let bench = Bench::new();
        let whole = sound(&bench, layout);
        for damage in ALL {
            let what = format!("{layout}, {}", damage.name);
            let mut image = crate::damage::Image {
                bytes: whole.bytes.clone(),
            };
            (damage.make)(&mut image);
            bench.put("read", &unmarked(&image.bytes));
            let before = (!damage.unreadable).then(|| content(&bench, "read"));
            bench.put("image", &image.bytes);
            let found = verdict(&bench, "image");
            let checked = repair(&bench, "image", Repair::All, None).unwrap();
            assert_eq!(
                (checked.corruptions, checked.leaks, checked.check_errors),
                (0, 0, 0),
                "{what}"
            );
            assert_eq!(checked.has_repaired(), found != 0, "{what}: {checked:?}");
            assert_eq!(verdict(&bench, "image"), 0, "{what}");
            let after = content(&bench, "image");
            for (after, before) in after.iter().zip(before.iter().flatten()) {
                assert_same(after, before, &what);
            }
            let repaired = bench.bytes("image");
            assert!(repaired[7] < 3 || repaired[79] & 3 == 0, "{what}: still marked");
            // The same comes of it in windows of any size.
            for memory in [64, 256, 4096] {
                bench.put("image", &image.bytes);
                let windows = repair(&bench, "image", Repair::All, Some(memory)).unwrap();
                assert_eq!(windows, checked, "{what}, windows of {memory} bytes");
                assert!(
                    bench.bytes("image") == repaired,
                    "{what}, windows of {memory} bytes: other bytes"
                );
            }
            // And nothing of a second repair.
            assert!(
                !repair(&bench, "image", Repair::All, None).unwrap().has_repaired(),
                "{what}"
            );
            assert!(
                bench.bytes("image") == repaired,
                "{what}: a sound image was written to"
            );
        }
    }
}

#[test]
fn leaks_alone_are_repaired_and_nothing_else_is_touched() {
    for layout in LAYOUTS {
        let bench = Bench::new();
        let whole = sound(&bench, layout);
        for damage in ALL {
            let what = format!("{layout}, {}", damage.name);
            let mut image = crate::damage::Image {
                bytes: whole.bytes.clone(),
            };
            (damage.make)(&mut image);
            bench.put("image", &image.bytes);
            bench.put("theirs", &image.bytes);
            let outcome = repair(&bench, "image", Repair::Leaks, None);
            let output = bench.try_qemu_img("check -r leaks theirs");
            match &outcome {
                Ok(checked) if damage.leaks_only => assert_eq!(checked.corruptions, 0, "{what}"),
                Ok(_) => {}
                Err(_) => assert!(
                    bench.bytes("image") == image.bytes,
                    "{what}: refused, and written to"
                ),
            }
            assert_eq!(
                outcome.is_err(),
                output.status.code() == Some(1),
                "{what}: {output:?}"
            );
            assert_eq!(verdict(&bench, "image"), verdict(&bench, "theirs"), "{what}");
        }
    }
}

/// What is left of a table that goes on behind the end of the file is not counted, and must not be taken for free.
#[test]
fn a_table_cut_off_by_the_end_is_not_given_away() {
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 -o cluster_size=512 image 20M");
    bench.qemu_io("image", &["write -P 5 0 20M"]);
    let mut image = crate::damage::Image {
        bytes: bench.bytes("image"),
    };
    // The L1 table goes to the end, and two thirds of it are lost.
    let (l1, entries) = (image.get(40) as usize, 8 * 640);
    let table = image.bytes[l1..l1 + entries].to_vec();
    let end = image.bytes.len().next_multiple_of(512);
    image.bytes.resize(end, 0);
    image.bytes.extend_from_slice(&table[..1536]);
    image.put(40, end as u64);
    bench.put("image", &image.bytes);
    let before = bench.bytes("image");
    for what in [Repair::Leaks, Repair::All] {
        let fault = repair(&bench, "image", what, None).unwrap_err();
        assert_eq!(fault.code, instar_disk::fault::check::REPAIR_CUT);
        assert!(bench.bytes("image") == before, "{what:?}: something was written");
    }
}
