//! What `info` shows.

use instar_disk::report::{Info, Qcow2Info, Specific};
use instar_disk::{File, Format, Result};

use crate::bitmaps::directory;
use crate::header::Header;
use crate::luks;
use crate::raw::crypt;
use crate::snapshot;

/// Everything but the backing file.
pub(crate) fn describe(file: File<'_>, header: &Header) -> Result<Info> {
    let features = &header.features;
    let luks = match header.encryption {
        crypt::LUKS => Some(luks::describe(file, header)?),
        _ => None,
    };
    let specific = Qcow2Info {
        version: header.version,
        compression: header.compression,
        lazy_refcounts: features.lazy_refcounts(),
        refcount_bits: 1 << header.refcount_order,
        corrupt: features.corrupt(),
        extended_l2: features.extended_l2(),
        data_file: header.extensions.data_file.clone(),
        external_data: features.data_file(),
        data_file_raw: features.data_file_raw(),
        bitmaps: directory::list(file, header)?,
        encryption: header.encryption,
        luks,
    };
    Ok(Info {
        slot: file.slot(),
        format: Format::Qcow2,
        virtual_size: header.virtual_size(),
        cluster_size: Some(header.cluster_size()),
        encrypted: header.encryption != crypt::NONE,
        compressed: false,
        dirty: features.dirty(),
        backing: None,
        export_size: None,
        snapshots: snapshot::list(file, header)?,
        specific: Some(Specific::Qcow2(specific)),
    })
}
