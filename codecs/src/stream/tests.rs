use instar_testkit::packed;

use super::{Packing, Trouble, Unpacker};

/// What comes of `stream`, given and taken in such pieces.
fn unpacked(stream: &[u8], piece: usize, room: usize) -> Result<Vec<u8>, Trouble> {
    let mut unpacker = Unpacker::new(Packing::of(stream).ok_or(Trouble::Damaged)?)?;
    let mut whole = Vec::new();
    let mut output = vec![0; room];
    let mut at = 0_usize;
    loop {
        let end = stream.len().min(at.saturating_add(piece));
        let step = unpacker.step(&stream[at..end], &mut output, end == stream.len())?;
        whole.extend_from_slice(&output[..step.filled]);
        at = at.saturating_add(step.used);
        if at == stream.len() && step.filled == 0 && step.used == 0 {
            return Ok(whole);
        }
    }
}

fn disk() -> Vec<u8> {
    let words = (0..20_000_u32).flat_map(|number| format!("{} ", number / 7).into_bytes());
    let zeros = std::iter::repeat_n(0, 200_000);
    words.chain(zeros).chain([7; 3]).collect()
}

const WORDS: [(&str, &[&str]); 10] = [
    ("gzip", &["-c"]),
    ("gzip", &["-c", "-1"]),
    ("xz", &["-c"]),
    ("xz", &["-c", "-0", "--check=none"]),
    ("xz", &["-c", "--check=sha256", "--block-size=10001"]),
    ("xz", &["-c", "--x86", "--lzma2=dict=8MiB"]),
    ("zstd", &["-c"]),
    ("zstd", &["-c", "-19", "--check"]),
    ("zstd", &["-c", "--no-check", "-T2", "-B100000"]),
    ("zstd", &["-c", "--fast=5"]),
];

#[test]
fn what_the_programs_pack_is_unpacked_in_pieces_of_any_size() {
    let disk = disk();
    for (program, words) in WORDS {
        let stream = packed(program, words, &disk);
        assert_eq!(Packing::of(&stream).map(Packing::name), Some(program));
        for (piece, room) in [(1, 64), (7, 100_000), (65_536, 1 << 20), (1 << 20, 4096)] {
            let whole = unpacked(&stream, piece, room);
            assert!(whole.as_ref() == Ok(&disk), "{program} {words:?} {piece} {room}");
        }
    }
}

#[test]
fn streams_that_follow_each_other_are_one() {
    let disk = disk();
    for (program, words) in WORDS {
        let (first, second) = disk.split_at(100_003);
        let empty = packed(program, words, &[]);
        let mut stream = packed(program, words, first);
        stream.extend(packed(program, words, second));
        stream.extend(empty);
        assert!(
            unpacked(&stream, 4096, 4096).as_ref() == Ok(&disk),
            "{program} {words:?}"
        );
    }
}

#[test]
fn an_empty_disk_is_a_stream_as_well() {
    for (program, words) in WORDS {
        let stream = packed(program, words, &[]);
        assert_eq!(unpacked(&stream, 100, 100), Ok(Vec::new()), "{program} {words:?}");
    }
}

#[test]
fn a_stream_is_not_cut_short_anywhere() {
    let disk = &disk()[..3000];
    for (program, words) in WORDS {
        let stream = packed(program, words, disk);
        for end in Packing::MARK_BYTES..stream.len() {
            let outcome = unpacked(&stream[..end], 512, 512);
            assert_eq!(outcome, Err(Trouble::CutShort), "{program} {words:?} {end}");
        }
    }
}

/// Bytes of a header that mean nothing for the disk may change: a time, a name, how hard the program tried.
#[test]
fn a_changed_byte_is_found_or_means_nothing() {
    let disk = &disk()[..3000];
    for (program, words) in WORDS {
        let unchecked = words
            .iter()
            .any(|word| word.contains("check=none") || word.contains("no-check"));
        let stream = packed(program, words, disk);
        for at in 0..stream.len() {
            let mut changed = stream.clone();
            changed[at] ^= 0x10;
            let outcome = unpacked(&changed, 512, 512);
            let is_sound = outcome.is_err() || outcome.as_deref() == Ok(disk);
            assert!(is_sound || unchecked, "{program} {words:?} {at}");
        }
    }
}

#[test]
fn zeros_may_follow_and_nothing_else() {
    let disk = &disk()[..3000];
    for (program, words) in WORDS {
        let stream = packed(program, words, disk);
        let mut padded = stream.clone();
        padded.resize(stream.len().next_multiple_of(512), 0);
        let outcome = unpacked(&padded, 100, 512);
        if program == "zstd" {
            assert!(outcome.is_err(), "as for zstd itself");
        } else {
            assert!(outcome.as_deref() == Ok(disk), "{program}");
        }
        let mut followed = stream;
        followed.extend(b"something else");
        assert!(unpacked(&followed, 100, 512).is_err(), "{program} {words:?}");
    }
}
