//! What the tests share: the modes to run in, and the smallest possible engine.

#![allow(dead_code, reason = "each test program uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "test support: a failure is a test failure"
)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use instar_abi::layout::{BASE, DEFAULT_BYTES, mailbox};
use instar_abi::limits::BATCH;
use instar_abi::mailbox::{MailboxHeader, REQUESTS_AT, RESULTS_AT};
use instar_abi::{RawRequest, RawResult, Report, Request, decode};
use instar_memory::GuestMemory;
use instar_sandbox::{Choice, Guest, Next, Outcome, Sandbox, Violation, probe};
use zerocopy::{FromZeros, IntoBytes};

/// Tests that did not run for want of KVM.
static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// The modes that this machine can run. Without KVM that is one, said aloud; with INSTAR_TEST_NEEDS_KVM=1 it is a failure.
pub(crate) fn modes() -> Vec<Choice> {
    match probe().kvm {
        Ok(()) => vec![Choice::Process, Choice::Kvm],
        Err(why) => {
            assert!(
                std::env::var_os("INSTAR_TEST_NEEDS_KVM").is_none_or(|value| value != "1"),
                "{why}"
            );
            let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
            println!("skipped {count}: the KVM half of this test, since {why}");
            vec![Choice::Process]
        }
    }
}

/// A sandbox with a guest of the test's.
pub(crate) fn sandbox(choice: Choice, lanes: u32, elf: &[u8]) -> Sandbox {
    Sandbox::prepare_guest(choice, lanes, DEFAULT_BYTES, Guest::from_elf(elf)).unwrap()
}

/// Runs to the end without anything served but Exit, and any other request refused.
pub(crate) fn run(sandbox: &Sandbox) -> Outcome {
    let engine = Engine::new(b"");
    engine.run(sandbox)
}

/// Serves reads from a few bytes, keeps reports.
pub(crate) struct Engine {
    pub(crate) file: Vec<u8>,
    pub(crate) reports: Mutex<Vec<Report>>,
    pub(crate) served: AtomicUsize,
}

impl Engine {
    pub(crate) fn new(file: &[u8]) -> Self {
        Self {
            file: file.to_vec(),
            reports: Mutex::new(Vec::new()),
            served: AtomicUsize::new(0),
        }
    }

    pub(crate) fn run(&self, sandbox: &Sandbox) -> Outcome {
        sandbox.run(&|lane| self.serve(sandbox.memory(), lane), &|| Ok(()))
    }

    pub(crate) fn serve(&self, memory: &GuestMemory, lane: u32) -> Next {
        let start = mailbox(lane) - BASE;
        let mut header = MailboxHeader::new_zeroed();
        memory.read(start, header.as_mut_bytes()).unwrap();
        if header.count == 0 || header.count as usize > BATCH {
            return Next::Kill(Violation::BatchCount(header.count));
        }
        for index in 0..u64::from(header.count) {
            let mut raw = RawRequest::new_zeroed();
            memory
                .read(start + REQUESTS_AT as u64 + index * 64, raw.as_mut_bytes())
                .unwrap();
            let request = match Request::parse(&raw, memory.len()) {
                Ok(request) => request,
                Err(bad) => return Next::Kill(Violation::BadRequest(bad)),
            };
            self.served.fetch_add(1, Ordering::Relaxed);
            let mut result = RawResult::default();
            match request {
                Request::Exit => return Next::Exit,
                Request::Report { bytes } => {
                    let mut report = vec![0; bytes.length as usize];
                    memory.read(bytes.start, &mut report).unwrap();
                    match decode(&report) {
                        Ok(report) => self.reports.lock().unwrap().push(report),
                        Err(_) => return Next::Kill(Violation::BadReport),
                    }
                }
                Request::Read { offset, into, .. } => {
                    let from = self.file.get(offset as usize..).unwrap_or(&[]);
                    let from = from.get(..into.length as usize).unwrap_or(from);
                    memory.write(into.start, from).unwrap();
                    result.value = from.len() as u64;
                }
                Request::Wait { word, expected } => memory.futex_wait(word.start, expected, None).unwrap(),
                Request::Wake { word } => {
                    memory.futex_wake(word.start, u32::MAX).unwrap();
                }
                Request::Progress { .. } | Request::Advise { .. } => {}
                _ => result.status = libc::EOPNOTSUPP as u32,
            }
            memory
                .write(start + RESULTS_AT as u64 + index * 24, result.as_bytes())
                .unwrap();
        }
        Next::Continue
    }
}
