//! What the tests of verbs share: a job with defaults, images made by qemu-img.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure, and not every test uses everything"
)]

use instar_abi::job::{Bounds, Convert, Create, Encryption, RawCreate, Seed, Source, Target, Verb};
use instar_abi::{FileFacts, Job, Report, Slot};
use instar_testkit::Native;

/// Bytes that tell their own place, none of them zero.
pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|i| ((i / 512 * 7 + i % 251) & 0xff) as u8 | 1)
        .collect()
}

/// A source whose format is detected.
pub(crate) fn source(slot: Slot) -> Source {
    Source::new(slot, None)
}

/// A raw target.
pub(crate) fn raw_target(slot: Slot, existing: bool) -> Target {
    Target {
        slot,
        create: Create::Raw(RawCreate::default()),
        existing,
        backing: None,
        encrypt: Encryption::default(),
        export: None,
    }
}

/// Runs a verb; gives the last report.
pub(crate) fn run(native: &Native, files: &[FileFacts], verb: Verb) -> Report {
    let job = Job {
        verb,
        files: files.to_vec(),
        bounds: Bounds::default(),
        seed: Seed::default(),
    };
    instar_ops::run(native, &job, Vec::new());
    native.reports().pop().expect("a last report")
}

/// A conversion of all but the last file to the last.
pub(crate) fn conversion(files: &[FileFacts]) -> Convert {
    let (target, sources) = files.split_last().unwrap();
    instar_testkit::jobs::conversion(
        sources.iter().map(|facts| source(facts.slot)).collect(),
        raw_target(target.slot, false),
    )
}
