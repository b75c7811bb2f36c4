//! The windows of `dd`, against arithmetic on wide numbers.

use instar_abi::job::{Bounds, Dd, Source, Verb};
use instar_abi::{Format, Slot};
use instar_testkit::Content;

use crate::Dice;
use crate::jobs::{raw, run};
use crate::memory::Memory;

/// Bytes of an input: sectors of the disk, block size, count, skip.
const NUMBERS: usize = 4;

/// Copies the window that the input names out of a disk whose sectors differ.
///
/// # Panics
/// If the copy is not that window.
pub fn judge(input: &[u8]) {
    let mut numbers = [0; NUMBERS];
    for (number, bytes) in numbers.iter_mut().zip(input.as_chunks().0) {
        *number = u64::from_le_bytes(*bytes);
    }
    let [sectors, block_size, count, skip] = numbers;
    let disk: Vec<u8> = (0..sectors % 64 * 512)
        .map(|at| (at / 512 + at % 251) as u8)
        .collect();
    // What the command line lets through.
    let block_size = block_size.clamp(1, i32::MAX.unsigned_abs().into());
    let count = (count != u64::MAX).then_some(count);
    let memory = Memory::default();
    let files = [memory.source(&Content::from(disk.as_slice())), memory.fresh()];
    let ran = run(
        &memory,
        &files,
        Verb::Dd(Dd {
            source: Source::new(Slot(0), Some(Format::Raw)),
            target: raw(Slot(1)),
            block_size,
            count,
            skip,
            sent_to: None,
        }),
        Bounds::default(),
    );
    let wide = |blocks: u64| u128::from(blocks) * u128::from(block_size);
    let end = count.map_or(disk.len() as u128, |count| wide(count).min(disk.len() as u128));
    let start = wide(skip).min(end);
    let done = ran.end.unwrap_or_else(|failure| panic!("{failure:?}"));
    assert_eq!(done.skipped_past_end, wide(skip) > end, "{numbers:?}");
    let window = &disk[start as usize..end as usize];
    let mut copy = memory.content(Slot(1)).bytes();
    assert!(
        copy.len() == window.len().next_multiple_of(512),
        "{} bytes: {numbers:?}",
        copy.len()
    );
    assert!(
        copy.split_off(window.len()).iter().all(|byte| *byte == 0),
        "{numbers:?}"
    );
    assert!(copy == window, "{numbers:?}");
}

/// Usual windows, and the largest numbers.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let of = |numbers: [u64; NUMBERS]| numbers.map(u64::to_le_bytes).concat();
    vec![
        of([8, 512, u64::MAX, 1]),
        of([9, 1000, 3, 2]),
        of([63, 4096, u64::MAX - 1, 0]),
        of([1, 1 << 31, 1, u64::MAX]),
        of([0, 1, 0, 0]),
    ]
}

/// Replaces a number by one that is small, or near a power of two.
pub fn mutate(input: &mut Vec<u8>, dice: &mut Dice, _: &mut crate::mutate::Blind<'_>) {
    input.resize(NUMBERS * 8, 0);
    let at = dice.index(NUMBERS) * 8;
    let near = (1_u64 << dice.below(64))
        .wrapping_add(dice.below(5))
        .wrapping_sub(2);
    let number = if dice.one_in(2) { dice.scaled(16) } else { near };
    input[at..at + 8].copy_from_slice(&number.to_le_bytes());
}
