//! Changes of bytes that make an image nearly valid: a field found by following pointers, a value for it, checksums made right.

use std::path::Path;

use instar_tests::seal::Edited;

/// A change of one file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Edit {
    pub(crate) file: String,
    pub(crate) change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Change {
    /// An integer is replaced.
    Number(Spot, Number, Value),
    /// Bytes are replaced.
    Bytes(Spot, Vec<u8>),
    /// The file gets another length: so many thousandths of it, and bytes more or less.
    Length(u64, i64),
    /// The checksums of a format are made right.
    Seal(Seal),
}

/// A place in a file: pointers that are followed, and an offset from where they lead.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    pub(crate) hops: Vec<Hop>,
    pub(crate) offset: u64,
    /// The offset counts from the end of the file.
    pub(crate) from_end: bool,
}

/// A pointer: where it is, seen from where the last one led; how it is written; the unit that it counts in, and which of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hop {
    pub(crate) at: u64,
    pub(crate) number: Number,
    pub(crate) unit: u64,
    pub(crate) mask: u64,
}

/// How an integer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Number {
    pub(crate) bytes: usize,
    pub(crate) big: bool,
}

/// What replaces an integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    Exactly(u64),
    Plus(u64),
    Times(u64),
    Flip(u32),
    /// The length of the file in such units, and some more of them.
    End(u64, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Seal {
    Vhd,
    Vhdx,
}

impl Edit {
    /// Carries it out in `directory`. What is out of reach is left alone.
    pub(crate) fn apply(&self, directory: &Path) {
        let path = directory.join(&self.file);
        if !path.exists() {
            return;
        }
        let file = Edited::open(&path);
        match &self.change {
            Change::Number(spot, number, value) => {
                if let Some(at) = spot.find(&file)
                    && let Some(old) = number.read(&file, at)
                {
                    number.write(&file, at, value.of(old, file.end()));
                }
            }
            Change::Bytes(spot, bytes) => {
                if let Some(at) = spot
                    .find(&file)
                    .filter(|at| at + bytes.len() as u64 <= file.end())
                {
                    file.put(at, bytes);
                }
            }
            Change::Length(thousandths, more) => {
                let length = (file.end() * thousandths / 1000).saturating_add_signed(*more);
                file.length(length.min(MOST));
            }
            Change::Seal(seal) => seal.apply(&file),
        }
    }
}

impl Spot {
    fn find(&self, file: &Edited) -> Option<u64> {
        let mut base = 0_u64;
        for hop in &self.hops {
            let value = hop.number.read(file, base.checked_add(hop.at)?)?;
            base = (value & hop.mask).checked_mul(hop.unit)?;
        }
        if self.from_end {
            return file.end().checked_sub(self.offset);
        }
        base.checked_add(self.offset)
    }
}

impl Number {
    fn read(self, file: &Edited, at: u64) -> Option<u64> {
        if at.checked_add(self.bytes as u64)? > file.end() {
            return None;
        }
        let mut bytes = file.get(at, self.bytes);
        if self.big {
            bytes.reverse();
        }
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        )
    }

    fn write(self, file: &Edited, at: u64, value: u64) {
        let mut bytes = value.to_le_bytes()[..self.bytes].to_vec();
        if self.big {
            bytes.reverse();
        }
        file.put(at, &bytes);
    }
}

impl Value {
    fn of(self, old: u64, end: u64) -> u64 {
        match self {
            Self::Exactly(value) => value,
            Self::Plus(more) => old.wrapping_add(more),
            Self::Times(factor) => old.wrapping_mul(factor),
            Self::Flip(bit) => old ^ 1_u64.wrapping_shl(bit),
            Self::End(unit, more) => (end / unit).wrapping_add(more),
        }
    }
}

impl Seal {
    fn apply(self, file: &Edited) {
        match self {
            Self::Vhd => {
                let end = file.end();
                if end >= 512 && file.get(end - 512, 8) == b"conectix" {
                    file.seal_vhd_footer(end - 512);
                }
                if end >= 2048 && file.get(0, 8) == b"conectix" {
                    file.seal_vhd_footer(0);
                    file.seal_vhd_header();
                }
            }
            Self::Vhdx => {
                if file.end() < 1 << 20 {
                    return;
                }
                for (at, length) in [(64, 4096), (128, 4096), (192, 65536), (256, 65536)] {
                    file.seal_vhdx(at << 10, length);
                }
            }
        }
    }
}

/// Bytes of the longest file that an edit makes.
const MOST: u64 = 64 << 20;
