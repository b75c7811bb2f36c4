//! A guest in miniature: fills mailboxes in guest memory and rings.

use std::path::Path;
use std::sync::{Arc, Mutex};

use instar_abi::layout::{self, BASE, HEAP, MIN_BYTES};
use instar_abi::mailbox::{REQUESTS_AT, RESULTS_AT};
use instar_abi::request::{ExtentRecord, Op, status};
use instar_abi::{FileFacts, RawRequest, RawResult, Slot};
use instar_engine::{Engine, Files, Options, ReportLimits, Sink, TargetOptions};
use instar_memory::{GuestMemory, Next, Violation};

/// What came to the sink.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) reports: Mutex<Vec<Vec<u8>>>,
    pub(crate) progress: Mutex<Vec<(u64, u64)>>,
}

struct Ear(Arc<Heard>);

impl Sink for Ear {
    fn report(&self, _: &Files, bytes: Vec<u8>) -> Result<(), Violation> {
        if bytes == b"nonsense" {
            return Err(Violation::BadReport);
        }
        self.0.reports.lock().unwrap().push(bytes);
        Ok(())
    }

    fn progress(&self, done: u64, total: u64) {
        self.0.progress.lock().unwrap().push((done, total));
    }
}

pub(crate) struct Guest {
    pub(crate) memory: Arc<GuestMemory>,
    pub(crate) engine: Engine<Arc<GuestMemory>>,
    pub(crate) heard: Arc<Heard>,
}

impl Guest {
    pub(crate) fn new(files: Files) -> Self {
        Self::limited(files, ReportLimits::default())
    }

    pub(crate) fn limited(files: Files, limits: ReportLimits) -> Self {
        let memory = Arc::new(GuestMemory::private(MIN_BYTES).unwrap());
        let heard = Arc::new(Heard::default());
        let ear = Box::new(Ear(Arc::clone(&heard)));
        Self {
            engine: Engine::new(files, Arc::clone(&memory), ear, limits),
            memory,
            heard,
        }
    }

    /// Rings with a batch.
    pub(crate) fn ring(&self, lane: u32, batch: &[RawRequest]) -> (Next, Vec<RawResult>) {
        let mailbox = layout::mailbox(lane) - BASE;
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&u32::try_from(batch.len()).unwrap().to_ne_bytes());
        self.memory.write(mailbox, &header).unwrap();
        for (n, raw) in batch.iter().enumerate() {
            self.memory
                .write(mailbox + (REQUESTS_AT + n * 64) as u64, &bytes_of(raw))
                .unwrap();
        }
        let next = self.engine.serve(lane);
        let results = (0..batch.len())
            .map(|n| {
                let mut bytes = [0; 24];
                self.memory
                    .read(mailbox + (RESULTS_AT + n * 24) as u64, &mut bytes)
                    .unwrap();
                let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
                let long = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap());
                RawResult {
                    status: word(0),
                    detail: word(4),
                    value: long(8),
                    extra: long(16),
                }
            })
            .collect();
        (next, results)
    }

    /// Rings with one request that ends well or with a status.
    pub(crate) fn ask(&self, raw: RawRequest) -> Result<RawResult, u32> {
        let (next, results) = self.ring(0, &[raw]);
        assert_eq!(next, Next::Continue);
        match results[0].status {
            status::OK => Ok(results[0]),
            other => Err(other),
        }
    }

    pub(crate) fn put(&self, at: u64, bytes: &[u8]) {
        self.memory.write(at - BASE, bytes).unwrap();
    }

    pub(crate) fn get(&self, at: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.memory.read(at - BASE, &mut bytes).unwrap();
        bytes
    }

    pub(crate) fn write(&self, slot: Slot, offset: u64, bytes: &[u8]) -> Result<RawResult, u32> {
        self.put(HEAP, bytes);
        self.ask(request(Op::WRITE, slot, offset, bytes.len() as u64))
    }

    pub(crate) fn read(&self, slot: Slot, offset: u64, length: usize) -> Vec<u8> {
        self.put(HEAP, &vec![0xee; length]);
        let result = self.ask(request(Op::READ, slot, offset, length as u64)).unwrap();
        let read = usize::try_from(result.value).unwrap();
        assert_eq!(self.get(HEAP, length)[read..], vec![0xee; length - read]);
        self.get(HEAP, read)
    }

    pub(crate) fn open(&self, namer: Slot, name: &str) -> Result<RawResult, u32> {
        self.open_as(namer, 0, name.as_bytes())
    }

    pub(crate) fn open_as(&self, namer: Slot, role: u32, name: &[u8]) -> Result<RawResult, u32> {
        self.put(HEAP, name);
        let raw = request(Op::OPEN, namer, 0, name.len() as u64);
        self.ask(RawRequest { flags: role, ..raw })
    }

    pub(crate) fn extents(&self, slot: Slot, offset: u64, length: u64, room: u64) -> Vec<ExtentRecord> {
        let raw = RawRequest {
            extra: room * 16,
            ..request(Op::EXTENTS, slot, offset, length)
        };
        let count = self.ask(raw).unwrap().value;
        let bytes = self.get(HEAP, usize::try_from(count * 16).unwrap());
        bytes
            .chunks(16)
            .map(|record| ExtentRecord {
                length: u64::from_ne_bytes(record[..8].try_into().unwrap()),
                data: u64::from_ne_bytes(record[8..].try_into().unwrap()),
            })
            .collect()
    }
}

/// A request whose buffer, if it has one, is the start of the heap.
pub(crate) fn request(op: Op, slot: Slot, offset: u64, length: u64) -> RawRequest {
    RawRequest {
        op: op.0,
        slot: slot.0,
        offset,
        length,
        address: HEAP,
        ..RawRequest::default()
    }
}

fn bytes_of(raw: &RawRequest) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in [raw.op, raw.flags, raw.slot, raw.other] {
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    for long in [
        raw.offset,
        raw.other_offset,
        raw.length,
        raw.address,
        raw.extra,
        raw.reserved,
    ] {
        bytes.extend_from_slice(&long.to_ne_bytes());
    }
    bytes
}

/// Files with default options.
pub(crate) fn files() -> Files {
    Files::new(&Options::default()).unwrap()
}

pub(crate) fn source(files: &Files, path: &Path) -> FileFacts {
    files.source(path, false).unwrap()
}

pub(crate) fn target(files: &Files, path: &Path) -> FileFacts {
    files.target(path, &TargetOptions::default()).unwrap()
}

/// A named pipe.
pub(crate) fn make_fifo(path: &Path) {
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// Bytes that differ from place to place.
pub(crate) fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3] | 1
        })
        .collect()
}
