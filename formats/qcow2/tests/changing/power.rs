//! Power cuts in the middle of a change.

use std::collections::BTreeMap;
use std::path::Path;

use instar_disk::job::Change;
use instar_disk::{Edit, Fault, File, Findings};
use instar_native::{Native, State, Torn};

use crate::support::{Bench, Chain};

/// States that qemu-img judges: one in so many. Ours are judged all.
const SAMPLE: usize = 40;

/// The disk as a reader sees it, or that it is refused.
type Disk = Result<Vec<u8>, Fault>;

/// Carries out `change` on `image`.
pub(crate) fn change(bench: &Bench, image: &str, change: &Change) -> Result<(), Fault> {
    let native = Native::new(1);
    let file = File::new(&native, native.existing(bench.path(image)));
    instar_qcow2::edit(file)?.change(change)
}

/// Carries out `change` on `image`; after a power cut at any moment the disk is the one from before or the one from after, and
/// the image is sound but for leaks, or marked dirty and repaired by qemu-img. Gives how many states were looked at.
pub(crate) fn survives(bench: &Bench, image: &str, change: &Change) -> usize {
    let torn = Torn::default();
    let facts = torn.native.existing(bench.path(image));
    let old = bench.bytes(image);
    let before = disk(bench, image).unwrap();
    let snapshots = snapshots(bench, image);
    let mut edit: Box<dyn Edit + '_> = instar_qcow2::edit(File::new(&torn, facts)).unwrap();
    edit.change(change).unwrap();
    drop(edit);
    let new = bench.bytes(image);
    let after = disk(bench, image).unwrap();
    let mut number = 0;
    let states = torn.states(&State::from([(facts.slot, old)]), &mut |state, what| {
        number += 1;
        bench.put("cut", &state[&facts.slot]);
        let found = disk(bench, "cut").unwrap_or_else(|fault| panic!("{image}, {what}: {fault:?}"));
        assert!(
            found == before || found == after,
            "{image}, {what}: neither the disk from before nor the one from after"
        );
        judge(bench, what, number % SAMPLE == 0, &found, &snapshots);
    });
    assert_eq!(
        bench.bytes("cut"),
        new,
        "{image}: the last state is what was written"
    );
    assert_clean(bench, image);
    states
}

/// Nothing is wrong with the image, and nothing leaks, says qemu-img.
pub(crate) fn assert_clean(bench: &Bench, image: &str) {
    let output = bench.try_qemu_img(&format!("check {image}"));
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{image}: {text}");
}

/// What each snapshot holds, by its ID.
fn snapshots(bench: &Bench, image: &str) -> BTreeMap<String, Vec<u8>> {
    let ids = bench.qemu_img(&format!("snapshot -l {image}"));
    let ids = ids
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().next());
    let read = |id: &str| bench.reference(image, &format!("-f qcow2 -l snapshot.id={id}"));
    ids.map(|id| (id.to_owned(), read(id))).collect()
}

fn judge(bench: &Bench, what: &str, sampled: bool, content: &[u8], before: &BTreeMap<String, Vec<u8>>) {
    let header = bench.bytes("cut");
    let dirty = header[7] < 3 || header[79] & 1 != 0;
    let native = Native::new(1);
    let file = File::new(&native, native.source(bench.path("cut")));
    let mut findings = Findings::new(&native);
    let checked = instar_qcow2::check(file).unwrap().run(&mut findings).unwrap();
    let wrong = checked.corruptions + checked.check_errors;
    assert!(dirty || wrong == 0, "{what}: {checked:?}, and not marked dirty");
    if !sampled {
        return;
    }
    let code = bench.try_qemu_img("check cut").status.code();
    assert!(
        matches!(code, Some(0 | 3)) || dirty && code == Some(2),
        "{what}: qemu-img check gives {code:?}"
    );
    if code != Some(0) {
        let output = bench.try_qemu_img("check -r all cut");
        assert_eq!(output.status.code(), Some(0), "{what}: {output:?}");
    }
    assert_clean(bench, "cut");
    assert!(
        bench.reference("cut", "-f qcow2") == content,
        "{what}: repaired, and another disk"
    );
    for (id, found) in snapshots(bench, "cut") {
        // A snapshot is read as long as the disk is now.
        let same = |wanted: &Vec<u8>| wanted.iter().zip(&found).all(|(wanted, found)| wanted == found);
        assert!(
            before.get(&id).is_none_or(same),
            "{what}: repaired, and another snapshot {id}"
        );
    }
}

fn disk(bench: &Bench, image: &str) -> Disk {
    let native = Native::new(1);
    let path = bench.path(image);
    let path: &Path = &path;
    let facts = native.source(path);
    let mut chain = Chain::open(&native, File::new(&native, facts), true)?;
    Ok(chain.read_all(&native))
}
