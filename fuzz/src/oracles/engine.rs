//! A guest that rings with anything: the engine serves it over real files, and harms nothing.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use instar_abi::layout::{self, BASE, HEAP, MIN_BYTES};
use instar_abi::limits::BATCH;
use instar_abi::mailbox::{REQUESTS_AT, RESULTS_AT};
use instar_abi::request::{Op, status};
use instar_engine::{Engine, Files, Options, ReportLimits, Sink, TargetOptions};
use instar_memory::{GuestMemory, Next, Violation};
use instar_testkit::scratch;

use super::request::{BYTES, bytes, raw};

/// Bytes of the files that are there.
const FILE: usize = 96 << 10;

/// Bytes by which a target may grow.
const GROWTH: u64 = 1 << 20;

/// Requests in one batch.
const AT_ONCE: usize = 16;

struct Deaf;

impl Sink for Deaf {
    fn report(&self, _: &Files, _: Vec<u8>) -> Result<(), Violation> {
        Ok(())
    }

    fn progress(&self, _: u64, _: u64) {}
}

/// Rings with every sixteen requests of the input, until the guest is ended.
///
/// # Panics
/// If a file that is only read changes, a target outgrows its bound, or a result is none.
pub fn judge(input: &[u8]) {
    let directory = scratch();
    let path = |name: &str| directory.path().join(name);
    let sound: Vec<u8> = (0..FILE).map(|at| (at / 512) as u8).collect();
    for name in ["source", "beside", "old"] {
        std::fs::write(path(name), &sound).unwrap();
    }
    let files = Files::new(&Options::default()).unwrap();
    files.source(&path("source"), false).unwrap();
    files.target(&path("new"), &TargetOptions::default()).unwrap();
    files.target(&path("old"), &TargetOptions::default()).unwrap();
    files.let_targets_grow(GROWTH);
    let memory = Arc::new(GuestMemory::private(MIN_BYTES).unwrap());
    memory
        .write(HEAP - BASE, b"beside\0\0source\0\0../old\0\0")
        .unwrap();
    let limits = ReportLimits::default();
    let engine = Engine::new(files, Arc::clone(&memory), Box::new(Deaf), limits);
    let requests: Vec<[u8; BYTES]> = input.as_chunks().0.iter().copied().filter(ends).collect();
    for batch in requests.chunks(AT_ONCE.min(BATCH)) {
        if ring(&memory, &engine, batch) != Next::Continue {
            break;
        }
    }
    for facts in engine.files().facts() {
        let now = engine.files().status(facts.slot).unwrap();
        assert!(now.length <= FILE as u64 + GROWTH, "{now:?}");
    }
    drop(engine);
    for name in ["source", "beside"] {
        let mut now = vec![0; FILE + 1];
        let file = std::fs::File::open(path(name)).unwrap();
        let length = file.read_at(&mut now, 0).unwrap();
        assert!(now[..length] == sound, "{name} has changed");
    }
    assert!(!path("new").exists(), "what was not completed has its name");
}

/// Not one that sleeps until another lane wakes it: there is no other.
fn ends(bytes: &[u8; BYTES]) -> bool {
    raw(bytes).op != Op::WAIT.0
}

fn ring(memory: &GuestMemory, engine: &Engine<Arc<GuestMemory>>, batch: &[[u8; BYTES]]) -> Next {
    let mailbox = layout::mailbox(0) - BASE;
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&(batch.len() as u32).to_ne_bytes());
    memory.write(mailbox, &header).unwrap();
    for (number, request) in batch.iter().enumerate() {
        let at = mailbox + (REQUESTS_AT + number * BYTES) as u64;
        memory.write(at, &bytes(&raw(request))).unwrap();
    }
    let next = engine.serve(0);
    if next == Next::Continue {
        judge_results(memory, mailbox, batch.len());
    }
    next
}

/// One failure, and after it nothing but what was cancelled.
fn judge_results(memory: &GuestMemory, mailbox: u64, count: usize) {
    let mut failed = false;
    for number in 0..count {
        let mut bytes = [0; 4];
        let at = mailbox + (RESULTS_AT + number * 24) as u64;
        memory.read(at, &mut bytes).unwrap();
        let status = u32::from_ne_bytes(bytes);
        let known = status < 4096 || (status::CANCELLED..=status::REFUSED_TARGET).contains(&status);
        assert!(known, "a status of {status:#x}");
        assert!(
            !failed || status == status::CANCELLED,
            "{status:#x} after a failure"
        );
        failed |= status != status::OK;
    }
}
