//! Failures found in cloop images: 0x1500 to 0x15ff. The wording is that of qemu-img.

super::faults! {
    /// Blocks are no whole sectors. Number 0: their size.
    BLOCK_MULTIPLE = 0x1500, "block_size {0} must be a multiple of 512";
    /// Blocks have no bytes.
    BLOCK_ZERO = 0x1501, "block_size cannot be zero";
    /// Blocks are too large. Number 0: their size.
    BLOCK_LARGE = 0x1502, "block_size {0} must be 64 MB or less";
    /// Too many blocks. Numbers: how many, limit.
    BLOCKS = 0x1503, "n_blocks {0} must be {1} or less";
    /// Too many offsets.
    OFFSETS = 0x1504, "image requires too many offsets, try increasing block size";
    /// A block ends before it starts. Number 0: which.
    ORDER = 0x1505, "offsets not monotonically increasing at index {0}, image file is corrupt";
    /// A compressed block is too large. Number 0: which.
    STORED = 0x1506, "invalid compressed block size at index {0}, image file is corrupt";
}
