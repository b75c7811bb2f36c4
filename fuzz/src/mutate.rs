//! Changes of cases that keep them cases.
//!
//! ```text
//!  bytes ─► pieces ─► one is changed ─► files ─► checksums, magics and costs are put right, mostly ─► bytes
//! ```

use crate::case::{FILES, Piece, encode, pieces};
use crate::{Case, Dice};

/// Changes bytes without knowing what they are; may make them longer, up to so many bytes.
pub type Blind<'a> = dyn FnMut(&mut Vec<u8>, usize) + 'a;

/// Makes an image right that was changed.
pub type Repair = fn(&mut Case, &mut Dice);

/// Bytes of an input that are enough for every structure. Ours.
pub const LONGEST: usize = 128 << 10;

/// Bytes of a piece: what its length field has room for.
const PIECE: usize = u16::MAX as usize;

/// Changes a case. `blind` does it where nothing better is known.
pub fn case(input: &mut Vec<u8>, dice: &mut Dice, blind: &mut Blind<'_>, repair: Repair) {
    let (mut seed, mut all) = pieces(input);
    for _ in 0..=dice.below(3) {
        change(&mut seed, &mut all, dice, blind);
    }
    let mut case = Case::assemble(seed, &all);
    if dice.one_in(8) {
        // As it came out, with pieces that cover each other.
        *input = encode(seed, &all);
        return;
    }
    repair(&mut case, dice);
    *input = case.encode();
}

fn change(seed: &mut u64, all: &mut Vec<Piece>, dice: &mut Dice, blind: &mut Blind<'_>) {
    let number = dice.index(all.len());
    let Some(piece) = all.get_mut(number) else {
        all.push(Piece {
            file: 0,
            offset: dice.below(1 << 20),
            bytes: vec![0; 64],
        });
        return;
    };
    match dice.below(12) {
        0..4 => blind(&mut piece.bytes, PIECE),
        4..8 => word(&mut piece.bytes, piece.offset, dice),
        8 => *seed = dice.roll(),
        9 => piece.offset = place(piece.offset, dice),
        10 => {
            let mut copy = piece.clone();
            copy.offset = place(copy.offset, dice);
            copy.file = dice.index(FILES);
            all.push(copy);
        }
        _ => {
            all.remove(number);
        }
    }
}

/// Another place near by, or one that begins a unit.
fn place(old: u64, dice: &mut Dice) -> u64 {
    let unit = 1 << dice.below(21);
    match dice.below(3) {
        0 => old.saturating_add(unit),
        1 => old.saturating_sub(unit),
        _ => dice.scaled(37) / unit * unit,
    }
}

/// Replaces a number by one that a format might trip over.
fn word(bytes: &mut [u8], offset: u64, dice: &mut Dice) {
    let width = dice.of(&[1, 2, 4, 4, 8, 8]);
    if bytes.len() < width {
        return;
    }
    // Fields are aligned in the file, not in the piece.
    let skew = (offset % width as u64) as usize;
    let at = (width - skew) % width + dice.index(bytes.len() / width) * width;
    let Some(field) = bytes.get_mut(at..at + width) else {
        return;
    };
    let mut wide = [0; 8];
    let big = dice.one_in(2);
    match big {
        true => wide[8 - width..].copy_from_slice(field),
        false => wide[..width].copy_from_slice(field),
    }
    let old = if big {
        u64::from_be_bytes(wide)
    } else {
        u64::from_le_bytes(wide)
    };
    let new = number(old, dice);
    match big {
        true => field.copy_from_slice(&new.to_be_bytes()[8 - width..]),
        false => field.copy_from_slice(&new.to_le_bytes()[..width]),
    }
}

fn number(old: u64, dice: &mut Dice) -> u64 {
    let power = 1_u64 << dice.below(64);
    match dice.below(8) {
        0 => old.wrapping_add(1 + dice.below(4)),
        1 => old.wrapping_sub(1 + dice.below(4)),
        2 => old ^ power,
        3 => power,
        4 => power.wrapping_sub(1),
        5 => old.wrapping_mul(2),
        6 => dice.of(&[0, u64::MAX, i64::MAX.unsigned_abs(), 512, 4096, 65536, 1 << 20]),
        _ => dice.scaled(24),
    }
}

/// Changes plain bytes by the same means, for inputs that are no cases.
pub fn plain(input: &mut Vec<u8>, dice: &mut Dice, blind: &mut Blind<'_>) {
    match dice.one_in(4) {
        true => word(input, 0, dice),
        false => blind(input, LONGEST),
    }
}

/// What stands in for the engine's own changes in ordinary tests: bytes are flipped, replaced, removed, repeated or inserted.
pub fn blind(dice: &mut Dice) -> impl FnMut(&mut Vec<u8>, usize) + use<> {
    let mut dice = Dice::new(dice.roll());
    move |bytes, longest| {
        let at = dice.index(bytes.len());
        match (dice.below(5), bytes.get_mut(at)) {
            (0, Some(byte)) => *byte ^= 1 << dice.below(8),
            (1, Some(byte)) => *byte = dice.roll() as u8,
            (2, Some(_)) => {
                let end = bytes.len().min(at + 1 + dice.index(16));
                bytes.drain(at..end);
            }
            (3, Some(_)) => {
                let end = bytes.len().min(at + 1 + dice.index(16));
                let part = bytes[at..end].to_vec();
                let to = dice.index(bytes.len());
                bytes.splice(to..to, part);
            }
            _ => bytes.insert(at, dice.roll() as u8),
        }
        bytes.truncate(longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_case_is_a_case_of_bounded_length() {
        let mut input = Case::of(&[&[3; 3000], b"beside"]).encode();
        let mut dice = Dice::new(1);
        let mut kinds = std::collections::BTreeSet::new();
        for _ in 0..2000 {
            let mut blind = blind(&mut dice.clone());
            case(&mut input, &mut dice, &mut blind, |_, _| {});
            kinds.insert(Case::decode(&input).files.map(|file| file.len()));
            if input.len() > LONGEST {
                input = Case::of(&[&[3; 3000], b"beside"]).encode();
            }
        }
        assert!(kinds.len() > 100, "{}", kinds.len());
    }

    #[test]
    fn the_same_dice_change_in_the_same_way() {
        let change = || {
            let mut input = Case::of(&[&[3; 3000]]).encode();
            let mut dice = Dice::new(7);
            for _ in 0..50 {
                let mut blind = blind(&mut dice);
                case(&mut input, &mut dice, &mut blind, |_, _| {});
            }
            input
        };
        assert_eq!(change(), change());
    }
}
