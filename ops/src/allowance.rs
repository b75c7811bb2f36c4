//! Work in proportion to what is physically there.

use instar_disk::{Fault, Result, fault};

/// What a run of guest bytes costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    None,
    Read,
    Decode,
    /// An answer of the tables, whatever it is; measured in eighths of a byte of theirs.
    Look,
}

/// How much data may come of a source: an image whose tables point at the same bytes again and again is an attack.
pub(crate) struct Allowance {
    physical: u64,
    data: u64,
    decoded: u64,
    looks: u64,
}

impl Allowance {
    /// Plain bytes: every byte of a sound image is mapped once. Ours: twice, and a little for tiny files.
    const DATA_FACTOR: u64 = 2;
    const DATA_SLACK: u64 = 64 << 20;
    /// Decoded bytes: deflate cannot do better than 1032 to 1. Ours: that, and a gigabyte for better codecs.
    const DECODED_FACTOR: u64 = 1100;
    const DECODED_SLACK: u64 = 1 << 30;
    /// Answers, in eighths of a byte. Ours: what there is, and some for what is not in tables.
    const LOOKS_FACTOR: u64 = 8;
    const LOOKS_SLACK: u64 = 4 << 20;
    /// Bytes of tables beside those that the files have. Ours.
    const TABLES_SLACK: u64 = 16 << 20;

    /// For a source whose files have `physical` bytes.
    pub(crate) const fn new(physical: u64) -> Self {
        Self {
            physical,
            data: 0,
            decoded: 0,
            looks: 0,
        }
    }

    /// Whether so many bytes of tables are more than walking through them once can take.
    ///
    /// # Errors
    /// `LOOK_LIMIT`.
    pub(crate) fn check_tables(&self, read: u64) -> Result<()> {
        let limit = self
            .physical
            .saturating_mul(Self::DATA_FACTOR)
            .saturating_add(Self::TABLES_SLACK);
        if read > limit {
            return Err(Fault::new(fault::core::TABLES_LIMIT).with([self.physical, read]));
        }
        Ok(())
    }

    fn look(&mut self, cost: u64) -> Result<()> {
        let limit = self
            .physical
            .saturating_mul(Self::LOOKS_FACTOR)
            .saturating_add(Self::LOOKS_SLACK);
        self.looks = self.looks.saturating_add(cost);
        if self.looks > limit {
            let answers = self.looks.checked_div(cost).unwrap_or(0);
            return Err(Fault::new(fault::core::LOOK_LIMIT).with([self.physical, answers]));
        }
        Ok(())
    }

    /// Takes `length` bytes off.
    ///
    /// # Errors
    /// `WORK_LIMIT`.
    pub(crate) fn spend(&mut self, effort: Effort, length: u64) -> Result<()> {
        let (spent, factor, slack) = match effort {
            Effort::None => return Ok(()),
            Effort::Read => (&mut self.data, Self::DATA_FACTOR, Self::DATA_SLACK),
            Effort::Look => return self.look(length),
            Effort::Decode => (&mut self.decoded, Self::DECODED_FACTOR, Self::DECODED_SLACK),
        };
        *spent = spent.saturating_add(length);
        if *spent > self.physical.saturating_mul(factor).saturating_add(slack) {
            return Err(Fault::new(fault::core::WORK_LIMIT).with([self.physical, *spent]));
        }
        Ok(())
    }
}
