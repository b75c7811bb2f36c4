//! The account of work for a source: every answer of its tables, every table byte that is read, and every stored byte that is used.
//!
//! ```text
//!  Chain::map, Chain::status ─► Layer ─► Image ─► answer, Work
//!                                 └────► Account: answers, bytes of tables  ≤ what the file stores
//!                                                 tables, streams used twice ≤ a little
//!                                                 plain bytes                ≤ twice what the file stores
//! ```
//!
//! Each layer of a chain has one account, which is charged without the help of verbs. A sound image uses each table and each stored
//! byte once; ranges without a place in the file, such as zeros and holes, cost an answer and nothing else. A large decoded size
//! is not suspicious, because good codecs make gigabytes of a kilobyte.

use alloc::vec::Vec;

use instar_abi::job::Bounds;
use instar_disk::{
    Action, Extents, Fault, FaultCode, File, FileFacts, FileKind, Host, Kind, Mapping, Result, Seen, Slot,
    Work, fault,
};

use crate::session::Session;

/// Bytes of tables that stand behind one answer at least: the smallest entry. Ours: bits of sector bitmaps are smaller, but every
/// other of their runs is data, of which a sector is at least 512.
const ANSWER: u64 = 4;
/// Answers, in bytes of tables, against what the file stores. Ours: twice, and a quarter of a million for small files.
const ANSWERS_FACTOR: u64 = 2;
const ANSWERS_SLACK: u64 = 1 << 20;
/// Bytes of tables that are read. Ours: a sound image has each table read once or twice, in pieces that may be larger than it; the
/// rest is a fraction of a second, and enough for the largest table that stands in a hole.
const TABLES_FACTOR: u64 = 4;
const TABLES_SLACK: u64 = 1 << 30;
/// Stored bytes. Ours: twice, and a little for tiny files.
const DATA_FACTOR: u64 = 2;
const DATA_SLACK: u64 = 64 << 20;
/// Bytes that are decoded from a stream that was decoded before. Ours: a tenth of a second.
const AGAIN_SLACK: u64 = 64 << 20;
/// Streams that are remembered. Ours: 256 MiB of a default qcow2, of more a sample; 80 KiB of memory for each layer.
const STREAMS: usize = 4096;

/// How much one layer of a source has cost so far.
pub(crate) struct Account<'h> {
    host: &'h dyn Host,
    /// The layer's own file, then the others that hold its data.
    files: Vec<FileFacts>,
    /// How often a stored byte counts for the bounds on data, and for those on tables.
    data: u64,
    tables: u64,
    /// Bytes that the files occupy, and their bytes outside holes; known once they were needed.
    occupied: Option<u64>,
    present: Option<u64>,
    /// Guest bytes below these were paid for: as answers, and as data. To ask again is the verb's affair.
    answered: u64,
    mapped: u64,
    answers: u64,
    /// Stored bytes that were referred to.
    stored: u64,
    /// Bytes decoded from streams that were seen before.
    again: u64,
    streams: Seen,
}

impl<'h> Account<'h> {
    /// Nothing paid yet. `files` is empty where the image is just `own`.
    pub(crate) fn new(session: &Session<'h>, own: FileFacts, mut files: Vec<FileFacts>) -> Self {
        files.retain(|facts| facts.slot != own.slot);
        files.insert(0, own);
        let Bounds {
            amplification,
            untrusted,
            ..
        } = session.job.bounds;
        let data = amplification.max(1);
        let seed = session.job.seed.random.as_chunks::<8>().0;
        let key = seed.iter().fold(0, |key, word| key ^ u64::from_le_bytes(*word));
        Self {
            host: session.host,
            files,
            data,
            tables: if untrusted { 1 } else { data },
            occupied: None,
            present: None,
            answered: 0,
            mapped: 0,
            answers: 0,
            stored: 0,
            again: 0,
            streams: Seen::new(key, STREAMS),
        }
    }

    /// Bytes of all files, holes included.
    pub(crate) fn size(&self) -> u64 {
        let sizes = self.files.iter().map(|facts| facts.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// The same, each byte as often as it counts for the bounds on data.
    pub(crate) fn counted(&self) -> u64 {
        self.size().saturating_mul(self.data)
    }

    /// Stored bytes that were referred to so far.
    pub(crate) const fn stored(&self) -> u64 {
        self.stored
    }

    /// Whether a compressed stream was used twice.
    pub(crate) const fn has_repeats(&self) -> bool {
        self.again > 0
    }

    /// Whether so much data was referred to that holes are worth looking for in every piece of it.
    pub(crate) fn is_tight(&self) -> bool {
        let occupied = self.occupied.unwrap_or(u64::MAX);
        self.stored > occupied.saturating_add(DATA_SLACK / 2)
    }

    /// Pays for an answer about `length` guest bytes from `start` on, after which the image's tables have taken `work`.
    ///
    /// # Errors
    /// `LOOK_LIMIT`, `TABLES_LIMIT`, `SHARED_TABLES`; the host's.
    #[inline]
    pub(crate) fn answer(&mut self, start: u64, length: u64, work: Work) -> Result<()> {
        let end = start.saturating_add(length);
        if end <= self.answered {
            return Ok(());
        }
        self.answered = end;
        self.answers = self.answers.saturating_add(1);
        let answers = self.answers.saturating_mul(ANSWER);
        if answers <= ANSWERS_SLACK && work.read <= TABLES_SLACK && work.shared == 0 {
            return Ok(());
        }
        self.judge_tables(answers, work)
    }

    #[cold]
    fn judge_tables(&mut self, answers: u64, work: Work) -> Result<()> {
        if self.tables == 1 {
            work.check_shared().map_err(|fault| self.named(fault))?;
        }
        let factor = ANSWERS_FACTOR.saturating_mul(self.tables);
        if let Some((stored, limit)) = self.exceeds(answers, factor, ANSWERS_SLACK)? {
            let numbers = [self.answers, stored, limit / ANSWER];
            return Err(self.named(Fault::new(fault::core::LOOK_LIMIT).with(numbers)));
        }
        let factor = TABLES_FACTOR.saturating_mul(self.tables);
        self.judge(fault::core::TABLES_LIMIT, work.read, factor, TABLES_SLACK)
    }

    /// Pays for the stored bytes of what was found from guest byte `start` on.
    ///
    /// # Errors
    /// `WORK_LIMIT`, `STREAM_LIMIT`; the host's.
    #[inline]
    pub(crate) fn take(&mut self, start: u64, mapping: &Mapping) -> Result<()> {
        self.refer(start, mapping)?;
        if self.stored <= DATA_SLACK / 2 {
            return Ok(());
        }
        self.judge_data()
    }

    #[inline(never)]
    fn judge_data(&mut self) -> Result<()> {
        // Known from here on, for holes to be looked for.
        self.occupied()?;
        let factor = DATA_FACTOR.saturating_mul(self.data);
        self.judge(fault::core::WORK_LIMIT, self.stored, factor, DATA_SLACK)
    }

    /// Takes note of the stored bytes of what was found from guest byte `start` on, for a walk that reads none of them.
    ///
    /// # Errors
    /// `STREAM_LIMIT`.
    #[inline]
    pub(crate) fn refer(&mut self, start: u64, mapping: &Mapping) -> Result<()> {
        let end = start.saturating_add(mapping.length);
        if end <= self.mapped {
            return Ok(());
        }
        let known = self.mapped.saturating_sub(start);
        self.mapped = end;
        let stored = match mapping.kind {
            Kind::Unallocated | Kind::Zero { .. } => return Ok(()),
            Kind::Data { slot, offset } => {
                // What lies past the file's end is nowhere.
                let left = self.size_of(slot).saturating_sub(offset);
                mapping.length.min(left).saturating_sub(known)
            }
            Kind::Sealed(sealed) => {
                let left = self.size_of(sealed.slot).saturating_sub(sealed.offset);
                mapping.length.min(left).saturating_sub(known)
            }
            Kind::Encoded(encoded) => {
                let place = encoded.offset ^ u64::from(encoded.slot.0).rotate_right(16);
                let times = self.streams.again(place);
                if times > 0 {
                    self.repeat(times.saturating_mul(mapping.length))?;
                }
                u64::from(encoded.least)
            }
        };
        self.stored = self.stored.saturating_add(stored);
        Ok(())
    }

    #[cold]
    fn repeat(&mut self, bytes: u64) -> Result<()> {
        self.again = self.again.saturating_add(bytes);
        let limit = AGAIN_SLACK.saturating_mul(self.data);
        if self.again > limit {
            let fault = Fault::new(fault::core::STREAM_LIMIT).with([self.again, limit]);
            return Err(self.named(fault));
        }
        Ok(())
    }

    fn judge(&mut self, code: FaultCode, used: u64, factor: u64, slack: u64) -> Result<()> {
        match self.exceeds(used, factor, slack)? {
            None => Ok(()),
            Some((stored, limit)) => Err(self.named(Fault::new(code).with([used, stored, limit]))),
        }
    }

    /// Whether `used` is more than `factor` times what the files store, and `slack`: what that is, and the limit.
    fn exceeds(&mut self, used: u64, factor: u64, slack: u64) -> Result<Option<(u64, u64)>> {
        let limit = |stored: u64| stored.saturating_mul(factor).saturating_add(slack);
        if used <= slack {
            return Ok(None);
        }
        let occupied = self.occupied()?;
        if used <= limit(occupied) {
            return Ok(None);
        }
        // Filesystems that compress, or that do not say, occupy less than what there is to read.
        let stored = self.present()?.max(occupied);
        Ok((used > limit(stored)).then_some((stored, limit(stored))))
    }

    fn occupied(&mut self) -> Result<u64> {
        if let Some(known) = self.occupied {
            return Ok(known);
        }
        let mut sum = 0_u64;
        for facts in &self.files {
            let bytes = if facts.kind == FileKind::Block {
                facts.size
            } else {
                occupied(self.host, facts.slot)?.min(facts.size)
            };
            sum = sum.saturating_add(bytes);
        }
        self.occupied = Some(sum);
        Ok(sum)
    }

    fn present(&mut self) -> Result<u64> {
        if let Some(known) = self.present {
            return Ok(known);
        }
        let mut sum = 0_u64;
        for facts in &self.files {
            let present = Extents::new(File::new(self.host, *facts)).present()?;
            sum = sum.saturating_add(present);
        }
        self.present = Some(sum);
        Ok(sum)
    }

    fn size_of(&self, slot: Slot) -> u64 {
        let known = self.files.iter().find(|facts| facts.slot == slot);
        known.map_or(u64::MAX, |facts| facts.size)
    }

    fn named(&self, fault: Fault) -> Fault {
        match self.files.first() {
            Some(own) => fault.in_file(own.slot),
            None => fault,
        }
    }
}

fn occupied(host: &dyn Host, slot: Slot) -> Result<u64> {
    host.one(Action::Allocated { slot })
}

/// Whether a fault is one of an account's: the image is an attack, and not just damaged in one place.
pub(crate) const fn is_limit(fault: &Fault) -> bool {
    matches!(
        fault.code,
        fault::core::WORK_LIMIT
            | fault::core::STREAM_LIMIT
            | fault::core::LOOK_LIMIT
            | fault::core::TABLES_LIMIT
            | fault::core::SHARED_TABLES
    )
}
