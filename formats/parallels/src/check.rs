//! Looking the BAT through, and putting it right, pass by pass as the reference tool does.
//!
//! ```text
//!  the mark of a writer ─► where clusters begin ─► entries that lead outside ─► the end of the file ─► entries that lead to one place
//! ```

use alloc::boxed::Box;

use instar_disk::fault::check as found;
use instar_disk::job::Repair;
use instar_disk::report::Checked;
use instar_disk::{
    Check, Fault, FaultCode, File, FileKind, Findings, Format, Places, Preallocate, Result, copy_within,
};
use zerocopy::IntoBytes;

use crate::extension;
use crate::header::Header;
use crate::raw::{RawHeader, SECTOR};
use crate::scan::each_piece;

/// Opens a Parallels disk to look it through.
///
/// # Errors
/// As [`crate::open`]; the format extension of an image that is to be repaired is not looked at.
pub fn check<'h>(file: File<'h>) -> Result<Box<dyn Check + 'h>> {
    let (header, raw) = Header::read(&file)?;
    if !file.facts().writable {
        extension::judge(&file, &header).map_err(|fault| fault.in_file(file.slot()))?;
    }
    Ok(Box::new(Checker { file, header, raw }))
}

struct Checker<'h> {
    file: File<'h>,
    header: Header,
    raw: RawHeader,
}

impl Check for Checker<'_> {
    fn format(&self) -> Format {
        Format::Parallels
    }

    fn run(&mut self, findings: &mut Findings<'_>) -> Result<Checked> {
        self.look(None, findings)
    }

    fn repair(&mut self, repair: Repair, findings: &mut Findings<'_>) -> Result<Checked> {
        let checked = self.look(Some(repair), findings)?;
        let mut raw = self.raw.clone();
        // As the reference tool, which closes an image that it has opened for writing.
        raw.in_use.set(0);
        if self.header.extension >= checked.image_end_offset {
            // It is cut off.
            raw.ext_off.set(0);
        }
        if raw.as_bytes() != self.raw.as_bytes() {
            self.file.flush()?;
            self.file.write(0, raw.as_bytes())?;
            self.raw = raw;
        }
        self.file.flush()?;
        Ok(checked)
    }
}

impl Checker<'_> {
    fn look(&mut self, repair: Option<Repair>, findings: &mut Findings<'_>) -> Result<Checked> {
        let mut walk = Walk {
            file: self.file,
            header: self.header.clone(),
            length: self.header.file_size,
            errors: repair == Some(Repair::All),
            leaks: repair.is_some(),
            checked: Checked::default(),
            findings,
        };
        if self.header.is_dirty {
            walk.wrong(found::PARALLELS_DIRTY, found::REPAIRING_DIRTY, []);
        }
        if self.header.data_start_is_wrong {
            walk.wrong(found::PARALLELS_DATA_START, found::REPAIRING_DATA_START, []);
            if walk.errors {
                let sectors = u32::try_from(self.header.data_start / SECTOR).unwrap_or(u32::MAX);
                self.raw.data_off.set(sectors);
                self.file.write(0, self.raw.as_bytes())?;
            }
        }
        walk.outside()?;
        walk.end()?;
        walk.shared()?;
        walk.count()?;
        // For a second look.
        let (checked, length, repaired) = (walk.checked, walk.length, walk.errors);
        self.header.file_size = length;
        self.header.is_dirty &= !repaired;
        self.header.data_start_is_wrong &= !repaired;
        Ok(checked)
    }
}

struct Walk<'a, 'f, 'h> {
    file: File<'h>,
    header: Header,
    /// Bytes of the file.
    length: u64,
    /// What is wrong is put right.
    errors: bool,
    /// What is behind the last cluster is cut off.
    leaks: bool,
    checked: Checked,
    findings: &'a mut Findings<'f>,
}

impl Walk<'_, '_, '_> {
    /// Something is wrong, and is put right if errors are.
    fn wrong<const N: usize>(&mut self, error: FaultCode, repairing: FaultCode, number: [u64; N]) {
        let code = if self.errors { repairing } else { error };
        self.findings.say(Fault::new(code).with(number));
        let count = if self.errors {
            &mut self.checked.corruptions_fixed
        } else {
            &mut self.checked.corruptions
        };
        *count = count.saturating_add(1);
    }

    /// Where the cluster of an entry is, 0 for none, if it is no cluster of the image.
    fn stray(&self, value: u32) -> Option<u64> {
        let place = self.header.place(value).unwrap_or(0);
        // The reference tool counts whole sectors, and takes no cluster for one at byte 0.
        let end = self.length.next_multiple_of(SECTOR);
        let is_in_front = place != 0 && place < self.header.bat_end();
        (is_in_front || place.saturating_add(self.header.cluster) > end).then_some(place)
    }

    fn outside(&mut self) -> Result<()> {
        let (file, header) = (self.file, self.header.clone());
        let (mut high, mut all) = (0, header.data_start);
        each_piece(file, &header, &mut |first, piece| {
            let mut changed = false;
            for (cluster, value) in (first..).zip(piece.iter_mut()) {
                let number = u32::from_le_bytes(*value);
                let place = header.place(number).unwrap_or(0);
                all = all.max(place.saturating_add(if place == 0 { 0 } else { header.cluster }));
                if self.stray(number).is_some() {
                    self.wrong(found::PARALLELS_OUTSIDE, found::REPAIRING_OUTSIDE, [cluster]);
                    if self.errors {
                        *value = [0; 4];
                        changed = true;
                    }
                } else {
                    high = high.max(place);
                }
            }
            Ok(changed)
        })?;
        self.checked.image_end_offset = match high {
            0 => all,
            _ => high.saturating_add(header.cluster),
        };
        Ok(())
    }

    /// What is behind the last cluster.
    fn end(&mut self) -> Result<()> {
        let length = self.length.next_multiple_of(SECTOR);
        let spare = length.saturating_sub(self.checked.image_end_offset);
        if spare == 0 {
            return Ok(());
        }
        let clusters = spare.div_ceil(self.header.cluster.max(1));
        if !self.leaks || self.file.kind() == FileKind::Block {
            self.findings.say(Fault::new(found::PARALLELS_LEAK).with([spare]));
            self.checked.leaks = clusters;
            return Ok(());
        }
        self.findings.say(Fault::new(found::REPAIRING_LEAK).with([spare]));
        self.checked.leaks_fixed = clusters;
        // No entry leads there any more.
        self.file.flush()?;
        self.length = self.checked.image_end_offset;
        self.file.resize(self.length, Preallocate::Off)
    }

    /// The number of a place among those of the file.
    fn number(&self, place: u64) -> u64 {
        place
            .saturating_sub(self.header.data_start)
            .checked_div(self.header.cluster)
            .unwrap_or(0)
    }

    fn shared(&mut self) -> Result<()> {
        let (file, header) = (self.file, self.header.clone());
        let end = self.checked.image_end_offset;
        let places = self.number(end).saturating_add(1);
        let (mut used, mut copies) = (Places::new(places)?, Copies::new(places, end)?);
        if self.errors {
            each_piece(file, &header, &mut |_, piece| {
                let values = piece.iter().map(|value| u32::from_le_bytes(*value));
                for place in values.filter(|value| self.stray(*value).is_none()) {
                    if let Some(place) = header.place(place) {
                        copies.used.take(self.number(place));
                    }
                }
                Ok(false)
            })?;
        }
        each_piece(file, &header, &mut |first, piece| {
            let mut changed = false;
            for (cluster, value) in (first..).zip(piece.iter_mut()) {
                let number = u32::from_le_bytes(*value);
                let Some(place) = header.place(number).filter(|_| self.stray(number).is_none()) else {
                    continue;
                };
                if !used.take(self.number(place)) {
                    continue;
                }
                self.wrong(found::PARALLELS_SHARED, found::REPAIRING_SHARED, [cluster]);
                if self.errors {
                    let to = copies.place(&header);
                    copy_within(&file, place, to, header.cluster)?;
                    *value = header.entry(to)?.to_le_bytes();
                    changed = true;
                }
            }
            if changed {
                file.flush()?;
            }
            Ok(changed)
        })?;
        self.length = self.length.max(copies.end);
        self.checked.image_end_offset = copies.end;
        Ok(())
    }

    fn count(&mut self) -> Result<()> {
        let (file, header) = (self.file, self.header.clone());
        let end = self.checked.image_end_offset;
        let (mut allocated, mut fragmented, mut last) = (0_u64, 0_u64, 0_u64);
        each_piece(file, &header, &mut |_, piece| {
            for value in piece.iter() {
                let place = header.place(u32::from_le_bytes(*value)).unwrap_or(0);
                if place == 0 || place.saturating_add(header.cluster) > end {
                    last = 0;
                    continue;
                }
                if last != 0 && last.saturating_add(header.cluster) != place {
                    fragmented = fragmented.saturating_add(1);
                }
                last = place;
                allocated = allocated.saturating_add(1);
            }
            Ok(false)
        })?;
        self.checked.total_clusters = header.entries;
        self.checked.allocated_clusters = allocated;
        self.checked.fragmented_clusters = fragmented;
        Ok(())
    }
}

/// Where copies of clusters go: to the first gap, as with the reference tool, else to the end.
struct Copies {
    /// Places in use.
    used: Places,
    /// The first that may be free.
    next: u64,
    places: u64,
    /// Where the last cluster ends.
    end: u64,
}

impl Copies {
    fn new(places: u64, end: u64) -> Result<Self> {
        Ok(Self {
            used: Places::new(places)?,
            next: 0,
            places,
            end,
        })
    }

    fn place(&mut self, header: &Header) -> u64 {
        while self.next < self.places {
            let at = header
                .data_start
                .saturating_add(self.next.saturating_mul(header.cluster));
            let fits = at == header.up(at) && at.saturating_add(header.cluster) <= self.end;
            if fits && !self.used.take(self.next) {
                return at;
            }
            self.next = self.next.saturating_add(1);
        }
        let at = header.up(self.end);
        self.end = at.saturating_add(header.cluster);
        at
    }
}
