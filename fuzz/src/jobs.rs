//! One run of a verb over files in memory, and what holds for every run.

use instar_abi::job::{Bounds, Convert, Create, Encryption, RawCreate, Seed, Source, Target, Verb};
use instar_abi::report::{Done, Failure};
use instar_abi::{FileFacts, ImageText, Job, NamedSecret, Report, Secret, Slot, limits};
use instar_testkit::{Content, jobs, words};

use crate::memory::Memory;

/// The name of the secret that unlocks the seeds, and what it holds.
pub const KEY: &[u8] = b"key";
pub const PASSPHRASE: &[u8] = b"fuzz";

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    /// What was said before the end.
    pub reports: Vec<Report>,
    /// The end.
    pub end: Result<Done, Failure>,
}

/// Runs `verb` over the files of `memory`.
///
/// # Panics
/// If the run does not end with one last report, or says something that has no words or does not fit.
pub fn run(memory: &Memory, files: &[FileFacts], verb: Verb, bounds: Bounds) -> Ran {
    let secrets = secrets(&verb);
    let job = Job {
        verb,
        files: files.to_vec(),
        bounds,
        seed: Seed::default(),
    };
    instar_ops::run(memory, &job, secrets);
    let mut reports = memory.take_reports();
    reports.iter().for_each(judge);
    let end = match reports.pop() {
        Some(Report::Done(done)) => Ok(done),
        Some(Report::Failed(failure)) => Err(failure),
        other => panic!("the last report is {other:?}"),
    };
    let early = |report: &Report| matches!(report, Report::Done(_) | Report::Failed(_));
    assert!(!reports.iter().any(early), "two ends: {reports:?}");
    Ran { reports, end }
}

/// The secrets that the verb names; a run that needs random bytes for keys gets some.
fn secrets(verb: &Verb) -> Vec<NamedSecret> {
    let mut secrets = Vec::new();
    if !verb.secrets().is_empty() {
        secrets.push((ImageText::new(KEY), PASSPHRASE.to_vec()));
    }
    if verb.makes_keys() {
        secrets.push((ImageText::new(NamedSecret::RANDOM), (0..32).collect()));
    }
    let named = |(id, bytes)| NamedSecret {
        id,
        content: Secret::new(bytes),
    };
    secrets.into_iter().map(named).collect()
}

/// A report arrives as it was sent, and every fault in it has words.
fn judge(report: &Report) {
    let bytes = instar_abi::encode(report).unwrap();
    assert!(
        bytes.len() <= limits::REPORT_BYTES,
        "a report of {} bytes",
        bytes.len()
    );
    assert_eq!(instar_abi::decode::<Report>(&bytes).as_ref(), Ok(report));
    match report {
        Report::Findings(faults) => faults.iter().for_each(|fault| assert!(!words(fault).is_empty())),
        Report::Partitions(table) => {
            let faults = table
                .partitions
                .iter()
                .filter_map(|partition| partition.fault.as_ref());
            let all = faults.chain(&table.findings).chain(&table.disputed);
            all.for_each(|fault| assert!(!words(fault).is_empty()));
        }
        Report::Warning(failure) | Report::Failed(failure) => {
            assert!(!words(&failure.fault).is_empty());
        }
        _ => {}
    }
}

/// A raw image in a new file.
#[must_use]
pub fn raw(slot: Slot) -> Target {
    made(slot, Create::Raw(RawCreate::default()))
}

/// A new image.
#[must_use]
pub const fn made(slot: Slot, create: Create) -> Target {
    Target {
        slot,
        create,
        existing: false,
        backing: None,
        encrypt: Encryption {
            method: None,
            key: None,
        },
        export: None,
    }
}

/// A plain conversion of one source.
#[must_use]
pub fn conversion(source: Source, target: Target) -> Convert {
    jobs::conversion(vec![source], target)
}

/// The disk that an image shows, as a raw image.
///
/// # Errors
/// Why it cannot be read.
pub fn read(
    memory: &Memory,
    files: &[FileFacts],
    source: Source,
    bounds: Bounds,
) -> Result<Content, Failure> {
    let target = memory.fresh();
    let files = [files, &[target]].concat();
    let convert = conversion(source, raw(target.slot));
    let done = run(memory, &files, Verb::Convert(convert), bounds).end?;
    let disk = memory.content(target.slot);
    assert_eq!(disk.len(), done.virtual_size, "a raw image of another size");
    Ok(disk)
}
