//! Packed files: a disk that goes straight into a raw file is the one that is read from a temporary file.

use instar_abi::job::{Bounds, Source, Verb};
use instar_testkit::{Content, packed};

use crate::jobs::{conversion, raw, run};
use crate::memory::Memory;
use crate::seeds::disk;

/// Bytes that are unpacked at most.
const LARGEST: u64 = 8 << 20;

/// Reads the input both ways.
///
/// # Panics
/// If one of them gives another disk, or fails alone.
pub fn judge(input: &[u8]) {
    let copy = |salvage| {
        let memory = Memory::default();
        let files = [
            memory.source(&Content::from(input)),
            memory.fresh(),
            memory.fresh(),
        ];
        let mut source = Source::new(files[0].slot, None);
        source.spool = Some(files[1].slot);
        let mut convert = conversion(source, raw(files[2].slot));
        // What cannot be read is to be zeros, for which the place of every byte must be known.
        convert.salvage = salvage;
        let bounds = Bounds {
            virtual_size: LARGEST,
            ..Bounds::default()
        };
        let ended = run(&memory, &files, Verb::Convert(convert), bounds).end;
        ended.map(|_| memory.content(files[2].slot).bytes())
    };
    match (copy(false), copy(true)) {
        (Ok(through), Ok(spooled)) => assert!(through == spooled, "two disks"),
        (Err(_), Err(_)) => {}
        (through, spooled) => panic!("{:?} {:?}", through.map(|_| ()), spooled.map(|_| ())),
    }
}

/// What the programs make of a small disk, in one stream and in two.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let disk = disk();
    let (first, second) = disk.split_at(100_000);
    let programs = [("gzip", "-1"), ("xz", "-0"), ("zstd", "-1")];
    let streams = programs.into_iter().flat_map(|(program, level)| {
        let stream = |bytes| packed(program, &["-c", level], bytes);
        [stream(&disk), [stream(first), stream(second)].concat()]
    });
    streams.collect()
}
