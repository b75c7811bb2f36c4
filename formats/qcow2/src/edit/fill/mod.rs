//! Writing into an image that exists.
//!
//! A cluster that is ours alone (counted once, and marked so) is overwritten where it is. Everything else - unallocated, compressed,
//! shared with a snapshot - gets a new place, and what it leaves is counted once less. Meanwhile the image is kept up in one of two
//! ways ([`Upkeep`]): `convert -n` makes it unreadable until all is written, `rebase` and `commit` keep it readable.

mod joined;
mod mark;
mod readable;
mod streams;
mod subclusters;
mod tables;
mod tracked;
mod zeroing;

use alloc::boxed::Box;
use alloc::vec::Vec;

use instar_disk::job::Compression;
use instar_disk::report::Bitmap;
use instar_disk::{
    Codec, Encoding, Fault, File, FileKind, Key, Placement, Preallocate, ReadBits, Result, Sealing, Target,
    ZeroHow, align_down, align_up, fault,
};

use self::joined::Joined;
use self::mark::Marked;
use self::readable::Readable;
pub(crate) use self::tables::{At, Words};
use self::tracked::Written;
use crate::bitmaps::directory::{self, Entry};
use crate::check::repair;
use crate::edit::ledger::Ledger;
use crate::entry::compressed;
use crate::header::Header;
use crate::layout::Layout;
use crate::luks;
use crate::new::target::DEFLATE_WINDOW_BITS;
use crate::num::{add, internal, shl, shr, shr_up, sub};
use crate::raw::crypt;

/// Opens the image in `file` for writing `size` bytes to it. `data_file` is the file that it names for its data, if it names one; `compress`:
/// units are to be compressed.
///
/// # Errors
/// What is wrong with the header; `TARGET_TOO_SMALL`; `TARGET_CORRUPT`, `TARGET_DATA_FILE` or `NO_KEY` for images that
/// cannot be written safely; the host's.
pub fn existing<'h>(
    file: File<'h>,
    size: u64,
    data_file: Option<File<'h>>,
    compress: bool,
) -> Result<Box<dyn Target + 'h>> {
    existing_with(file, size, data_file, None, compress)
}

/// The same, with the key of an encrypted image.
///
/// # Errors
/// As [`existing`].
pub fn existing_with<'h>(
    file: File<'h>,
    size: u64,
    data_file: Option<File<'h>>,
    key: Option<Key>,
    compress: bool,
) -> Result<Box<dyn Target + 'h>> {
    let header = Header::parse(file)?;
    let sealing = luks::sealing(file, &header, key)?;
    check(&header, data_file.is_some(), compress).map_err(|fault| fault.in_file(file.slot()))?;
    if Layout::of(&header).size() < size {
        return Err(Fault::new(fault::core::TARGET_TOO_SMALL).in_file(file.slot()));
    }
    let (file, header) = repair::clean(file, header)?;
    let layout = Layout::of(&header);
    let ledger = Ledger::open(file, &header, layout)?;
    Ok(Box::new(Existing {
        codec: compress.then_some(codec(&header)),
        sealing,
        ..Existing::new(ledger, header, data_file, Upkeep::Marked(None))?
    }))
}

/// How an image that stays readable is written to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// Clusters are to be compressed.
    pub compress: bool,
    /// Units are subclusters, where there are such.
    pub fine: bool,
    /// Something will be below the image: zeros must be written down whether something is now or not.
    pub covered: bool,
    /// The disk is to be another one, which its bitmaps record.
    pub records: bool,
}

/// Opens the image in `file` for writing to it while it stays readable: until [`Target::settle`] it shows what it showed before, but for
/// clusters that are overwritten where they are.
///
/// # Errors
/// As [`existing`].
pub fn readable<'h>(
    file: File<'h>,
    data_file: Option<File<'h>>,
    key: Option<Key>,
    keeping: Keeping,
) -> Result<Box<dyn Target + 'h>> {
    let header = Header::parse(file)?;
    let sealing = luks::sealing(file, &header, key)?;
    check(&header, data_file.is_some(), keeping.compress).map_err(|fault| fault.in_file(file.slot()))?;
    let (file, header) = repair::clean(file, header)?;
    let layout = Layout::of(&header);
    let mut ledger = Ledger::open_careful(file, &header, layout)?;
    ledger.wait_for_data();
    let upkeep = Upkeep::Readable(Box::new(Readable::of(file, &header)?));
    let mut existing = Existing {
        codec: keeping.compress.then_some(codec(&header)),
        fine: keeping.fine && !keeping.compress && layout.extended_l2(),
        sealing,
        ..Existing::new(ledger, header, data_file, upkeep)?
    };
    existing.covered |= keeping.covered;
    if !keeping.records {
        existing.tracked.clear();
    }
    Ok(Box::new(existing))
}

fn codec(header: &Header) -> Codec {
    match header.compression {
        Compression::Zlib => Codec::Deflate,
        Compression::Zstd => Codec::Zstd,
    }
}

fn check(header: &Header, data_file: bool, compress: bool) -> Result<()> {
    use fault::qcow2_write as faults;
    if compress && header.encryption != crypt::NONE {
        return Err(Fault::new(fault::core::NO_COMPRESSION));
    }
    if header.features.corrupt() {
        return Err(Fault::new(faults::TARGET_CORRUPT));
    }
    if header.features.data_file() {
        if compress {
            return Err(Fault::new(fault::core::NO_COMPRESSION));
        }
        if !data_file {
            let name = header.extensions.data_file.as_ref();
            let name = name.map_or(&[][..], |name| name.as_bytes());
            return Err(Fault::new(faults::TARGET_DATA_FILE).named(name));
        }
    }
    Ok(())
}

pub(crate) struct Existing<'h> {
    pub(crate) file: File<'h>,
    pub(crate) data: Option<File<'h>>,
    pub(crate) header: Header,
    pub(crate) layout: Layout,
    pub(crate) ledger: Ledger<'h>,
    codec: Option<Codec>,
    /// Units are subclusters.
    fine: bool,
    /// What is unallocated may be something else than zero.
    covered: bool,
    /// Where the next compressed stream goes: inside a cluster that holds others.
    tail: Option<u64>,
    upkeep: Upkeep<'h>,
    /// How data is encrypted, if it is.
    sealing: Option<Sealing>,
    /// Bitmaps that record what is written.
    pub(crate) tracked: Vec<Entry>,
    pub(crate) written: Written,
    pub(crate) joined: Joined,
}

/// What becomes of the image meanwhile.
enum Upkeep<'h> {
    /// It says that it is incomplete, from the first change on.
    Marked(Option<Box<Marked<'h>>>),
    /// It stays readable.
    Readable(Box<Readable<'h>>),
}

impl Target for Existing<'_> {
    fn size(&self) -> u64 {
        self.layout.size()
    }

    fn unit(&self) -> u64 {
        if self.fine {
            return 1_u64.wrapping_shl(self.layout.unit_bits());
        }
        self.layout.cluster()
    }

    fn allocate(&mut self, offset: u64, length: u64) -> Result<Placement> {
        let end = self.enter(offset, length)?;
        self.begin()?;
        let end = match self.whole_clusters(offset, end)? {
            Ok(end) => end,
            Err(end) => return self.allocate_part(offset, end),
        };
        let at = self.locate(offset)?;
        let table = self.table_to_edit(at.l1_index)?;
        let reach_end = shl(add(at.l1_index, 1)?, self.layout.reach_bits())?;
        let stop = end.min(reach_end);
        if let Some(data) = self.data {
            self.fill(table, offset, stop, offset)?;
            return self.placement(data, offset, offset, stop, false);
        }
        let clusters = shr_up(sub(stop, offset)?, self.layout.cluster_bits());
        let old = self.words(table, at.index)?;
        let (host, run, fresh) = match self.own_host(old)? {
            Some(host) => {
                let run = self.own_run(table, at.index, clusters, host)?;
                (host, run, false)
            }
            None => {
                let run = self.lost_run(table, at.index, clusters)?;
                let (host, run) = self.ledger.take_some(run)?;
                self.release_run(table, at.index, run)?;
                (host, run, self.is_fresh(host))
            }
        };
        let stop = add(offset, shl(run, self.layout.cluster_bits())?)?.min(stop);
        self.fill(table, offset, stop, host)?;
        self.placement(self.file, host, offset, stop, fresh)
    }

    fn zero(&mut self, offset: u64, length: u64) -> Result<()> {
        let end = self.enter(offset, length)?;
        let mut at = offset;
        while at < end {
            at = match self.whole_clusters(at, end)? {
                Ok(end) => self.zero_table(at, end)?,
                Err(end) => self.zero_part(at, end)?,
            };
        }
        Ok(())
    }

    fn encoding(&self) -> Option<Encoding> {
        Some(Encoding {
            codec: self.codec?,
            unit: self.layout.cluster(),
            plain_if_larger: true,
            window_bits: DEFLATE_WINDOW_BITS,
            prefix: 0,
            align: 1,
        })
    }

    fn allocate_encoded(&mut self, offset: u64, stored: u64) -> Result<Placement> {
        let cluster = self.layout.cluster();
        self.enter(offset, cluster.min(self.layout.size().saturating_sub(offset)))?;
        if self.codec.is_none() || stored == 0 || stored >= cluster {
            return Err(internal(line!()));
        }
        self.begin()?;
        let at = self.locate(offset)?;
        let table = self.table_to_edit(at.l1_index)?;
        let host = self.place_stream(stored)?;
        self.release_run(table, at.index, 1)?;
        let word = compressed(self.layout.cluster_bits(), host, stored)?;
        self.set_words(table, at.index, (word, 0))?;
        Ok(Placement {
            slot: self.file.slot(),
            offset: host,
            length: stored,
            fresh: self.is_fresh(host),
        })
    }

    fn sealing(&self) -> Option<Sealing> {
        self.sealing.clone()
    }

    fn takes_bitmaps(&self) -> bool {
        self.header.version >= 3
    }

    fn has_bitmap(&self, name: &[u8]) -> bool {
        self.joined.knows(name)
    }

    fn add_bitmap(&mut self, bitmap: &Bitmap, bits: &mut ReadBits<'_>) -> Result<()> {
        self.join(bitmap, bits)
    }

    fn records(&self) -> bool {
        matches!(self.upkeep, Upkeep::Readable(_)) && !self.tracked.is_empty()
    }

    fn record(&mut self, offset: u64, length: u64) {
        self.written.add(offset, offset.saturating_add(length));
    }

    fn is_full(&self) -> bool {
        let full = match &self.upkeep {
            Upkeep::Readable(readable) => readable.is_full(),
            Upkeep::Marked(_) => false,
        };
        full || self.ledger.is_full()
    }

    fn settle(&mut self) -> Result<()> {
        self.write_tables()
    }

    fn abandon(&mut self) {
        // Why that failed is known; what this fails with is of no interest beside it.
        let _ = self.take_back();
    }

    fn finish(&mut self) -> Result<()> {
        if matches!(self.upkeep, Upkeep::Readable(_)) {
            return self.write_tables();
        }
        self.keep_up()?;
        let joined = self.finish_joined()?;
        self.ledger.pages.flush()?;
        if self.ledger.has_grown() && self.file.kind() != FileKind::Block {
            self.file.resize(self.ledger.end()?, Preallocate::Off)?;
        }
        if let Some(data) = self.data {
            data.flush()?;
        }
        self.file.flush()?;
        let Upkeep::Marked(mark) = &mut self.upkeep else {
            return Ok(());
        };
        let Some(mut mark) = mark.take() else {
            return Ok(());
        };
        if let Some(name_at) = joined {
            mark.lead_to_bitmaps(name_at);
        }
        mark.clear(self.ledger.table, self.layout.cluster_bits())
    }
}

impl<'h> Existing<'h> {
    /// The image, nothing changed.
    fn new(ledger: Ledger<'h>, header: Header, data: Option<File<'h>>, upkeep: Upkeep<'h>) -> Result<Self> {
        let file = ledger.file;
        // What does not record stays as it is; so does what was not saved cleanly and counts for nothing.
        let mut tracked = directory::entries(file, &header)?;
        let joined = Joined::beside(&tracked);
        tracked.retain(|bitmap| bitmap.shown.auto && !bitmap.shown.in_use);
        Ok(Self {
            file,
            data,
            layout: ledger.layout,
            ledger,
            covered: header.backing_name.is_some(),
            header,
            codec: None,
            fine: false,
            tail: None,
            upkeep,
            sealing: None,
            tracked,
            written: Written::default(),
            joined,
        })
    }
}

impl Existing<'_> {
    fn enter(&mut self, offset: u64, length: u64) -> Result<u64> {
        let end = add(offset, length)?;
        let unit = self.unit();
        let aligned = |at: u64| at == align_down(at, unit) || at == self.layout.size();
        if length == 0 || end > self.layout.size() || !aligned(offset) || !aligned(end) {
            return Err(internal(line!()));
        }
        if !self.tracked.is_empty() && matches!(self.upkeep, Upkeep::Marked(_)) {
            self.written.add(offset, end);
        }
        Ok(end)
    }

    /// Makes ready before anything is changed.
    pub(crate) fn begin(&mut self) -> Result<()> {
        match &mut self.upkeep {
            Upkeep::Readable(readable) => return readable.begin(),
            Upkeep::Marked(Some(_)) => return Ok(()),
            Upkeep::Marked(none) => *none = Some(Box::new(Marked::set(self.file, &self.header)?)),
        }
        Ok(())
    }

    /// Whether a place reads as zeros.
    fn is_fresh(&self, host: u64) -> bool {
        self.sealing.is_none() && self.file.kind() != FileKind::Block && self.ledger.is_new(host)
    }

    pub(crate) fn locate(&self, offset: u64) -> Result<At> {
        let mask = shl(1, self.layout.table_bits())?.wrapping_sub(1);
        Ok(At {
            l1_index: shr(offset, self.layout.reach_bits()),
            index: shr(offset, self.layout.cluster_bits()) & mask,
        })
    }

    fn placement(&self, file: File<'_>, host: u64, offset: u64, stop: u64, fresh: bool) -> Result<Placement> {
        let length = sub(stop, offset)?;
        if !fresh && self.data.is_none() && stop == self.layout.size() {
            // What is behind the disk's end stays unseen when it grows.
            let end = add(host, length)?;
            let rest = sub(align_up(end, self.layout.cluster())?, end)?;
            match &self.sealing {
                Some(sealing) => sealing.write_zeros(&file, stop, end, rest)?,
                None => file.zero(end, rest, ZeroHow::Keep)?,
            }
        }
        Ok(Placement {
            slot: file.slot(),
            offset: host,
            length,
            fresh,
        })
    }
}
