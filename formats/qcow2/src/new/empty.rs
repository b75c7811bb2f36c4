//! Making an image that is to stay empty, byte for byte as the reference tool makes it.
//!
//! ```text
//!  │header│refcount table│refcount block│L1│(LUKS header)│
//! ```
//!
//! With all metadata known at once there is nothing to gain from the order of [`crate::create`]; who compares two tools' work
//! finds nothing to compare.

use alloc::vec;

use instar_disk::job::{Preallocation, Qcow2Create};
use instar_disk::{Action, File, FileKind, Io, Preallocate, Result};

use super::compose::{self, HEADER_SECTOR, Mark};
use super::create;
use super::refcount::Table;
use crate::layout::Layout;
use crate::luks::Seal;
use crate::num::{add, index, shl, shr_up};
use crate::packed;
use crate::raw::RawCryptoExtension;

/// Makes an empty image of `size` bytes, if it is as simple as the drawing: neither preallocated, nor on a device, nor with
/// more clusters than one refcount block counts. Otherwise it does nothing and says `false`.
///
/// # Errors
/// As [`crate::create()`].
pub fn create_empty(
    file: File<'_>,
    options: &Qcow2Create,
    size: u64,
    data_file: Option<File<'_>>,
    seal: Option<&Seal<'_>>,
) -> Result<bool> {
    create::check(options, data_file.is_some(), seal, false)?;
    let layout = Layout::new(options, size)?;
    create::check_header(options, &layout)?;
    let preallocated = options.preallocation != Preallocation::Off || options.data_file_raw;
    let luks = Luks::of(seal, &layout)?;
    let clusters = add(luks.cluster, luks.clusters)?;
    if preallocated || file.kind() == FileKind::Block || clusters > shl(1, layout.block_bits())? {
        return Ok(false);
    }
    if let Some(data) = data_file {
        create::prepare_data_file(data, options, &layout)?;
    }
    let (file, mark) = create::prepare_file(file, options, &layout)?;
    if let Some(seal) = seal {
        // The host makes what lies between read as zeros.
        seal.write_header(&file, luks.place.offset.get())?;
    }
    write(&file, options, &layout, mark, &luks)?;
    Ok(true)
}

/// Where the LUKS header is, if there is one.
struct Luks {
    /// The first cluster behind the L1 table.
    cluster: u64,
    clusters: u64,
    place: RawCryptoExtension,
}

impl Luks {
    fn of(seal: Option<&Seal<'_>>, layout: &Layout) -> Result<Self> {
        let bytes = seal.map_or(0, Seal::header_bytes);
        let cluster = add(L1_CLUSTER, layout.l1_clusters())?;
        Ok(Self {
            cluster,
            clusters: shr_up(bytes, layout.cluster_bits()),
            place: RawCryptoExtension {
                offset: shl(cluster, layout.cluster_bits())?.into(),
                length: bytes.into(),
            },
        })
    }
}

fn write(file: &File<'_>, options: &Qcow2Create, layout: &Layout, mark: Mark, luks: &Luks) -> Result<()> {
    let clusters = add(luks.cluster, luks.clusters)?;
    let at = |cluster| shl(cluster, layout.cluster_bits());
    let refcounts = Table {
        offset: at(TABLE_CLUSTER)?,
        clusters: 1,
    };
    let l1 = at(L1_CLUSTER)?;
    let l1_offset = if layout.l1_entries() == 0 { 0 } else { l1 };
    let mut header = compose::header(
        options,
        layout,
        compose::Tables {
            l1_offset,
            refcounts,
            bitmaps: None,
            luks: (luks.clusters > 0).then_some(luks.place),
        },
    )?;
    // The mark is longer than some headers.
    header.resize(header.len().max(HEADER_SECTOR), 0);
    let table = at(BLOCK_CLUSTER)?.to_be_bytes();
    let order = layout.refcount_order();
    let mut counts = vec![0; index(packed::bytes(clusters, order))];
    packed::fill_ones(&mut counts, order, 0, clusters);

    let slot = file.slot();
    let put = |offset, from| Action::Write { slot, offset, from };
    let resize = Action::Resize {
        slot,
        length: if luks.clusters > 0 {
            at(clusters)?
        } else {
            add(l1, layout.l1_bytes())?
        },
        preallocate: Preallocate::Off,
    };
    let tables = [
        resize,
        put(refcounts.offset, &table),
        put(at(BLOCK_CLUSTER)?, &counts),
    ];
    let host = file.host();
    if mark == Mark::Fresh {
        let [resize, table, counts] = tables;
        return host.all(&mut [resize, table, counts, put(0, &header)].map(Io::new));
    }
    let (first, rest) = header.split_at_checked(HEADER_SECTOR).unwrap_or((&header, &[]));
    let [resize, table, counts] = tables;
    let rest = put(crate::num::length(first), rest);
    let flush = || Action::Flush { slot };
    host.all(&mut [resize, table, counts, rest, flush()].map(Io::new))?;
    host.all(&mut [put(0, first), flush()].map(Io::new))
}

/// Where the reference puts each table.
const TABLE_CLUSTER: u64 = 1;
const BLOCK_CLUSTER: u64 = 2;
const L1_CLUSTER: u64 = 3;
