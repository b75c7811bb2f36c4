//! What speaks against other options of an image: 0x0a00 to 0x0aff.

super::faults! {
    /// An image of a format that has nothing to amend. Text: the format.
    UNSUPPORTED = 0x0a00, "Format driver '{text}' does not support option amendment";
    /// Options of encryption for an image without.
    NOT_ENCRYPTED = 0x0a01, "Can't amend encryption options - encryption not present";
    /// A version that is none. Text: the word.
    COMPAT = 0x0a02, "Unknown compatibility level {text}";
    /// A refcount width that is none.
    WIDTH = 0x0a03, "Refcount width must be a power of two and may not exceed 64 bits";
    /// `data_file` for an image that has its data in itself.
    NO_DATA_FILE = 0x0a04, "data-file can only be set for images that use an external data file";
    /// `data_file` without a name.
    DATA_FILE_EMPTY = 0x0a05, "'data-file' is required for this image";
    /// `data_file_raw=on` for an image whose data file is none.
    DATA_FILE_RAW = 0x0a06, "data-file-raw cannot be set on existing images";
    /// A refcount width in version 2.
    WIDTH_VERSION = 0x0a07, "Refcount widths other than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)";
    /// A count that the new width has no room for. Numbers: bits, offset, count.
    WIDTH_NARROW = 0x0a08, "Cannot decrease refcount entry width to {0} bits: Cluster at offset {1:#x} has a refcount of {2}";
    /// A refcount table that would be too large.
    TABLE_LARGE = 0x0a09, "This operation would make the refcount table grow beyond the maximum size supported by QEMU, aborting";
    /// Another layer below.
    BACKING = 0x0a0a, "Cannot amend the backing file\nYou can use 'qemu-img rebase' instead.";
    /// Lazy refcounts in version 2.
    LAZY_VERSION = 0x0a0b, "Lazy refcounts only supported with compatibility level 1.1 and above (use compat=1.1 or greater)";
    /// Version 2 with counts of another width.
    DOWN_WIDTH = 0x0a0c, "compat=0.10 requires refcount_bits=16";
    /// Version 2 with a data file.
    DOWN_DATA_FILE = 0x0a0d, "Cannot downgrade an image with a data file";
    /// Version 2 with snapshots of another size, or with much of a machine's state.
    DOWN_SNAPSHOTS = 0x0a0e, "Internal snapshots prevent downgrade of image";
    /// Version 2 with features that it does not have. Number: their bits.
    DOWN_FEATURES = 0x0a0f, "Cannot downgrade an image with incompatible features {0:#x} set";
    /// Version 2 with clusters that only version 3 decompresses.
    DOWN_ZSTD = 0x0a10, "Cannot downgrade an image with zstd compression type and existing compressed clusters";
    /// A size that the reference tool takes for one below zero.
    SIZE_NEGATIVE = 0x0a11, "Image size cannot be negative";
    /// A size that makes the disk shorter, and the user has not said that it may.
    SHORTER = 0x0a12, "size= would make the disk shorter: what is behind its new end would be lost; --force does so";
    /// Options of encryption for an image whose encryption has no key slots.
    NOT_LUKS = 0x0a13, "Only LUKS encryption options can be amended";
}
