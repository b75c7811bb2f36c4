//! Bounds that both sides hold to. Each says whose it is.

/// Lanes at most; `-m` of qemu-img's `convert` ends at 16 too.
pub const LANES: usize = 16;

/// Requests in one batch. Ours: 256 copies of one 4 KiB cluster make a megabyte, worth one doorbell.
pub const BATCH: usize = 256;

/// Files that one run may have open. Ours: a split VMDK with all the extents that it may have, and layers, data files and
/// targets besides. The system's limit for the process comes first where that is lower.
pub const SLOTS: usize = crate::vmdk::EXTENTS_MAX + 1024;

/// Bytes kept of one name found in an image. Ours; qcow2 allows 1023, VMDK descriptors a little more.
pub const IMAGE_TEXT: usize = 4096;

/// Layers in a backing chain. Ours: reference/qemu-img follows thousands, at the caller's cost.
pub const CHAIN_DEPTH: usize = 256;

/// Findings of one `check` that are reported one by one; those behind them are counted. Ours: nobody reads more, and a small
/// image can have billions.
pub const FINDINGS: u64 = 65536;

/// Bytes of one report. Ours.
pub const REPORT_BYTES: usize = 1 << 20;

/// Bytes of one job. Ours.
pub const JOB_BYTES: usize = 960 << 10;

/// Largest single Read or Write, in bytes. Ours: bounds how long one request can hold a lane.
pub const TRANSFER: u64 = 64 << 20;

/// Largest single Copy, Zero or Discard, in bytes. Ours; also one more than the largest file offset that Linux has.
pub const FILE_END: u64 = 1 << 63;
