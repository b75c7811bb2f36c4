use super::*;
use crate::layout::{DEFAULT_BYTES, HEAP, MIN_BYTES};

fn read(address: u64, length: u64) -> RawRequest {
    RawRequest {
        op: Op::READ.0,
        address,
        length,
        ..RawRequest::default()
    }
}

#[test]
fn accepts_a_read_that_ends_where_memory_ends() {
    let raw = read(BASE + DEFAULT_BYTES - 512, 512);
    assert!(Request::parse(&raw, DEFAULT_BYTES).is_ok());
    let raw = read(BASE + DEFAULT_BYTES - 511, 512);
    assert_eq!(
        Request::parse(&raw, DEFAULT_BYTES),
        Err(BadRequest::Address(raw.address))
    );
}

#[test]
fn refuses_a_read_into_the_image() {
    let raw = read(STACKS - 1, 1);
    assert_eq!(
        Request::parse(&raw, DEFAULT_BYTES),
        Err(BadRequest::Address(STACKS - 1))
    );
    let write = RawRequest {
        op: Op::WRITE.0,
        ..raw
    };
    assert!(
        Request::parse(&write, DEFAULT_BYTES).is_err(),
        "constants are not in guest memory"
    );
}

#[test]
fn refuses_addresses_that_wrap() {
    for address in [0, BASE - 1, u64::MAX, u64::MAX - 511, 1 << 63] {
        assert!(
            Request::parse(&read(address, 512), DEFAULT_BYTES).is_err(),
            "{address:#x}"
        );
    }
    assert!(Request::parse(&read(HEAP, u64::MAX), MIN_BYTES).is_err());
}

#[test]
fn refuses_file_ranges_that_no_file_has() {
    let mut raw = read(HEAP, 512);
    raw.offset = u64::MAX;
    assert_eq!(Request::parse(&raw, DEFAULT_BYTES), Err(BadRequest::Length(512)));
    raw.offset = (1 << 63) - 512;
    assert!(Request::parse(&raw, DEFAULT_BYTES).is_err());
    raw.offset -= 1;
    assert!(Request::parse(&raw, DEFAULT_BYTES).is_ok());
}

#[test]
fn refuses_minima_that_are_partial_sectors_or_too_large() {
    let mut raw = RawRequest {
        op: Op::COPY.0,
        length: 4096,
        ..RawRequest::default()
    };
    for (minimum, good) in [
        (0, true),
        (512, true),
        (4096, true),
        (12 << 10, true),
        (1 << 24, true),
        ((1 << 24) + 512, false),
        (1 << 25, false),
        (511, false),
        (768, false),
        (1, false),
        (u64::MAX, false),
        (u64::MAX - 511, false),
    ] {
        raw.extra = minimum;
        assert_eq!(Request::parse(&raw, MIN_BYTES).is_ok(), good, "{minimum}");
    }
}

#[test]
fn every_request_that_parses_stays_inside_guest_memory() {
    // A cheap generator: the point is volume over the corners, not statistical quality.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let corners = [
            0,
            1,
            4,
            512,
            4096,
            BASE,
            BASE - 1,
            STACKS,
            HEAP,
            BASE + MIN_BYTES,
            TRANSFER,
            u64::MAX,
            FILE_END,
            1 << 31,
        ];
        let corner = corners[usize::try_from(state % 14).unwrap()];
        match state >> 62 {
            0 => state,
            1 => corner,
            2 => corner.wrapping_add(state % 8192),
            _ => corner.wrapping_sub(state % 8192),
        }
    };
    for _ in 0..2_000_000 {
        let raw = RawRequest {
            op: u32::try_from(next() % 18).unwrap(),
            flags: u32::try_from(next() % 6).unwrap(),
            slot: u32::try_from(next() % 6).unwrap(),
            other: u32::try_from(next() % 6).unwrap(),
            offset: next(),
            other_offset: next(),
            length: next(),
            address: next(),
            extra: next(),
            reserved: 0,
        };
        let range = match Request::parse(&raw, MIN_BYTES) {
            Ok(Request::Read { into: range, .. } | Request::Extents { into: range, .. }) => {
                assert!(range.start >= STACKS - BASE);
                range
            }
            Ok(
                Request::Write { from: range, .. }
                | Request::Open { name: range, .. }
                | Request::Report { bytes: range }
                | Request::Wait { word: range, .. }
                | Request::Wake { word: range },
            ) => range,
            Ok(Request::Copy(CopyRange {
                sparse: Some(sparse), ..
            })) => {
                assert!(sparse.granule().is_power_of_two() && (512..=16 << 20).contains(&sparse.minimum()));
                assert!(sparse.granule() <= sparse.minimum() && sparse.minimum() / 2 < sparse.granule());
                continue;
            }
            _ => continue,
        };
        assert!(
            range
                .start
                .checked_add(range.length)
                .is_some_and(|end| end <= MIN_BYTES)
        );
    }
}

#[test]
fn a_comparison_is_one_transfer_at_most() {
    let mut raw = RawRequest {
        op: Op::COMPARE.0,
        slot: 1,
        other: 2,
        offset: 512,
        other_offset: 1024,
        length: TRANSFER,
        ..RawRequest::default()
    };
    let parsed = Request::parse(&raw, MIN_BYTES);
    assert_eq!(
        parsed,
        Ok(Request::Compare(CompareRange {
            slot: Slot(1),
            offset: 512,
            other: Some((Slot(2), 1024)),
            length: TRANSFER
        }))
    );
    raw.length += 1;
    assert_eq!(
        Request::parse(&raw, MIN_BYTES),
        Err(BadRequest::Length(TRANSFER + 1))
    );
    raw.length = 512;
    raw.other_offset = u64::MAX;
    assert!(Request::parse(&raw, MIN_BYTES).is_err());
    raw.flags = COMPARE_WITH_ZERO;
    let parsed = Request::parse(&raw, MIN_BYTES);
    assert!(matches!(
        parsed,
        Ok(Request::Compare(CompareRange { other: None, .. }))
    ));
    raw.flags = 2;
    assert_eq!(Request::parse(&raw, MIN_BYTES), Err(BadRequest::Value));
}
