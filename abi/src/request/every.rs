//! Every 64-byte request over the boundary values of every field, against a judge of a few lines that shares no code with
//! [`Request::parse`].

#![allow(
    clippy::arithmetic_side_effects,
    reason = "the judge counts in 128 bits, and what it adds was accepted before"
)]

use super::*;
use crate::layout::{HEAP, MIN_BYTES};

const END: u64 = BASE + MIN_BYTES;
const MOST: u64 = u64::MAX;

/// Below the first operation to past the last.
const OPS: core::ops::Range<u32> = 0..22;
const FLAGS: [u32; 6] = [0, 1, 2, 3, 4, u32::MAX];
const OFFSETS: [u64; 7] = [0, 1, FILE_END - TRANSFER, FILE_END - 1, FILE_END, MOST - 1, MOST];
const OTHER_OFFSETS: [u64; 4] = [0, FILE_END - TRANSFER, FILE_END - 1, MOST];
const LENGTHS: [u64; 11] = [
    0,
    1,
    4096,
    4097,
    1 << 20,
    (1 << 20) + 1,
    TRANSFER,
    TRANSFER + 1,
    FILE_END - 1,
    FILE_END,
    MOST,
];
const ADDRESSES: [u64; 13] = [
    0,
    BASE - 1,
    BASE,
    BASE + 4,
    STACKS - 1,
    STACKS,
    HEAP + 2,
    END - 4097,
    END - 4096,
    END - 4,
    END - 1,
    END,
    MOST,
];
const EXTRAS: [u64; 10] = [0, 1, 16, 511, 512, 513, 1 << 24, (1 << 24) + 512, 1 << 32, MOST];
const RESERVED: [u64; 2] = [0, 1];

/// What is wrong with it, if anything: numbers are wide enough that nothing wraps, and every rule is one line.
fn refused(raw: &RawRequest) -> bool {
    let wide = |value: u64| i128::from(value);
    let past_file = |offset: u64| wide(offset) + wide(raw.length) >= 1 << 63;
    let outside = |first: u64, bytes: u64| {
        wide(raw.address) < wide(first) || wide(raw.address) + wide(bytes) > wide(END)
    };
    let long = |bytes: u64, most: i128| wide(bytes) > most;
    let transfer = || past_file(raw.offset) || long(raw.length, 64 << 20) || outside(STACKS, raw.length);
    let named = |most| long(raw.length, most) || outside(STACKS, raw.length);
    let minimum = || raw.extra != 0 && (!raw.extra.is_multiple_of(512) || raw.extra > 16 << 20);
    let word = || !raw.address.is_multiple_of(4) || outside(BASE, 4);
    let wrong = match raw.op {
        1 | 2 => transfer(),
        3 => past_file(raw.offset) || past_file(raw.other_offset) || minimum() || raw.flags > 3,
        4 => past_file(raw.offset) || raw.flags > 1,
        5 | 15 => past_file(raw.offset),
        6 => past_file(raw.offset) || long(raw.extra, 64 << 20) || outside(STACKS, raw.extra),
        7 => past_file(0) || raw.flags > 2,
        8 | 11 | 14 | 17 | 18 => false,
        9 => named(4096) || raw.flags > 3,
        10 => named(1 << 20),
        19 | 20 => named(64 << 20),
        12 => word() || raw.extra > 0xffff_ffff,
        13 => word(),
        16 => {
            past_file(raw.offset)
                || long(raw.length, 64 << 20)
                || raw.flags > 1
                || raw.flags == 0 && past_file(raw.other_offset)
        }
        _ => true,
    };
    wrong || raw.reserved != 0
}

/// The fields of the request as they were parsed must be those that were sent.
#[expect(
    clippy::too_many_lines,
    reason = "one arm for each operation, read side by side"
)]
fn is_faithful(raw: &RawRequest, request: &Request) -> bool {
    let slot = Slot(raw.slot);
    let memory =
        |range: &GuestRange, length: u64| range.start + BASE == raw.address && range.length == length;
    match request {
        Request::Read {
            slot: to,
            offset,
            into: range,
        }
        | Request::Write {
            slot: to,
            offset,
            from: range,
        } => *to == slot && *offset == raw.offset && memory(range, raw.length),
        Request::Copy(copy) => {
            copy.to_raw()
                == RawRequest {
                    address: 0,
                    reserved: 0,
                    ..*raw
                }
        }
        Request::Zero {
            slot: to,
            offset,
            length,
            ..
        }
        | Request::Discard {
            slot: to,
            offset,
            length,
        }
        | Request::Advise {
            slot: to,
            offset,
            length,
        } => *to == slot && *offset == raw.offset && *length == raw.length,
        Request::Extents {
            slot: to,
            offset,
            length,
            into,
        } => *to == slot && *offset == raw.offset && *length == raw.length && memory(into, raw.extra),
        Request::Resize { slot: to, length, .. } => *to == slot && *length == raw.length,
        Request::Flush { slot: to } | Request::Allocated { slot: to } => *to == slot,
        Request::Sharable { source, target } => *source == slot && target.0 == raw.other,
        Request::Open { namer, role, name } => {
            *namer == slot && role.number() == raw.flags && memory(name, raw.length)
        }
        Request::Report { bytes } => memory(bytes, raw.length),
        Request::Progress { done, total } => *done == raw.offset && *total == raw.length,
        Request::Wait { word, expected } => memory(word, 4) && u64::from(*expected) == raw.extra,
        Request::Wake { word } => memory(word, 4),
        Request::Compare(compare) => {
            let other = compare.other.map(|(slot, offset)| (slot.0, offset));
            let sent = (raw.flags == 0).then_some((raw.other, raw.other_offset));
            compare.slot == slot
                && compare.offset == raw.offset
                && compare.length == raw.length
                && other == sent
        }
        Request::Receive {
            slot: of,
            into: range,
        }
        | Request::Send {
            slot: of,
            from: range,
        } => *of == slot && memory(range, raw.length),
        Request::Exit => true,
    }
}

#[test]
fn every_request_over_boundary_values_is_judged_as_the_rules_say() {
    let (mut seen, mut accepted) = (0_u64, 0_u64);
    for op in OPS {
        for flags in FLAGS {
            for offset in OFFSETS {
                for other_offset in OTHER_OFFSETS {
                    for length in LENGTHS {
                        for address in ADDRESSES {
                            for extra in EXTRAS {
                                for reserved in RESERVED {
                                    let raw = RawRequest {
                                        op,
                                        flags,
                                        slot: 3,
                                        other: 5,
                                        offset,
                                        other_offset,
                                        length,
                                        address,
                                        extra,
                                        reserved,
                                    };
                                    let request = Request::parse(&raw, MIN_BYTES);
                                    assert_eq!(request.is_err(), refused(&raw), "{raw:?}: {request:?}");
                                    if let Ok(request) = request {
                                        assert!(is_faithful(&raw, &request), "{raw:?}: {request:?}");
                                        accepted += 1;
                                    }
                                    seen += 1;
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    assert!(seen > 9_000_000 && accepted > 500_000);
}
