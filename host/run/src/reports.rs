//! Where the engine puts what the guest says, and how much it may say.
//!
//! What is kept is counted after it has been decoded: a few bytes of a report can be many in our memory.

use std::sync::{Arc, Mutex, PoisonError};

use instar_abi::job::Verb;
use instar_abi::limits::{FINDINGS, SLOTS};
use instar_abi::partitions::{Partition, PartitionKind, PartitionTable};
use instar_abi::report::{Info, LuksInfo, OvaInfo, Snapshot, Specific};
use instar_abi::{Fault, ImageText, Job, Report};
use instar_engine::{Files, Sink};
use instar_memory::Violation;

use crate::Observer;
use crate::room::Room;

/// Reports in the order in which they came, and progress to its observer.
pub(crate) struct Reports {
    kept: Arc<Mutex<Kept>>,
    observer: Arc<dyn Observer>,
    listener: Option<Box<dyn Listener>>,
    room: Room,
}

/// What has been said so far.
#[derive(Debug)]
pub(crate) struct Kept {
    reports: Vec<Report>,
    budget: Budget,
}

/// Who hears reports as they come, for output that cannot wait for the end.
pub trait Listener: Send + Sync {
    /// Takes a report, or gives it back to be kept.
    ///
    /// # Errors
    /// What the guest must not say ends it.
    fn hear(&self, files: &Files, report: Report) -> Result<Option<Report>, Violation>;
}

impl Reports {
    /// None yet; the other half is read when the guest has ended.
    pub(crate) fn new(
        job: &Job,
        observer: Arc<dyn Observer>,
        listener: Option<Box<dyn Listener>>,
    ) -> (Self, Arc<Mutex<Kept>>) {
        let kept = Arc::new(Mutex::new(Kept {
            reports: Vec::new(),
            budget: Budget::new(job),
        }));
        let sink = Self {
            kept: Arc::clone(&kept),
            observer,
            listener,
            room: Room::new(job),
        };
        (sink, kept)
    }
}

impl Kept {
    /// The reports, and how many warnings were left out.
    pub(crate) fn take(&mut self) -> (Vec<Report>, u64) {
        (std::mem::take(&mut self.reports), self.budget.warnings_left_out)
    }
}

impl Sink for Reports {
    fn report(&self, files: &Files, bytes: Vec<u8>) -> Result<(), Violation> {
        // One after the other: what a report comes to while it is decoded is in our memory once. A vector is whole at every moment,
        // even if a thread panicked.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let report = instar_abi::decode(&bytes).map_err(|_| Violation::BadReport)?;
        drop(bytes);
        if !kept.budget.allows(files, &report)? {
            return Ok(());
        }
        if let Report::Size(size) = report {
            self.room.declared(files, size)?;
        }
        let report = match &self.listener {
            Some(listener) => listener.hear(files, report)?,
            None => Some(report),
        };
        if let Some(report) = report {
            kept.budget.keep(footprint(&report))?;
            kept.reports.push(report);
        }
        Ok(())
    }

    fn progress(&self, done: u64, total: u64) {
        self.observer.progress(done, total);
    }
}

/// What the guest may still say.
#[derive(Debug)]
struct Budget {
    maps: bool,
    layers: u32,
    /// Snapshots, bitmaps, extents and key slots, in all layers.
    items: usize,
    names: usize,
    comparisons: u32,
    findings: u64,
    looks: u8,
    warnings: u32,
    warnings_left_out: u64,
    /// What is said once, as far as it has been said.
    said: u32,
    over: bool,
    /// Bytes of our memory for what is kept.
    bytes: usize,
}

/// Bytes of our memory for all that a guest says and we keep. Ours: as many snapshots as an image can have.
const BYTES: usize = 12 << 20;
/// What is made of each of those in JSON is ten times as large as what was said. Ours: as many snapshots as an image can have.
const ITEMS: usize = 65_536;
/// Warnings that are kept; further ones are counted. Ours: nobody reads more.
const WARNINGS: u32 = 1024;
/// `check -r` looks twice.
const LOOKS: u8 = 2;
/// `compare` says that sizes differ, and then what else it finds.
const COMPARISONS: u32 = 2;

impl Budget {
    fn new(job: &Job) -> Self {
        Self {
            maps: matches!(job.verb, Verb::Map(_)),
            layers: match &job.verb {
                Verb::Info(info) if info.backing_chain => job.bounds.chain_depth.saturating_add(1),
                _ => 1,
            },
            items: ITEMS,
            names: SLOTS,
            comparisons: COMPARISONS,
            looks: LOOKS,
            findings: FINDINGS.saturating_mul(LOOKS.into()),
            warnings: WARNINGS,
            warnings_left_out: 0,
            said: 0,
            over: false,
            bytes: BYTES,
        }
    }

    /// Whether the report is used; false if it is one too many, without a violation.
    fn allows(&mut self, files: &Files, report: &Report) -> Result<bool, Violation> {
        let too_many = Violation::TooManyReports;
        if self.over {
            return Err(too_many);
        }
        match report {
            Report::Map(_) if self.maps => {}
            Report::Info(info) => {
                files
                    .status(info.slot)
                    .ok_or(Violation::UnknownSlot(info.slot.0))?;
                self.layers = self.layers.checked_sub(1).ok_or(too_many)?;
                self.items = self.items.checked_sub(items(info)).ok_or(too_many)?;
            }
            Report::Named { .. } => self.names = self.names.checked_sub(1).ok_or(too_many)?,
            Report::Compared(_) => self.comparisons = self.comparisons.checked_sub(1).ok_or(too_many)?,
            Report::Findings(found) => {
                let found = u64::try_from(found.len()).unwrap_or(u64::MAX);
                self.findings = self.findings.checked_sub(found).ok_or(too_many)?;
            }
            Report::Warning(_) => match self.warnings.checked_sub(1) {
                Some(left) => self.warnings = left,
                None => {
                    self.warnings_left_out = self.warnings_left_out.saturating_add(1);
                    return Ok(false);
                }
            },
            Report::Map(_) => return Err(too_many),
            Report::Size(_) => self.once(0)?,
            Report::Snapshots(list) => {
                self.once(1)?;
                self.items = self.items.checked_sub(list.len()).ok_or(too_many)?;
            }
            Report::Safety(_) => self.once(2)?,
            Report::Measured(_) => self.once(3)?,
            Report::Checked(..) => self.looks = self.looks.checked_sub(1).ok_or(too_many)?,
            Report::Checksum(_) => self.once(5)?,
            Report::Opened(_) => self.once(6)?,
            Report::Answered => self.once(7)?,
            Report::Partitions(table) => {
                self.once(8)?;
                let items = table.partitions.len().saturating_add(table.findings.len());
                self.items = self.items.checked_sub(items).ok_or(too_many)?;
            }
            Report::Compacted(_) => self.once(9)?,
            Report::Done(_) | Report::Failed(_) => self.over = true,
        }
        Ok(true)
    }

    fn once(&mut self, kind: u32) -> Result<(), Violation> {
        let bit = 1 << kind;
        if self.said & bit != 0 {
            return Err(Violation::TooManyReports);
        }
        self.said |= bit;
        Ok(())
    }

    fn keep(&mut self, bytes: usize) -> Result<(), Violation> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or(Violation::TooManyReports)?;
        Ok(())
    }
}

/// What of a layer is listed one by one.
fn items(info: &Info) -> usize {
    let specific = match &info.specific {
        None => 0,
        Some(Specific::Qcow2(qcow2)) => {
            qcow2.bitmaps.len() + qcow2.luks.as_ref().map_or(0, |luks| luks.slots.len())
        }
        Some(Specific::Vmdk(vmdk)) => vmdk.extents.len(),
        Some(Specific::Luks(luks)) => luks.slots.len(),
        Some(Specific::Ova(ova)) => ova.members.len() + ova.disks.len(),
    };
    info.snapshots.len().saturating_add(specific)
}

/// About how many bytes of our memory a report takes.
fn footprint(report: &Report) -> usize {
    let inside = match report {
        Report::Info(info) => size_of::<Info>() + of_info(info),
        Report::Snapshots(snapshots) => of_snapshots(snapshots),
        Report::Findings(found) => found.iter().map(of_fault).sum(),
        Report::Safety(safety) => {
            let whys = safety.verdicts.iter().filter_map(|verdict| verdict.why.as_ref());
            size_of_val(&**safety) + size_of_val(&safety.verdicts[..]) + whys.map(of_fault).sum::<usize>()
        }
        Report::Map(runs) => size_of_val(&runs[..]),
        Report::Partitions(table) => of_table(table),
        Report::Warning(failure) | Report::Failed(failure) => of_fault(&failure.fault),
        Report::Named { name, .. } => of_text(name),
        Report::Size(_)
        | Report::Opened(_)
        | Report::Answered
        | Report::Compacted(_)
        | Report::Compared(_)
        | Report::Measured(_)
        | Report::Checked(..)
        | Report::Checksum(_)
        | Report::Done(_) => 0,
    };
    size_of::<Report>().saturating_add(inside)
}

fn of_table(table: &PartitionTable) -> usize {
    let of_partition = |partition: &Partition| {
        let name = match &partition.kind {
            PartitionKind::Gpt { name, .. } => of_text(name),
            PartitionKind::Mbr { .. } => 0,
        };
        size_of::<Partition>() + name + partition.fault.as_ref().map_or(0, of_fault)
    };
    size_of::<PartitionTable>()
        + table.partitions.iter().map(of_partition).sum::<usize>()
        + table.findings.iter().map(of_fault).sum::<usize>()
        + table.disputed.as_ref().map_or(0, of_fault)
}

fn of_info(info: &Info) -> usize {
    let backing = info.backing.as_ref().map_or(0, |backing| {
        of_text(&backing.name) + backing.format.as_ref().map_or(0, of_text)
    });
    let specific = match &info.specific {
        None => 0,
        Some(Specific::Qcow2(qcow2)) => {
            let bitmaps = qcow2.bitmaps.iter();
            let bitmaps = bitmaps.map(|bitmap| size_of_val(bitmap) + of_text(&bitmap.name));
            let luks = qcow2.luks.as_deref().map_or(0, of_luks);
            bitmaps.sum::<usize>() + luks + qcow2.data_file.as_ref().map_or(0, of_text)
        }
        Some(Specific::Vmdk(vmdk)) => {
            let extents = vmdk.extents.iter().map(|extent| {
                let name = extent.name.as_ref().map_or(0, of_text);
                size_of_val(extent) + name + of_text(&extent.format)
            });
            extents.sum::<usize>() + of_text(&vmdk.create_type)
        }
        Some(Specific::Luks(luks)) => of_luks(luks),
        Some(Specific::Ova(ova)) => of_ova(ova),
    };
    backing + of_snapshots(&info.snapshots) + specific
}

fn of_luks(luks: &LuksInfo) -> usize {
    let names = [
        &luks.cipher,
        &luks.cipher_mode,
        &luks.iv_generator,
        &luks.hash,
        &luks.uuid,
    ];
    let names = names.into_iter().chain(&luks.iv_generator_hash);
    size_of_val(luks) + size_of_val(&luks.slots[..]) + names.map(of_text).sum::<usize>()
}

fn of_ova(ova: &OvaInfo) -> usize {
    let members = ova.members.iter();
    let members = members.map(|member| size_of_val(member) + of_text(&member.name));
    let disks = ova.disks.iter();
    let disks = disks.map(|disk| {
        let file = disk.file.as_ref().map_or(0, of_text);
        size_of_val(disk) + of_text(&disk.id) + file
    });
    let names = [Some(&ova.descriptor), ova.manifest.as_ref()]
        .into_iter()
        .flatten();
    size_of_val(ova) + members.sum::<usize>() + disks.sum::<usize>() + names.map(of_text).sum::<usize>()
}

fn of_snapshots(snapshots: &[Snapshot]) -> usize {
    let each = snapshots
        .iter()
        .map(|snapshot| size_of_val(snapshot) + of_text(&snapshot.id) + of_text(&snapshot.name));
    each.sum()
}

fn of_fault(fault: &Fault) -> usize {
    let text = fault.text.as_ref();
    size_of::<Fault>() + text.map_or(0, |text| size_of::<ImageText>() + of_text(text))
}

/// A text's bytes, and what the allocator adds to them.
fn of_text(text: &ImageText) -> usize {
    if text.as_bytes().is_empty() {
        0
    } else {
        text.as_bytes().len().next_multiple_of(16) + 16
    }
}

#[cfg(test)]
mod tests;
