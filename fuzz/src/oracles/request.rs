//! Any 64 bytes are a request in bounds, or refused.

use instar_abi::layout::BASE;
use instar_abi::limits::{FILE_END, TRANSFER};
use instar_abi::request::{GuestRange, Op};
use instar_abi::{CompareRange, CopyRange, RawRequest, Request};

use crate::Dice;

/// Bytes of a request.
pub const BYTES: usize = 64;

/// Bytes of guest memory.
const MEMORY: u64 = 64 << 20;

/// Puts every 64 bytes to the parser.
///
/// # Panics
/// If a request that it accepts is out of bounds, or says something else than the bytes do.
pub fn judge(input: &[u8]) {
    for bytes in input.as_chunks::<BYTES>().0 {
        let raw = raw(bytes);
        if let Ok(request) = Request::parse(&raw, MEMORY) {
            in_bounds(&raw, request);
        }
    }
}

/// As they lie in a mailbox.
#[must_use]
pub fn raw(bytes: &[u8; BYTES]) -> RawRequest {
    let word = |at: usize| u32::from_ne_bytes(*bytes[at..].first_chunk().unwrap());
    let long = |at: usize| u64::from_ne_bytes(*bytes[at..].first_chunk().unwrap());
    RawRequest {
        op: word(0),
        flags: word(4),
        slot: word(8),
        other: word(12),
        offset: long(16),
        other_offset: long(24),
        length: long(32),
        address: long(40),
        extra: long(48),
        reserved: long(56),
    }
}

/// The other way round.
#[must_use]
pub fn bytes(raw: &RawRequest) -> Vec<u8> {
    let words = [raw.op, raw.flags, raw.slot, raw.other].map(u32::to_ne_bytes);
    let longs = [
        raw.offset,
        raw.other_offset,
        raw.length,
        raw.address,
        raw.extra,
        raw.reserved,
    ]
    .map(u64::to_ne_bytes);
    [words.concat(), longs.concat()].concat()
}

fn in_bounds(raw: &RawRequest, request: Request) {
    let memory = |range: GuestRange| {
        assert!(
            range
                .start
                .checked_add(range.length)
                .is_some_and(|end| end <= MEMORY),
            "{request:?}"
        );
        assert!(
            range.length == 0 || range.start == raw.address - BASE,
            "{raw:?}: {request:?}"
        );
    };
    let file = |offset: u64, length: u64| {
        assert!(
            offset.checked_add(length).is_some_and(|end| end <= FILE_END),
            "{request:?}"
        );
    };
    let buffer = |range: GuestRange| {
        memory(range);
        assert!(range.length <= TRANSFER, "{request:?}");
    };
    match request {
        Request::Read {
            offset, into: range, ..
        }
        | Request::Write {
            offset, from: range, ..
        } => {
            file(offset, range.length);
            buffer(range);
        }
        Request::Copy(copy) => {
            file(copy.source_offset, copy.length);
            file(copy.target_offset, copy.length);
            assert_eq!(Request::parse(&CopyRange::to_raw(copy), MEMORY), Ok(request));
        }
        Request::Compare(compare) => {
            file(compare.offset, compare.length);
            file(compare.other.map_or(0, |(_, offset)| offset), compare.length);
            assert!(compare.length <= TRANSFER, "{request:?}");
            assert_eq!(
                Request::parse(&CompareRange::to_raw(compare), MEMORY),
                Ok(request)
            );
        }
        Request::Zero { offset, length, .. }
        | Request::Discard { offset, length, .. }
        | Request::Advise { offset, length, .. } => file(offset, length),
        Request::Extents {
            offset, length, into, ..
        } => {
            file(offset, length);
            memory(into);
        }
        Request::Resize { length, .. } => file(0, length),
        Request::Open { name: range, .. } | Request::Report { bytes: range } => memory(range),
        Request::Receive { into: range, .. } | Request::Send { from: range, .. } => buffer(range),
        Request::Wait { word, .. } | Request::Wake { word } => {
            memory(word);
            assert!(word.length == 4 && word.start.is_multiple_of(4), "{request:?}");
        }
        Request::Flush { .. }
        | Request::Progress { .. }
        | Request::Allocated { .. }
        | Request::Sharable { .. }
        | Request::Exit => {}
    }
}

/// A request of an operation that exists, with values near what is allowed.
#[must_use]
pub fn plausible(dice: &mut Dice) -> RawRequest {
    let mut number = |bits| match dice.below(8) {
        0 => u64::MAX - dice.scaled(bits),
        1 => (1 << dice.below(64)) - dice.below(2),
        _ => dice.scaled(bits),
    };
    let (offset, other_offset, length, into) = (number(24), number(24), number(20), number(16));
    RawRequest {
        op: 1 + dice.below(u64::from(Op::SEND.0)) as u32,
        flags: dice.scaled(4) as u32,
        slot: dice.scaled(4) as u32,
        other: dice.scaled(4) as u32,
        offset,
        other_offset,
        length,
        address: instar_abi::layout::HEAP.wrapping_add(into / 4 * 4),
        extra: if dice.one_in(2) { 0 } else { 512 << dice.below(12) },
        reserved: u64::from(dice.one_in(64)),
    }
}

/// Inputs of both this target and the engine's.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let mut dice = Dice::new(1);
    let batch = |dice: &mut Dice| (0..8).flat_map(|_| bytes(&plausible(dice))).collect();
    (0..16).map(|_| batch(&mut dice)).collect()
}

/// Replaces, adds or removes a request, or changes one blindly.
pub fn mutate(input: &mut Vec<u8>, dice: &mut Dice, blind: &mut crate::mutate::Blind<'_>) {
    let at = dice.index(input.len() / BYTES) * BYTES;
    let new = bytes(&plausible(dice));
    match dice.below(4) {
        0 if input.len() >= BYTES => {
            input.splice(at..at + BYTES, new);
        }
        1 if input.len() < 256 * BYTES => {
            input.splice(at..at, new);
        }
        2 if input.len() > BYTES => {
            input.drain(at..at + BYTES);
        }
        _ => crate::mutate::plain(input, dice, blind),
    }
}
