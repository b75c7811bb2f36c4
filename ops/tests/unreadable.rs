//! A source that cannot be read at one place: the message names the place and blames the source, whether lanes or the host copy it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "a failure is a test failure"
)]

mod common;

use std::fs;

use common::{conversion, pattern, raw_target, source};
use instar_abi::job::{Bounds, Create, Dd, Qcow2Create, Seed, Verb};
use instar_abi::report::{Failure, Stage};
use instar_abi::{Format, Job, Report, Slot, fault};
use instar_disk::{Action, IoError};
use instar_testkit::{Native, Watch, Watched};

const EIO: u32 = 5;

/// The first file has a bad sector.
struct BadSector {
    at: u64,
}

impl Watch for BadSector {
    fn before(&self, action: &Action<'_>) -> Result<(), IoError> {
        let (slot, offset, length) = match action {
            Action::Read { slot, offset, into } => (slot, *offset, into.len() as u64),
            Action::Copy(copy) => (&copy.source, copy.source_offset, copy.length),
            _ => return Ok(()),
        };
        if *slot == Slot(0) && (offset..offset + length).contains(&self.at) {
            return Err(IoError(EIO));
        }
        Ok(())
    }
}

#[test]
fn a_bad_sector_is_a_failure_to_read_at_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("a"), dir.path().join("b"));
    fs::write(&from, pattern(6 << 20)).unwrap();
    for at in [0, 3 << 20, (5 << 20) + 4097] {
        for verb in ["convert", "copy", "to qcow2", "dd"] {
            let _ = fs::remove_file(&to);
            let host = Watched {
                native: Native::new(1),
                watch: BadSector { at },
            };
            let files = [host.native.source(&from), host.native.target(&to)];
            let mut job = conversion(&files);
            job.sources[0].format = Some(Format::Raw);
            job.offload = verb == "copy";
            if verb == "to qcow2" {
                job.target.create = Create::Qcow2(Qcow2Create::default());
            }
            let verb = match verb {
                "dd" => Verb::Dd(Dd {
                    source: source(files[0].slot),
                    target: raw_target(files[1].slot, false),
                    block_size: 512,
                    count: None,
                    skip: 0,
                    sent_to: None,
                }),
                _ => Verb::Convert(job),
            };
            // Without a format the first read is a look at the header.
            let is_dd = matches!(verb, Verb::Dd(_));
            instar_ops::run(
                &host,
                &Job {
                    verb,
                    files: files.to_vec(),
                    bounds: Bounds::default(),
                    seed: Seed::default(),
                },
                Vec::new(),
            );
            let last = host.native.reports().pop().unwrap();
            let Report::Failed(Failure { stage, fault }) = last else {
                panic!("{last:?}");
            };
            assert_eq!(fault.code, fault::core::IO);
            match stage {
                Stage::Read(found) => assert!((found..found + (2 << 20)).contains(&at), "{found} for {at}"),
                Stage::OpenSource(0) => assert!(is_dd && at == 0),
                other => panic!("{other:?} for {at}"),
            }
        }
    }
}
