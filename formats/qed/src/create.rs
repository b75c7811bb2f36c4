//! Making a new image.

use alloc::boxed::Box;

use instar_disk::fault::qed as faults;
use instar_disk::job::QedCreate;
use instar_disk::{Fault, File, FileKind, Preallocate, Result, Target, align_up};

use crate::geometry::Geometry;
use crate::header::compose;
use crate::target::Qed;

/// Makes a QED image of `size` bytes, rounded up to 512. Nothing in the file says that it is one until
/// [`finish`](Target::finish).
///
/// # Errors
/// `CREATE_SIZE` for a disk that the tables cannot describe; else the host's.
pub fn create<'h>(file: File<'h>, options: &QedCreate, size: u64) -> Result<Box<dyn Target + 'h>> {
    // The host has looked at the options.
    let geometry = Geometry::of(options).ok_or(Fault::new(faults::CLUSTER_SIZE))?;
    let size = align_up(size, 512)?;
    if size > geometry.most() {
        return Err(Fault::new(faults::CREATE_SIZE).with([geometry.most()]));
    }
    let name = options.backing_file.as_ref().map(|name| name.as_bytes());
    let raw = compose(geometry, size, name, options.backing_raw)?;
    if file.kind() == FileKind::Regular {
        file.resize(0, Preallocate::Off)?;
    }
    let name = name.unwrap_or_default().to_vec();
    Ok(Box::new(Qed::new(file.emptied(), geometry, raw, name)))
}
