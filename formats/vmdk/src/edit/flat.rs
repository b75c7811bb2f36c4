//! A flat extent and the descriptor that says how much of it is the disk.
//!
//! ```text
//!  grow    extent: longer, zeros │ descriptor: one sector, from here on the new disk
//!  shrink  descriptor: one sector │ extent: cut
//! ```

use instar_disk::fault::resize as faults;
use instar_disk::job::Preallocation;
use instar_disk::{
    Fault, File, FileKind, Preallocate, Resizing, Result, ZeroHow, align_up, reservation, set_length,
};

use super::text;
use crate::descriptor::{Descriptor, Home, LineKind, NO_PARENT};
use crate::header;
use crate::image::Vmdk;
use crate::raw::SECTOR;

/// Whether a descriptor has one flat extent, from its file's first byte on, and no parent.
pub(super) fn is_alone(found: &Descriptor) -> bool {
    let alone = matches!(&found.extents[..], [line] if is_flat(line.kind));
    let known = matches!(&found.create_type[..], b"monolithicFlat" | b"vmfs");
    alone && known && found.parent_name.is_none() && matches!(found.parent_cid, NO_PARENT | 0)
}

const fn is_flat(kind: LineKind) -> bool {
    matches!(kind, LineKind::Flat { sector: 0 } | LineKind::Vmfs)
}

/// Gives the disk that is described by `region`, the bytes of `file`, another size.
///
/// # Errors
/// What speaks against it, before anything is written; the host's.
pub(super) fn resize(file: &File<'_>, old: u64, region: &[u8], to: &Resizing<'_>) -> Result<()> {
    let size = align_up(to.size, SECTOR)?;
    header::capacity(size / SECTOR)?;
    if to.preallocation == Preallocation::Metadata {
        return Err(Fault::new(faults::PREALLOCATION).named(b" 'metadata'"));
    }
    let patch = text::patch(region, Home::File, size)?;
    let extent = extent(file, to)?;
    if align_up(extent.size(), SECTOR)? < old {
        return Err(Fault::new(instar_disk::fault::vmdk::TRUNCATED)
            .with([old, extent.size()])
            .in_file(extent.slot()));
    }
    if size > old {
        grow(&extent, old, size, reservation(to.preallocation))?;
        extent.flush()?;
    }
    patch.write(file, 0)?;
    if size < extent.size() && size < old {
        extent.resize(size, Preallocate::Off)?;
    }
    Ok(())
}

/// The file of the only extent, which the host has opened.
fn extent<'h>(file: &File<'h>, to: &Resizing<'_>) -> Result<File<'h>> {
    let Some(facts) = to.apart.first() else {
        // Why it was not, reading says, most likely.
        Vmdk::open(*file)?;
        return Err(Fault::new(faults::LAYOUT).named(b"a VMDK whose extent cannot be found"));
    };
    let extent = File::new(file.host(), *facts);
    match extent.kind() {
        FileKind::Block => Err(Fault::new(faults::LAYOUT).named(b"a VMDK on a device")),
        _ => Ok(extent),
    }
}

/// Makes the extent longer, and what is new in it zero. If that fails, it has its old length again.
fn grow(extent: &File<'_>, old: u64, size: u64, reserve: Preallocate) -> Result<()> {
    let length = extent.size();
    // What stands behind the end of the disk will be shown.
    let behind = length.min(size).saturating_sub(old);
    if behind > 0 {
        let how = match reserve {
            Preallocate::Off => ZeroHow::MayUnmap,
            Preallocate::Falloc | Preallocate::Full => ZeroHow::Keep,
        };
        extent.zero(old, behind, how)?;
    }
    if size <= length {
        return Ok(());
    }
    let grown = set_length(extent, size, reserve, b"");
    if grown.is_err() {
        // The first fault is the one to tell.
        let _ = extent.resize(length, Preallocate::Off);
    }
    grown
}
