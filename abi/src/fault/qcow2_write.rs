//! Failures of making or overwriting qcow2 images: 0x0280 to 0x02ff.

super::faults! {
    /// A cluster size out of range.
    CLUSTER_SIZE = 0x0280, "Cluster size must be a power of two between 512 and 2048k";
    /// A refcount width out of range.
    REFCOUNT_WIDTH = 0x0281, "Refcount width must be a power of two and may not exceed 64 bits";
    /// Clusters too small to have subclusters.
    EXTENDED_CLUSTER = 0x0282, "Extended L2 entries are only supported with cluster sizes of at least 16384 bytes";
    /// The L1 table would exceed its limit.
    TOO_LARGE = 0x0283, "The image size is too large for file format 'qcow2' (try using a larger cluster size)";
    /// A version other than 2 and 3.
    VERSION = 0x0284, "Unsupported qcow2 version {0}";
    /// Subclusters in version 2.
    EXTENDED_VERSION = 0x0285, "Extended L2 entries are only supported with compatibility level 1.1 and above (use version=v3 or greater)";
    /// Lazy refcounts in version 2.
    LAZY_VERSION = 0x0286, "Lazy refcounts only supported with compatibility level 1.1 and above (use version=v3 or greater)";
    /// A refcount width in version 2.
    WIDTH_VERSION = 0x0287, "Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or greater)";
    /// A compression type in version 2.
    COMPRESSION_VERSION = 0x0288, "Non-zlib compression type is only supported with compatibility level 1.1 and above (use version=v3 or greater)";
    /// A data file in version 2.
    DATA_FILE_VERSION = 0x0289, "External data files are only supported with compatibility level 1.1 and above (use version=v3 or greater)";
    /// `data_file_raw` without `data_file`.
    RAW_WITHOUT_DATA_FILE = 0x028a, "data-file-raw requires data-file";
    /// `data_file_raw` over a backing file.
    RAW_WITH_BACKING = 0x028b, "Backing file and data-file-raw cannot be used at the same time";
    /// Preallocation over a backing file without subclusters.
    PREALLOCATION_WITH_BACKING = 0x028c, "Backing file and preallocation can only be used at the same time if extended_l2 is on";
    /// `-c` with preallocation.
    PREALLOCATION_COMPRESSED = 0x028d, "Compression and preallocation not supported at the same time";
    /// The names do not fit the header. Numbers: bytes of the header, limit.
    HEADER_TOO_LONG = 0x028e, "the names of backing and data file make a header of {0} bytes, which must fit in one cluster of {1} bytes (use shorter names or a larger cluster size)";
    /// A name is too long. Numbers: length, limit. Text: the name.
    NAME_TOO_LONG = 0x028f, "the name '{text}' has {0} bytes; the format allows at most {1}";
    /// The refcount table would exceed its limit. Numbers: clusters needed, limit in bytes.
    REFCOUNT_TABLE = 0x0290, "the refcount table would take more than {1} bytes (try using a larger cluster size)";
    /// The existing image is marked corrupt.
    TARGET_CORRUPT = 0x0292, "qcow2: Image is corrupt; cannot be opened read/write";
    /// The existing image has an external data file that was not opened for writing.
    TARGET_DATA_FILE = 0x0294, "the image keeps its data in another file, '{text}'; name it with -o data_file= to write to it";
    /// A table of the existing image has an impossible entry. Numbers: entry, byte offset.
    TARGET_TABLE = 0x0295, "the image's tables are damaged (entry {0} at byte {1}); repair it with 'check -r all' before writing to it";
    /// A count in the existing image would pass its width. Numbers: cluster, count.
    TARGET_REFCOUNT = 0x0296, "the image's refcounts are damaged (cluster {0} is in use, but its refcount is {1}); repair it with 'check -r all' before writing to it";
    /// `snapshot -a` of an image that has bitmaps.
    APPLY_WITH_BITMAPS = 0x0297, "Device has active dirty bitmaps";
    /// `snapshot -a` of a snapshot that the image does not have.
    APPLY_MISSING = 0x0298, "Failed to load snapshot: No such file or directory";
    /// `snapshot -a` of an image that keeps its data in another file.
    APPLY_DATA_FILE = 0x0299, "Failed to load snapshot: Operation not supported";
    /// `snapshot -d` of a snapshot that the image does not have.
    DELETE_MISSING = 0x029a, "snapshot not found";
    /// `snapshot -a` of an image whose format has no snapshots.
    NO_SNAPSHOTS = 0x029b, "Block driver does not support snapshots";
    /// The header cannot be replaced in one step. Number 0: bytes of the first cluster.
    HEADER_NO_ROOM = 0x029c, "the header and the names in it leave too little room in the first cluster of {0} bytes to replace them in one step (use shorter names)";
    /// `measure` of a disk whose L1 table would exceed its limit.
    MEASURE_TOO_LARGE = 0x02b0, "The image size is too large (try using a larger cluster size)";
    /// Another layer below, without its format.
    BACKING_FORMAT_MISSING = 0x02c0, "backing format must be specified";
    /// The name of another layer below does not fit the first cluster beside what is there.
    HEADER_FULL = 0x02c1, "No space left in the file header";
}
