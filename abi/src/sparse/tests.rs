#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "small numbers of our own"
)]

use alloc::vec::Vec;

use super::*;

#[test]
fn a_minimum_is_whole_sectors_up_to_16_mebibytes() {
    for bad in [0, 1, 511, 513, 768, (16 << 20) + 512, u64::MAX, 1 << 63] {
        assert_eq!(Sparse::new(bad), None, "{bad}");
    }
    for (minimum, granule) in [
        (512, 512),
        (5120, 4096),
        (12 << 10, 8 << 10),
        (3 << 20, 2 << 20),
        (16 << 20, 16 << 20),
    ] {
        let sparse = Sparse::new(minimum).unwrap();
        assert_eq!((sparse.granule(), sparse.minimum()), (granule, minimum));
    }
}

/// The rule said in another way: sector by sector, with the whole stretch at hand.
fn expected(sectors: &[bool], start: u64, sparse: Sparse) -> Vec<bool> {
    let granule = |at: usize| (start / 512 + at as u64) / (sparse.granule() / 512);
    let data: Vec<bool> = (0..sectors.len())
        .map(|at| (0..sectors.len()).any(|other| sectors[other] && granule(other) == granule(at)))
        .collect();
    let mut left_out: Vec<bool> = data.iter().map(|data| !data).collect();
    let mut at = 0;
    while at < data.len() {
        let length = data[at..].iter().take_while(|other| **other == data[at]).count();
        let inner = at > 0 && at + length < data.len();
        if !data[at] && inner && (length as u64) * 512 < sparse.minimum() {
            left_out[at..at + length].fill(false);
        }
        at += length;
    }
    left_out
}

#[test]
fn says_the_same_whatever_the_pieces() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) % below
    };
    for round in 0..3000_u64 {
        let sparse = Sparse::new(512 * (1 + next(40))).unwrap();
        let start = 512 * next(64);
        let mut sectors = Vec::new();
        while sectors.len() < 200 {
            let data = next(2) == 0;
            let run = 1 + next([4, 30, 100][usize::try_from(round % 3).unwrap()]);
            sectors.extend((0..run).map(|_| data));
        }
        let mut sieve = Sieve::new(sparse, start);
        let mut found: Vec<Option<bool>> = (0..sectors.len()).map(|_| None).collect();
        let mut last = start;
        let mut note = |range: Range<u64>, zero: bool| {
            assert_eq!(range.start, last, "in order, without a gap");
            assert!(range.end > range.start);
            last = range.end;
            for at in (range.start - start) / 512..(range.end - start) / 512 {
                found[usize::try_from(at).unwrap()] = Some(zero);
            }
        };
        let mut at = 0;
        while at < sectors.len() {
            let run = sectors[at..]
                .iter()
                .take_while(|other| **other == sectors[at])
                .count();
            let step = run.min(1 + usize::try_from(next(20)).unwrap());
            sieve.take(step as u64 * 512, !sectors[at], &mut note);
            assert!(sieve.waiting() <= sieve.at());
            at += step;
        }
        sieve.end(&mut note);
        let found: Vec<bool> = found.into_iter().map(Option::unwrap).collect();
        assert_eq!(
            found,
            expected(&sectors, start, sparse),
            "{sparse:?} {start} {sectors:?}"
        );
    }
}

#[test]
fn offsets_at_the_end_of_all_numbers_do_no_harm() {
    let mut sieve = Sieve::new(Sparse::new(16 << 20).unwrap(), u64::MAX - 600);
    sieve.take(512, true, |_, _| {});
    sieve.take(512, false, |_, _| {});
    sieve.take(u64::MAX, true, |_, _| {});
    sieve.end(|range, _| assert!(range.start <= range.end));
}
