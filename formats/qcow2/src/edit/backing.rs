//! Another layer below: its name and format, which stand in the first cluster.

use instar_disk::errno::EINVAL;
use instar_disk::fault::qcow2_write as faults;
use instar_disk::job::NewBacking;
use instar_disk::{Fault, File, Result, fault};

use super::head::Head;
use crate::header::Header;
use crate::num::length;
use crate::raw::limit;

/// Names another layer below, or none.
///
/// # Errors
/// As [`judge`]; the host's.
pub(super) fn switch(file: File<'_>, header: &Header, new: &NewBacking) -> Result<()> {
    head(file, header, new)?
        .write(file)
        .map_err(|fault| full(fault, file))
}

/// Whether that can be done.
///
/// # Errors
/// `BACKING_FORMAT_MISSING`, `HEADER_FULL`; a name too long or a layer below raw data: `EINVAL`. The host's.
pub(super) fn judge(file: File<'_>, header: &Header, new: &NewBacking) -> Result<()> {
    head(file, header, new)?
        .judge(file)
        .map_err(|fault| full(fault, file))
}

/// The first cluster with another layer below.
fn head(file: File<'_>, header: &Header, new: &NewBacking) -> Result<Head> {
    let invalid = || Fault::new(fault::core::IO).with([EINVAL]).in_file(file.slot());
    let (name, format) = match (&new.name, &new.format) {
        (None, _) => (&[][..], &[][..]),
        (Some(_), None) => return Err(Fault::new(faults::BACKING_FORMAT_MISSING).in_file(file.slot())),
        (Some(name), Some(format)) => (name.as_slice(), format.as_slice()),
    };
    let raw_data = header.features.data_file() && header.features.data_file_raw();
    let long = length(name) > limit::BACKING_NAME || length(format) > u64::from(limit::BACKING_FORMAT);
    if long || raw_data && !name.is_empty() {
        return Err(invalid());
    }
    let mut head = Head::read(file, header)?;
    head.set_backing(name, format);
    Ok(head)
}

/// What the reference tool says where there is no room.
fn full(fault: Fault, file: File<'_>) -> Fault {
    match fault.code {
        faults::HEADER_TOO_LONG | faults::HEADER_NO_ROOM => {
            Fault::new(faults::HEADER_FULL).in_file(file.slot())
        }
        _ => fault,
    }
}
