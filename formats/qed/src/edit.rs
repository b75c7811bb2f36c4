//! A larger disk, and another layer below.
//!
//! ```text
//!  grow    what is behind the end of the disk: removed │ header: size
//!  rebase  the name, where no name is yet              │ header: where it is          └ one sector: from here on the new state
//! ```

use alloc::boxed::Box;

use instar_disk::errno::{EINVAL, EOPNOTSUPP};
use instar_disk::fault::{core, qcow2_write, qed, resize as faults};
use instar_disk::job::{Change, NewBacking, Preallocation};
use instar_disk::report::Backing;
use instar_disk::{Edit, Fault, File, Resizing, Result, ZeroHow, align_up, from_usize};
use zerocopy::IntoBytes;

use crate::existing::writer;
use crate::header::{Header, set_name};
use crate::raw::{HEADER_BYTES, RawHeader, SECTOR, entry, feature, limit};
use crate::repair::clean;
use crate::table::{Entry, Tables};

/// Opens a QED image to change it in place. One that is marked for a check is repaired first; else nothing is written before a change has
/// been judged.
///
/// # Errors
/// As reading it; what keeps it from being repaired.
pub fn edit<'h>(file: File<'h>) -> Result<Box<dyn Edit + 'h>> {
    let (header, raw) = clean(file)?;
    Ok(Box::new(Editor { file, header, raw }))
}

struct Editor<'h> {
    file: File<'h>,
    header: Header,
    raw: RawHeader,
}

impl Edit for Editor<'_> {
    fn change(&mut self, change: &Change) -> Result<()> {
        let Change::Rebase(new) = change else {
            return Err(Fault::new(faults::UNSUPPORTED));
        };
        let at = self.judge_name(new)?;
        let mut raw = self.raw.clone();
        let none = raw.features.get() & !(feature::BACKING_FILE | feature::BACKING_RAW);
        raw.features.set(none);
        let name = new.name.as_deref().unwrap_or_default();
        if name.is_empty() {
            raw.backing_filename_offset.set(0);
            raw.backing_filename_size.set(0);
        } else {
            set_name(&mut raw, name, at, new.format.as_deref() == Some(b"raw"))?;
        }
        if at == HEADER_BYTES {
            let mut header = raw.as_bytes().to_vec();
            header.extend_from_slice(name);
            self.file.write(0, &header)?;
        } else {
            self.file.write(at, name)?;
            self.file.flush()?;
            self.file.write(0, raw.as_bytes())?;
        }
        self.raw = raw;
        self.file.flush()
    }

    fn size(&self) -> u64 {
        self.header.size
    }

    fn backing(&self) -> Option<Backing> {
        self.header.backing()
    }

    fn resize(&mut self, to: &mut Resizing<'_>) -> Result<()> {
        self.judge_size(to)
            .map_err(|fault| fault.in_file(self.file.slot()))?;
        self.clear_behind(to.size)?;
        self.raw.image_size.set(to.size);
        self.file.write(0, self.raw.as_bytes())?;
        self.file.flush()
    }

    fn judge(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::Rebase(new) => self.judge_name(new).map(|_| ()),
            _ => Ok(()),
        }
    }
}

impl Editor<'_> {
    /// In qemu-img's order.
    fn judge_size(&self, to: &Resizing<'_>) -> Result<()> {
        // Where the disk below has more, it would show.
        if to.size > self.header.size && to.below > self.header.size {
            return Err(Fault::new(qed::UNCOVERS));
        }
        if to.preallocation != Preallocation::Off {
            let mode = alloc::format!(" '{}'", to.preallocation.name());
            return Err(Fault::new(faults::PREALLOCATION).named(mode.as_bytes()));
        }
        if !to.size.is_multiple_of(512) || to.size > self.header.geometry.most() {
            return Err(Fault::new(qed::RESIZE_SIZE));
        }
        if to.size < self.header.size {
            return Err(Fault::new(qed::RESIZE_SMALLER));
        }
        Ok(())
    }

    /// Removes what tables have for the part of the disk that is added: nothing of a sound image.
    fn clear_behind(&self, size: u64) -> Result<()> {
        let (geometry, end) = (self.header.geometry, self.header.size);
        let (first, stop) = (geometry.cluster_of(end), geometry.clusters(size));
        let mut tables = Tables::new(self.file, &self.header);
        let mut writer = writer(self.file, &self.header)?;
        let (mut cluster, mut removed) = (first, false);
        while cluster < stop && end < size {
            let run = tables.run(cluster)?;
            let within = end.saturating_sub(cluster.saturating_mul(geometry.cluster()));
            let kept = cluster == first && within > 0;
            match run.entry {
                Entry::None => cluster = cluster.saturating_add(run.clusters),
                Entry::At(place) if kept => {
                    let length = geometry.cluster().saturating_sub(within);
                    self.file
                        .zero(place.saturating_add(within), length, ZeroHow::Keep)?;
                    cluster = cluster.saturating_add(1);
                }
                Entry::Zero if kept => cluster = cluster.saturating_add(1),
                Entry::Zero | Entry::At(_) => {
                    writer.set(cluster, entry::NONE, 0)?;
                    removed = true;
                    cluster = cluster.saturating_add(1);
                }
            }
        }
        if removed {
            writer.put()?;
        }
        self.file.flush()
    }

    /// Where the name of the other layer goes, if nothing speaks against it.
    fn judge_name(&self, new: &NewBacking) -> Result<u64> {
        let refuse = |code| Err(Fault::new(code).in_file(self.file.slot()));
        let Some(name) = &new.name else {
            return Ok(HEADER_BYTES);
        };
        if new.format.is_none() {
            return refuse(qcow2_write::BACKING_FORMAT_MISSING);
        }
        if self.raw.compat_features.get() != 0 {
            let fault = Fault::new(core::IO).with([EOPNOTSUPP]);
            return Err(fault.in_file(self.file.slot()));
        }
        let bytes = from_usize(name.len());
        if bytes.saturating_add(HEADER_BYTES) > self.header.bytes {
            return refuse(qcow2_write::HEADER_FULL);
        }
        if bytes > limit::NAME {
            return Err(Fault::new(core::IO).with([EINVAL]).in_file(self.file.slot()));
        }
        if bytes.saturating_add(HEADER_BYTES) <= SECTOR {
            // In the sector of the header itself.
            return Ok(HEADER_BYTES);
        }
        // Beside the old name, which counts until the header says otherwise.
        let start = u64::from(self.raw.backing_filename_offset.get());
        let end = start.saturating_add(self.raw.backing_filename_size.get().into());
        let behind = align_up(end.max(SECTOR), SECTOR)?;
        if SECTOR.saturating_add(bytes) <= start || end <= SECTOR {
            return Ok(SECTOR);
        }
        if behind.saturating_add(bytes) <= self.header.bytes {
            return Ok(behind);
        }
        // No room for both: in one write, as by the reference tool.
        Ok(HEADER_BYTES)
    }
}
