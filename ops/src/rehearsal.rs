//! A conversion without files: the target's driver lays out its image for a host that only notes how long each file gets.
//!
//! What a format would take is then exactly what it takes, for every format, without a second account of its layout that could
//! disagree with the first.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use instar_abi::Report;
use instar_abi::job::{Create, Seed, VmdkCreate};
use instar_disk::{
    Action, Fault, File, FileFacts, FileKind, Host, Io, IoError, Result, Role, Slot, Target, align_up, fault,
    from_usize, vmdk,
};

/// Files that have only a length.
pub(crate) struct Rehearsal {
    lengths: Vec<AtomicU64>,
}

impl Rehearsal {
    /// The files of an image of `size` bytes made as `create` says.
    pub(crate) fn new(create: &Create, size: u64) -> Self {
        let extents = match create {
            Create::Vmdk(options) => vmdk::extent_count(options.subformat, size),
            _ => 0,
        };
        let files = extents.saturating_add(1);
        Self {
            lengths: (0..files).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Begins the image.
    ///
    /// # Errors
    /// The format's limits.
    pub(crate) fn begin(&self, create: &Create, size: u64) -> Result<Box<dyn Target + '_>> {
        let seed = Seed::default();
        let file = self.file(0);
        match create {
            Create::Raw(options) => instar_raw::create(file, options, size),
            Create::Qcow2(options) => instar_qcow2::create(file, options, size, None, false),
            Create::Parallels(options) => instar_parallels::create(file, options, size),
            Create::Qcow(options) => instar_qcow::create(file, options, size, false),
            Create::Qed(options) => instar_qed::create(file, options, size),
            // Measured by the length of its header.
            Create::Luks(_) => Err(Fault::new(fault::core::UNSUPPORTED).named(b"to measure luks so")),
            Create::Vdi(options) => instar_vdi::create(file, options, size, &seed),
            Create::Vpc(options) => instar_vhd::create(file, options, size, &seed),
            Create::Vhdx(options) => instar_vhdx::create(file, options, size, &seed),
            Create::Vmdk(options) => {
                let slots = 1..u32::try_from(self.lengths.len()).unwrap_or(u32::MAX);
                let extents: Vec<File<'_>> = slots.clone().map(|slot| self.file(slot)).collect();
                let options = VmdkCreate {
                    extents: slots.map(Slot).collect(),
                    backing_file: None,
                    ..options.clone()
                };
                instar_vmdk::create(file, &extents, &options, size, None, &seed)
            }
        }
    }

    /// Bytes of all files.
    pub(crate) fn total(&self) -> u64 {
        self.lengths.iter().fold(0, |sum, length| {
            sum.saturating_add(length.load(Ordering::Relaxed))
        })
    }

    fn file(&self, slot: u32) -> File<'_> {
        let facts = FileFacts {
            slot: Slot(slot),
            size: 0,
            kind: FileKind::Fresh,
            writable: true,
            busy: false,
            called_dmg: false,
        };
        File::new(self, facts)
    }

    fn length(&self, slot: Slot) -> core::result::Result<&AtomicU64, IoError> {
        let at = usize::try_from(slot.0).ok();
        at.and_then(|at| self.lengths.get(at)).ok_or(IoError::CANCELLED)
    }

    fn grow(&self, slot: Slot, offset: u64, length: u64) -> core::result::Result<u64, IoError> {
        self.length(slot)?
            .fetch_max(offset.saturating_add(length), Ordering::Relaxed);
        Ok(length)
    }

    fn carry_out(&self, action: &mut Action<'_>) -> core::result::Result<u64, IoError> {
        match action {
            Action::Read { slot, offset, into } => {
                let there = self
                    .length(*slot)?
                    .load(Ordering::Relaxed)
                    .saturating_sub(*offset);
                let read = usize::try_from(there).unwrap_or(usize::MAX).min(into.len());
                if let Some(into) = into.get_mut(..read) {
                    into.fill(0);
                }
                Ok(from_usize(read))
            }
            Action::Write { slot, offset, from } => self.grow(*slot, *offset, from_usize(from.len())),
            Action::Zero {
                slot, offset, length, ..
            } => self.grow(*slot, *offset, *length),
            Action::Copy(copy) => self.grow(copy.target, copy.target_offset, copy.length),
            Action::Resize { slot, length, .. } => {
                self.length(*slot)?.store(*length, Ordering::Relaxed);
                Ok(*length)
            }
            // Nothing to look at, and nothing that changes a length.
            Action::Extents { .. }
            | Action::Compare(_)
            | Action::Allocated { .. }
            | Action::Sharable { .. }
            | Action::Receive { .. }
            | Action::Send { .. }
            | Action::Discard { .. }
            | Action::Flush { .. }
            | Action::Advise { .. } => Ok(0),
        }
    }
}

impl Host for Rehearsal {
    fn submit(&self, batch: &mut [Io<'_>]) {
        for io in batch {
            io.outcome = self.carry_out(&mut io.action);
        }
    }

    fn open(&self, namer: Slot, _: Role, _: &[u8]) -> Result<FileFacts> {
        Err(Fault::new(fault::core::REFUSED_NAME).in_file(namer))
    }

    fn lanes(&self) -> usize {
        1
    }

    fn parallel(&self, work: &(dyn Fn(usize) + Sync)) {
        work(0);
    }

    fn wait(&self, _: &AtomicU32, _: u32) {}

    fn wake(&self, _: &AtomicU32) {}

    fn report(&self, _: &Report) {}

    fn progress(&self, _: u64, _: u64) {}
}

/// Gives `target` data from `start` to `end`, bounds of its units; what can be compressed is taken to be incompressible.
///
/// # Errors
/// The format's limits.
pub(crate) fn fill(host: &Rehearsal, target: &mut dyn Target, start: u64, end: u64) -> Result<()> {
    if target.plain().is_some() {
        return Ok(());
    }
    let mut at = start;
    while at < end {
        let placed = match target.encoding() {
            Some(encoding) => {
                let stored = from_usize(encoding.prefix).saturating_add(incompressible(encoding.unit));
                let placed = target.allocate_encoded(at, align_up(stored, encoding.align)?)?;
                at = at.saturating_add(encoding.unit);
                placed
            }
            None => {
                let placed = target.allocate(at, end.saturating_sub(at))?;
                at = at.saturating_add(placed.length.max(1));
                placed
            }
        };
        host.grow(placed.slot, placed.offset, placed.length)
            .map_err(|error| error.fault(placed.slot))?;
    }
    Ok(())
}

/// Bytes of a zlib stream that holds `unit` bytes which do not compress: zlib's own bound.
const fn incompressible(unit: u64) -> u64 {
    unit.saturating_add(unit >> 12)
        .saturating_add(unit >> 14)
        .saturating_add(unit >> 25)
        .saturating_add(13)
}
