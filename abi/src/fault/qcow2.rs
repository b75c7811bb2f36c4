//! Failures found in qcow2 images: 0x0200 to 0x02ff; those of making one begin at 0x0280.

super::faults! {
    /// Version other than 2 and 3. Number 0: version.
    VERSION = 0x0200, "Unsupported qcow2 version {0}";
    /// No magic.
    NOT_QCOW2 = 0x0201, "Image is not in qcow2 format";
    /// Cluster size. Number 0: its log2.
    CLUSTER_BITS = 0x0202, "Unsupported cluster size: 2^{0}";
    /// A version 3 header of less than 104 bytes. Number 0: its length.
    HEADER_SHORT = 0x0203, "qcow2 header too short";
    /// A header longer than a cluster. Numbers: length, cluster size.
    HEADER_LONG = 0x0204, "qcow2 header exceeds cluster size";
    /// The backing file name is outside the first cluster. Number 0: offset.
    BACKING_OFFSET = 0x0205, "Invalid backing file offset";
    /// The backing file name is too long. Numbers: length, limit.
    BACKING_LENGTH = 0x0206, "Backing file name too long";
    /// An unknown compression type. Number 0: type.
    COMPRESSION_TYPE = 0x0207, "qcow2: unknown compression type: {0}";
    /// Other than zlib, without the feature bit.
    COMPRESSION_BIT_UNSET = 0x0208, "qcow2: Compression type incompatible feature bit must be set";
    /// Zlib, with the feature bit.
    COMPRESSION_BIT_SET = 0x0209, "qcow2: Compression type incompatible feature bit must not be set";
    /// Incompatible features. Text: their names, from the image's table where it has them.
    FEATURES = 0x020a, "Unsupported qcow2 feature(s): {text}";
    /// Clusters are too small for subclusters. Number 0: the size that subclusters would have.
    SUBCLUSTER_SIZE = 0x020b, "Unsupported subcluster size: {0}";
    /// Refcount width. Number 0: its log2.
    REFCOUNT_ORDER = 0x020c, "Reference count entry width too large; may not exceed 64 bits";
    /// Encryption method. Number 0: method.
    CRYPT_METHOD = 0x020d, "Unsupported encryption method {0}";
    /// No refcount table.
    NO_REFCOUNT_TABLE = 0x020e, "Image does not contain a reference count table";
    /// A table has too many entries. Numbers: entries, limit; text: which.
    TABLE_LARGE = 0x020f, "{text} too large";
    /// A table is not aligned, or starts beyond the largest possible file. Number 0: offset; text: which.
    TABLE_OFFSET = 0x0210, "{text} offset invalid";
    /// The size needs an L1 table larger than any reader accepts. Number 0: size.
    TOO_BIG = 0x0211, "Image is too big";
    /// The L1 table does not reach the size. Numbers: entries, entries needed.
    L1_SMALL = 0x0212, "L1 table is too small";
    /// Header extension beyond its area. Numbers: offset, length.
    EXTENSION_LARGE = 0x0213, "Header extension too large";
    /// Backing format name too long. Number 0: length.
    BACKING_FORMAT_LENGTH = 0x0214, "ERROR: ext_backing_format: len={0} too large (>=16)";
    /// Bitmaps extension of the wrong length. Number 0: length.
    BITMAPS_LENGTH = 0x0215, "bitmaps_ext: Invalid extension length";
    /// Bitmaps extension with its reserved field set.
    BITMAPS_RESERVED = 0x0216, "bitmaps_ext: Reserved field is not zero";
    /// Bitmaps extension without bitmaps.
    BITMAPS_NONE = 0x0217, "found bitmaps extension with zero bitmaps";
    /// Too many bitmaps. Numbers: bitmaps, limit.
    BITMAPS_MANY = 0x0218, "bitmaps_ext: Image has {0} bitmaps, exceeding the QEMU supported maximum of {1}";
    /// The bitmap directory is not aligned. Number 0: offset.
    BITMAPS_OFFSET = 0x0219, "bitmaps_ext: invalid bitmap directory offset";
    /// The bitmap directory is too large. Numbers: bytes, limit.
    BITMAPS_SIZE = 0x021a, "bitmaps_ext: bitmap directory size ({0}) exceeds the maximum supported size ({1})";
    /// A warning: the bitmaps may not agree with the data.
    BITMAPS_STALE = 0x021b, "a program lacking bitmap support modified this file, so all bitmaps are now considered inconsistent\nSome clusters may be leaked, run 'qemu-img check -r' on the image file to fix.";
    /// The bitmap directory is empty.
    BITMAP_DIRECTORY_EMPTY = 0x021c, "Requested bitmap directory size is zero";
    /// A bitmap directory entry does not fit.
    BITMAP_DIRECTORY_BROKEN = 0x021d, "Broken bitmap directory";
    /// More entries than the header says.
    BITMAPS_MORE = 0x021e, "More bitmaps found than specified in header extension";
    /// Fewer entries than the header says.
    BITMAPS_LESS = 0x021f, "Less bitmaps found than specified in header extension";
    /// A bitmap with extra data.
    BITMAP_EXTRA_DATA = 0x0220, "Bitmap extra data is not supported";
    /// A bitmap against the rules. Text: its name.
    BITMAP_ENTRY = 0x0221, "Bitmap '{text}' doesn't satisfy the constraints";
    /// A CRYPTO extension without LUKS.
    CRYPTO_UNEXPECTED = 0x0222, "CRYPTO header extension only expected with LUKS encryption method";
    /// A CRYPTO extension of the wrong length. Number 0: length.
    CRYPTO_LENGTH = 0x0223, "CRYPTO header extension size {0}, but expected size 16";
    /// The LUKS header is not aligned. Numbers: offset, cluster size.
    CRYPTO_OFFSET = 0x0224, "Encryption header offset '{0}' is not a multiple of cluster size '{1}'";
    /// LUKS without its extension. Number 0: method.
    CRYPTO_MISSING = 0x0225, "Missing CRYPTO header for crypt method {0}";
    /// The data file bit without a name.
    DATA_FILE_MISSING = 0x0226, "'data-file' is required for this image";
    /// The raw bit without a data file.
    DATA_FILE_RAW = 0x0227, "data-file-raw requires a data file";
    /// Extra data of a snapshot. Number 0: index.
    SNAPSHOT_EXTRA = 0x0228, "Too much extra metadata in snapshot table entry {0}";
    /// The snapshot table is too long. Numbers: bytes, limit.
    SNAPSHOT_TABLE = 0x0229, "Snapshot table is too big";
    /// The snapshot table continues past the end of the file. Numbers: entry, file size.
    SNAPSHOT_TABLE_CUT = 0x022a, "the file ends at byte {1}, before entry {0} of the snapshot table";
    /// L1 entry. Numbers: offset, L1 index.
    L2_UNALIGNED = 0x022b, "qcow2: Image is corrupt: L2 table offset {0} unaligned (L1 index: {1})";
    /// L2 entry. Numbers: cluster offset, guest offset.
    CLUSTER_UNALIGNED = 0x022c, "qcow2: Image is corrupt: Cluster allocation offset {0} unaligned (guest offset: {1})";
    /// Zero flag in version 2. Number 0: guest offset.
    ZERO_IN_V2 = 0x022d, "qcow2: Image is corrupt: Zero cluster entry found in pre-v3 image (guest offset: {0})";
    /// Compressed cluster beside a data file. Number 0: guest offset.
    COMPRESSED_IN_DATA_FILE = 0x022e, "qcow2: Image is corrupt: Compressed cluster entry found in image with external data file (guest offset: {0})";
    /// A cluster of a data file is not at its guest offset. Numbers: host offset, guest offset.
    DATA_FILE_OFFSET = 0x022f, "qcow2: Image is corrupt: External data file host cluster offset {0} does not match guest cluster offset: {1}";
    /// Subcluster bits contradict each other. Number 0: guest offset.
    SUBCLUSTERS = 0x0230, "qcow2: Image is corrupt: Invalid cluster entry found (guest offset: {0})";
    /// A table beyond the largest file offset. Number 0: offset.
    L1_UNREADABLE = 0x0233, "Could not read L1 table: Input/output error";
    /// The LUKS header would not be where it has its place.
    CRYPTO_OUTSIDE = 0x0270, "Request for data outside of extension header";
    /// An encrypted image, and no secret was named for it.
    NO_KEY = 0x0271, "Parameter 'encrypt.key-secret' is required for cipher";
    /// The user says that it is encrypted otherwise. Text: how.
    ENCRYPTED_BY_AES = 0x0272, "Header reported 'aes' encryption format but options specify '{text}'";
    /// The same.
    ENCRYPTED_BY_LUKS = 0x0273, "Header reported 'luks' encryption format but options specify '{text}'";
    /// The user says that it is encrypted. Text: how.
    NOT_ENCRYPTED = 0x0274, "No encryption in image header, but options specified format '{text}'";
}
