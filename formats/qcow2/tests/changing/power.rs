//! Power cuts in the middle of a change.

use std::collections::BTreeMap;
use std::path::Path;

use instar_disk::job::Change;
use instar_disk::{Edit, Fault, File, FileFacts, Findings};
use instar_testkit::{Native, State, Torn};

use crate::support::{Bench, Chain, Sparse};

/// States that qemu-img judges: one in so many. Ours are judged all.
const SAMPLE: usize = 40;

/// The disk as a reader sees it, or that it is refused.
pub(crate) type Disk = Result<Sparse, Fault>;

/// What is done to an image.
pub(crate) type Act<'a> = dyn FnMut(&mut dyn Edit) -> Result<(), Fault> + 'a;

/// Carries out `change` on `image`.
pub(crate) fn change(bench: &Bench, image: &str, change: &Change) -> Result<(), Fault> {
    act(bench, image, &mut |edit| edit.change(change))
}

/// Does something to `image`.
pub(crate) fn act(bench: &Bench, image: &str, act: &mut Act<'_>) -> Result<(), Fault> {
    let native = Native::new(1);
    let file = File::new(&native, native.existing(bench.path(image)));
    act(&mut *instar_qcow2::edit(file)?)
}

/// As [`survives_by`], for a change.
pub(crate) fn survives(bench: &Bench, image: &str, change: &Change) -> usize {
    survives_by(bench, image, None, &mut |edit, _| edit.change(change))
}

/// Does something to `image`, and perhaps to its data file, of which it is told the facts; after a power cut at any moment the
/// disk is the one from before or the one from after, and the image is sound but for leaks, or marked dirty and repaired by
/// qemu-img. Gives how many states were looked at.
pub(crate) fn survives_by(bench: &Bench, image: &str, data: Option<&str>, act: &mut ActApart<'_>) -> usize {
    let torn = Torn::default();
    let facts = torn.native.existing(bench.path(image));
    let apart = data.map(|data| torn.native.existing(bench.path(data)));
    let before = disk(bench, image).unwrap();
    let snapshots = snapshots(bench, image);
    let mut old = State::from([(facts.slot, bench.bytes(image).into())]);
    old.extend(
        apart
            .iter()
            .zip(data)
            .map(|(apart, name)| (apart.slot, bench.bytes(name).into())),
    );
    let mut edit: Box<dyn Edit + '_> = instar_qcow2::edit(File::new(&torn, facts)).unwrap();
    act(&mut *edit, apart).unwrap();
    drop(edit);
    let new = bench.bytes(image);
    let after = disk(bench, image).unwrap();
    bench.put_sparse("before.raw", &before);
    bench.put_sparse("after.raw", &after);
    let mut number = 0;
    let states = torn.states(&old, &mut |state, what| {
        number += 1;
        state[&facts.slot].put(&bench.path("cut"));
        if let (Some(apart), Some(name)) = (apart, data) {
            state[&apart.slot].put(&bench.path(name));
        }
        let found = disk(bench, "cut").unwrap_or_else(|fault| panic!("{image}, {what}: {fault:?}"));
        assert!(
            found == before || found == after,
            "{image}, {what}: neither the disk from before nor the one from after"
        );
        let raw = if found == before {
            "before.raw"
        } else {
            "after.raw"
        };
        judge(bench, what, number % SAMPLE == 0, raw, &snapshots);
    });
    assert!(
        bench.bytes("cut") == new,
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

/// The first sectors of each snapshot's disk, as many as the disk itself has, by its ID.
fn snapshots(bench: &Bench, image: &str) -> BTreeMap<String, Sparse> {
    let ids = bench.qemu_img(&format!("snapshot -l {image}"));
    let ids = ids
        .lines()
        .skip(2)
        .filter_map(|line| line.split_whitespace().next());
    let read = |id: &str| bench.sparse_reference(image, &format!("-f qcow2 -l snapshot.id={id}"));
    ids.map(|id| (id.to_owned(), read(id))).collect()
}

fn judge(bench: &Bench, what: &str, sampled: bool, raw: &str, before: &BTreeMap<String, Sparse>) {
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
    assert!(bench.is_disk_of("cut", raw), "{what}: repaired, and another disk");
    for (id, found) in snapshots(bench, "cut") {
        let same = |wanted: &Sparse| {
            let both = wanted.size.min(found.size);
            wanted.of_size(both) == found.of_size(both)
        };
        assert!(
            before.get(&id).is_none_or(same),
            "{what}: repaired, and another snapshot {id}"
        );
    }
}

pub(crate) fn disk(bench: &Bench, image: &str) -> Disk {
    let native = Native::new(1);
    let path = bench.path(image);
    let path: &Path = &path;
    let facts = native.source(path);
    let mut chain = Chain::open(&native, File::new(&native, facts), true)?;
    Ok(chain.read_sparse(&native))
}

/// What is done to an image, with its data file if it has one.
type ActApart<'a> = dyn FnMut(&mut dyn Edit, Option<FileFacts>) -> Result<(), Fault> + 'a;
