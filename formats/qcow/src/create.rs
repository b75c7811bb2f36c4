//! Making a new image.

use alloc::boxed::Box;

use instar_disk::fault::qcow as faults;
use instar_disk::job::QcowCreate;
use instar_disk::{Fault, File, FileKind, Key, Preallocate, Result, Target, align_up, fault, from_usize};
use zerocopy::FromZeros;

use crate::header::Header;
use crate::raw::{HEADER_BYTES, MAGIC, RawHeader, SECTOR, VERSION};
use crate::target::Qcow;

/// Makes a qcow image of `size` bytes, rounded up to 512. Nothing in the file says that it is one until
/// [`finish`](Target::finish).
///
/// # Errors
/// `CREATE_EMPTY` and `SIZE_LARGE` for disks that the format cannot hold; else the host's.
pub fn create<'h>(
    file: File<'h>,
    options: &QcowCreate,
    size: u64,
    compress: bool,
) -> Result<Box<dyn Target + 'h>> {
    create_with(file, options, size, None, compress)
}

/// The same, with the key that the secret of `options` gives.
///
/// # Errors
/// As [`create()`].
pub fn create_with<'h>(
    file: File<'h>,
    options: &QcowCreate,
    size: u64,
    key: Option<Key>,
    compress: bool,
) -> Result<Box<dyn Target + 'h>> {
    if key.is_some() != options.key.is_some() {
        return Err(Fault::new(fault::qcow2::NO_KEY).in_file(file.slot()));
    }
    if compress && key.is_some() {
        return Err(Fault::new(fault::core::NO_COMPRESSION));
    }
    let size = align_up(size, SECTOR)?;
    if size == 0 {
        return Err(Fault::new(faults::CREATE_EMPTY));
    }
    let mut raw = RawHeader::new_zeroed();
    raw.magic = MAGIC;
    raw.version.set(VERSION);
    raw.size.set(size);
    let name = options.backing_file.as_ref().map(|name| name.as_bytes().to_vec());
    // The reference tool's: a small cluster copies less of what is below.
    (raw.cluster_bits, raw.l2_bits) = if name.is_some() { (9, 12) } else { (12, 9) };
    let mut end = HEADER_BYTES;
    if let Some(name) = &name {
        let bytes = from_usize(name.len());
        raw.backing_file_offset.set(end);
        raw.backing_file_size
            .set(u32::try_from(bytes).map_err(|_| Fault::new(fault::core::OVERFLOW).with([bytes]))?);
        end = align_up(end.saturating_add(bytes), 8)?;
    }
    raw.l1_table_offset.set(end);
    raw.crypt_method.set(u32::from(key.is_some()));
    Header::parse(&raw, u64::MAX)?;
    if file.kind() == FileKind::Regular {
        file.resize(0, Preallocate::Off)?;
    }
    let target = Qcow::new(file.emptied(), raw, name.unwrap_or_default(), key, compress)?;
    Ok(Box::new(target))
}
