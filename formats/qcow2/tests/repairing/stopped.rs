//! Repairs that end early.

use instar_disk::job::Repair;
use instar_disk::{File, Findings, Host};
use instar_testkit::{Failing, Native, State, Torn};

use crate::damage::{ALL, Damage, Image, LAYOUTS, sound};
use crate::repaired::{repair, verdict};
use crate::support::{Bench, Chain};

/// States that qemu-img judges: one in so many. Ours are judged all.
const SAMPLE: usize = 60;

/// The disk as a reader sees it, unless it refuses a part of it.
fn disk(bench: &Bench, image: &str) -> Result<Vec<u8>, ()> {
    let native = Native::new(1);
    let facts = native.source(bench.path(image));
    let mut chain = Chain::open(&native, File::new(&native, facts), true).unwrap();
    chain.try_read_all(&native)
}

fn repair_on(host: &dyn Host, facts: instar_disk::FileFacts) -> Result<(), instar_disk::Fault> {
    let mut findings = Findings::new(host);
    let mut image = instar_qcow2::check(File::new(host, facts))?;
    image.repair(Repair::All, &mut findings).map(|_| ())
}

/// The disk is the one that it is to be, and another repair finds an image that it can repair.
fn judge(bench: &Bench, what: &str, sampled: bool, unreadable: bool, wanted: &[u8]) {
    let found = disk(bench, "cut");
    assert!(
        found.is_err() && unreadable || found.is_ok_and(|disk| disk == wanted),
        "{what}: another disk"
    );
    if sampled {
        std::fs::copy(bench.path("cut"), bench.path("theirs")).unwrap();
        // Misaligned refcount blocks are more than the reference can repair; the state from before the repair may be that.
        let output = bench.try_qemu_img("check -r all theirs");
        if output.status.code() == Some(0) {
            assert_eq!(verdict(bench, "theirs"), 0, "{what}");
            assert!(
                bench.reference("theirs", "-f qcow2") == wanted,
                "{what}: repaired by qemu-img, another disk"
            );
        } else {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                text.contains("not cluster aligned") || text.contains("reserved bits"),
                "{what}: {text}"
            );
        }
    }
    let checked = repair(bench, "cut", Repair::All, None).unwrap_or_else(|fault| panic!("{what}: {fault:?}"));
    assert_eq!((checked.corruptions, checked.leaks), (0, 0), "{what}");
    assert!(
        disk(bench, "cut").is_ok_and(|disk| disk == wanted),
        "{what}: repaired, and another disk"
    );
    if sampled {
        assert_eq!(verdict(bench, "cut"), 0, "{what}");
    }
}

fn damaged(bench: &Bench, whole: &Image, damage: &Damage) -> Vec<u8> {
    let mut image = Image {
        bytes: whole.bytes.clone(),
    };
    (damage.make)(&mut image);
    bench.put("image", &image.bytes);
    image.bytes
}

/// The disk of the damaged image, where it can be read; else of the repaired one.
fn wanted(bench: &Bench, damage: &Damage) -> Vec<u8> {
    if damage.unreadable {
        repair(bench, "image", Repair::All, None).unwrap();
    }
    disk(bench, "image").unwrap()
}

#[test]
fn a_power_cut_leaves_an_image_that_is_repaired_to_the_same_disk() {
    let mut states = 0;
    for layout in LAYOUTS {
        let bench = Bench::new();
        let whole = sound(&bench, layout);
        for damage in ALL {
            let old = damaged(&bench, &whole, damage);
            let wanted = wanted(&bench, damage);
            damaged(&bench, &whole, damage);
            let torn = Torn::default();
            let facts = torn.native.existing(bench.path("image"));
            repair_on(&torn, facts).unwrap();
            let mut number = 0;
            states += torn.states(&State::from([(facts.slot, old.into())]), &mut |state, moment| {
                number += 1;
                state[&facts.slot].put(&bench.path("cut"));
                let what = format!("{layout}, {}, {moment}", damage.name);
                judge(&bench, &what, number % SAMPLE == 0, damage.unreadable, &wanted);
            });
        }
    }
    println!("{states} states of power cuts");
}

#[test]
fn a_failure_at_any_write_leaves_an_image_that_is_repaired_to_the_same_disk() {
    for layout in [
        "cluster_size=512",
        "cluster_size=4k,refcount_bits=4",
        "cluster_size=64k,compat=0.10",
    ] {
        let bench = Bench::new();
        let whole = sound(&bench, layout);
        for damage in ALL {
            for changes in 0.. {
                damaged(&bench, &whole, damage);
                let wanted = wanted(&bench, damage);
                damaged(&bench, &whole, damage);
                let failing = Failing::after(changes);
                let facts = failing.native.existing(bench.path("image"));
                let outcome = repair_on(&failing, facts);
                if outcome.is_ok() && failing.left() > 0 {
                    break;
                }
                let what = format!("{layout}, {}, after {changes} changes", damage.name);
                std::fs::copy(bench.path("image"), bench.path("cut")).unwrap();
                judge(&bench, &what, changes == 3, damage.unreadable, &wanted);
            }
        }
    }
}
