//! Findings of `check`: 0x0800 to 0x08ff. The wording is that of qemu-img, because callers match it.

super::faults! {
    // Any format.
    /// The format has no check.
    UNSUPPORTED = 0x0800, "This image format does not support checks";
    /// Tables refer to tables again and again. Numbers: bytes read, limit.
    WORK_LIMIT = 0x0801, "the check read {0} bytes of tables; the limit for a file of this size is {1}";

    // qcow2: references.
    /// A reference past the end. Numbers: offset, bytes.
    PAST_END = 0x0810, "ERROR: counting reference for region exceeding the end of the file by one cluster or more: offset {0:#x} size {1:#x}";
    /// More references than a refcount can hold. Number 0: cluster offset.
    OVERFLOW = 0x0811, "ERROR: overflow cluster offset={0:#x}\nUse qemu-img amend to increase the refcount entry width or qemu-img convert to create a clean copy if the image cannot be opened for writing";
    /// More in use than the refcount says. Numbers: cluster, refcount, references.
    REFCOUNT_LOW = 0x0812, "ERROR cluster {0} refcount={1} reference={2}";
    /// Less in use than the refcount says. Numbers: as for `REFCOUNT_LOW`.
    LEAKED = 0x0813, "Leaked cluster {0} refcount={1} reference={2}";
    /// A refcount that cannot be read. Number 0: cluster.
    REFCOUNT_UNREADABLE = 0x0814, "Can't get refcount for cluster {0}: Input/output error";

    // qcow2: refcount structures.
    /// Number 0: table index.
    REFCOUNT_TABLE_RESERVED = 0x0818, "ERROR refcount table entry {0} has reserved bits set";
    /// Number 0: table index.
    REFCOUNT_BLOCK_UNALIGNED = 0x0819, "ERROR refcount block {0} is not cluster aligned; refcount table entry corrupted";
    /// Number 0: table index.
    REFCOUNT_BLOCK_OUTSIDE = 0x081a, "ERROR refcount block {0} is outside image";
    /// Something else uses a refcount block. Numbers: table index, references.
    REFCOUNT_BLOCK_SHARED = 0x081b, "ERROR refcount block {0} refcount={1}";
    /// Reported once, when one of its counts is first needed. Numbers: offset, table index.
    REFCOUNT_BLOCK_CORRUPT = 0x081c, "qcow2: Image is corrupt: Refblock offset {0:%x} unaligned (reftable index: {1:%x}); further non-fatal corruption events will be suppressed";

    // qcow2: L1 and L2.
    /// Number 0: entry.
    L1_RESERVED = 0x0820, "ERROR found L1 entry with reserved bits set: {0:x}";
    /// Number 0: offset.
    L2_UNALIGNED = 0x0821, "ERROR l2_offset={0:x}: Table is not cluster aligned; L1 entry corrupted";
    /// Number 0: entry.
    L2_RESERVED = 0x0822, "ERROR found l2 entry with reserved bits set: {0:x}";
    /// Number 0: offset.
    COMPRESSED_COPIED = 0x0823, "ERROR: coffset={0:#x}: copied flag must never be set for compressed clusters";
    /// Numbers: L2 index, entry.
    COMPRESSED_EXTERNAL = 0x0824, "ERROR compressed cluster {0} with data file, entry={1:#x}";
    /// Numbers: L2 index, entry.
    COMPRESSED_SUBCLUSTERS = 0x0825, "ERROR compressed cluster {0} with non-zero subcluster allocation bitmap, entry={1:#x}";
    /// Number 0: offset.
    SUBCLUSTERS = 0x0826, "ERROR offset={0:x}: Allocated cluster has corrupted subcluster allocation bitmap";
    /// Number 0: offset.
    PREALLOCATED_UNALIGNED = 0x0827, "ERROR offset={0:x}: Preallocated cluster is not properly aligned; L2 entry corrupted.";
    /// Number 0: offset.
    DATA_UNALIGNED = 0x0828, "ERROR offset={0:x}: Data cluster is not properly aligned; L2 entry corrupted.";
    /// No cluster, yet allocated subclusters.
    SUBCLUSTERS_UNALLOCATED = 0x0829, "ERROR: Unallocated cluster has non-zero subcluster allocation map";
    /// Numbers: L1 index, entry, refcount.
    COPIED_L1 = 0x082a, "ERROR OFLAG_COPIED L2 cluster: l1_index={0} l1_entry={1:x} refcount={2}";
    /// Numbers: entry, refcount.
    COPIED_L2 = 0x082b, "ERROR OFLAG_COPIED data cluster: l2_entry={0:x} refcount={1}";

    // qcow2: snapshots.
    /// Number 0: index.
    SNAPSHOT_INCOMPLETE = 0x0830, "ERROR snapshot table entry {0} is incomplete";
    /// Number 0: snapshots.
    SNAPSHOTS_EXTERNAL = 0x0831, "ERROR {0} snapshots in image with data file";
    /// Number 0: offset; text: ID and name.
    SNAPSHOT_L1_UNALIGNED = 0x0832, "ERROR snapshot {text} l1_offset={0:%x}: L1 table is not cluster aligned; snapshot table entry corrupted";
    /// Number 0: entries; text: ID and name.
    SNAPSHOT_L1_LARGE = 0x0833, "ERROR snapshot {text} l1_size={0:%x}: L1 table is too large; snapshot table entry corrupted";
    /// Number 0: snapshots over the limit.
    SNAPSHOTS_MANY = 0x0834, "ERROR snapshot table too large\nYou can force-remove all {0} overhanging snapshots with qemu-img check -r all";
    /// Number 0: offset.
    SNAPSHOTS_OFFSET = 0x0835, "ERROR snapshot table offset invalid";
    /// Number 0: index.
    SNAPSHOT_EXTRA = 0x0836, "ERROR failed to read the snapshot table: Too much extra metadata in snapshot table entry {0}\nYou can force-remove this extra metadata with qemu-img check -r all";
    /// Number 0: snapshots behind the limit.
    SNAPSHOT_TABLE_BIG = 0x0837, "ERROR failed to read the snapshot table: Snapshot table is too big\nYou can force-remove all {0} overhanging snapshots with qemu-img check -r all";
    /// The table starts beyond the largest file offset.
    SNAPSHOTS_UNREADABLE = 0x0838, "ERROR failed to read the snapshot table: Failed to read snapshot table: Input/output error";

    // qcow2: bitmaps.
    /// A bitmap that is loaded when the image is opened. Number 0: errno; text: its name.
    BITMAP_TABLE = 0x083c, "Could not read bitmap_table table from image for bitmap '{text}': {errno}";

    // qcow2: what is put right, and what cannot be.
    /// Numbers: cluster, refcount, references.
    REPAIRING_CLUSTER = 0x0860, "Repairing cluster {0} refcount={1} reference={2}";
    /// Number 0: table index.
    REPAIRING_BLOCK_OUTSIDE = 0x0861, "Repairing refcount block {0} is outside image";
    /// Counts are to stand where no block is, or a block where none can be.
    REBUILDING = 0x0862, "Rebuilding refcount structure";
    /// The same, and only leaks were to be repaired.
    REBUILD_NEEDED = 0x0863, "ERROR need to rebuild refcount structures";
    /// Number 0: offset.
    REPAIRING_PREALLOCATED = 0x0864, "Repairing offset={0:x}: Preallocated cluster is not properly aligned; L2 entry corrupted.";
    /// Numbers: L1 index, entry, refcount.
    REPAIRING_COPIED_L1 = 0x0865, "Repairing OFLAG_COPIED L2 cluster: l1_index={0} l1_entry={1:x} refcount={2}";
    /// Numbers: entry, refcount.
    REPAIRING_COPIED_L2 = 0x0866, "Repairing OFLAG_COPIED data cluster: l2_entry={0:x} refcount={1}";
    /// Number 0: index.
    REPAIRING_SNAPSHOT_INCOMPLETE = 0x0867, "Repairing snapshot table entry {0} is incomplete";
    /// Number 0: snapshots over the limit.
    DISCARDING_SNAPSHOTS = 0x0868, "Discarding {0} overhanging snapshots";
    /// Number 0: snapshots behind the limit.
    DISCARDING_SNAPSHOTS_BIG = 0x0869, "Discarding {0} overhanging snapshots (snapshot table is too big)";
    /// Numbers: index, bytes.
    DISCARDING_SNAPSHOT_EXTRA = 0x086a, "Discarding too much extra metadata in snapshot table entry {0} ({1} > 1024)";
    /// A table goes on behind the end of the file.
    REPAIR_CUT = 0x086b, "a table continues past the end of the file, so that its remaining clusters look free; nothing was changed";
    /// A writer's repair of a dirty image ended early. Number 0: errno.
    REPAIR_DIRTY = 0x086c, "Could not repair dirty image: {errno}";

    // VMDK.
    /// Number 0: sector.
    VMDK_NO_OFFSET = 0x0840, "ERROR: could not get cluster_offset for sector {0}";
    /// Number 0: sector.
    VMDK_PAST_END = 0x0841, "ERROR: cluster offset for sector {0} points after EOF";

    // VDI.
    /// Number 0: place.
    VDI_SHARED = 0x0848, "ERROR: block index {0} also used by {0}";
    /// Numbers: block, place.
    VDI_LARGE = 0x0849, "ERROR: block index {0} too large, is {1}";
    /// Numbers: blocks found, blocks declared in the header.
    VDI_COUNT = 0x084a, "ERROR: allocated blocks mismatch, is {0}, should be {1}";

    // Parallels.
    /// Its last writer did not close it.
    PARALLELS_DIRTY = 0x0870, "ERROR image was not closed correctly";
    /// Clusters cannot begin there.
    PARALLELS_DATA_START = 0x0871, "ERROR data_off field has incorrect value";
    /// Number 0: entry.
    PARALLELS_OUTSIDE = 0x0872, "ERROR cluster {0} is outside image";
    /// Number 0: bytes.
    PARALLELS_LEAK = 0x0873, "ERROR space leaked at the end of the image {0}";
    /// Number 0: entry.
    PARALLELS_SHARED = 0x0874, "ERROR duplicate offset in BAT entry {0}";
    /// The same, put right.
    REPAIRING_DIRTY = 0x0878, "Repairing image was not closed correctly";
    /// The same, put right.
    REPAIRING_DATA_START = 0x0879, "Repairing data_off field has incorrect value";
    /// Number 0: entry.
    REPAIRING_OUTSIDE = 0x087a, "Repairing cluster {0} is outside image";
    /// Number 0: bytes.
    REPAIRING_LEAK = 0x087b, "Repairing space leaked at the end of the image {0}";
    /// Number 0: entry.
    REPAIRING_SHARED = 0x087c, "Repairing duplicate offset in BAT entry {0}";

    // VHDX.
    /// Number 0: entry.
    VHDX_OVERFLOW = 0x0850, "VHDX BAT entry {0} offset overflow.";
    /// Numbers: entry, offset, file size.
    VHDX_START = 0x0851, "VHDX BAT entry {0} start offset {1} points after end of file ({2}). Image has probably been truncated.";
    /// Numbers: entry, last byte, file size.
    VHDX_END = 0x0852, "VHDX BAT entry {0} end offset {1} points after end of file ({2}). Image has probably been truncated.";
    /// Numbers: start and end of the block, start and end of the region.
    VHDX_REGION = 0x0853, "VHDX region {0}-{1} overlaps with region {2}-{3}";
}

/// Whether the message starts with the name of the program.
#[must_use]
pub const fn is_prefixed(code: super::FaultCode) -> bool {
    matches!(code.0, 0x0834..=0x083f | 0x0850..=0x085f)
}
