//! Failures found in Parallels disks: 0x0d00 to 0x0dff. The wording is that of qemu-img where it has one.

super::faults! {
    /// Another magic or version.
    MAGIC = 0x0d00, "Image not in Parallels format";
    /// Clusters of no sectors.
    NO_CLUSTER = 0x0d01, "Invalid image: Zero sectors per track";
    /// No cluster has that size.
    CLUSTER_LARGE = 0x0d02, "Invalid image: Too big cluster";
    /// The BAT is larger than any.
    CATALOG_LARGE = 0x0d03, "Catalog too large";
    /// The format extension is where nothing can be.
    EXTENSION_OFFSET = 0x0d04, "Invalid image: Too big offset";
    /// The disk is larger than any.
    DISK_LARGE = 0x0d05, "the image claims a disk of more than 2^63 bytes";
    /// A cluster that is not in the file, or in the BAT. Numbers: its number, its offset, bytes of the file.
    OUTSIDE = 0x0d06, "cluster {0} claims to start at byte {1}, in the header or outside the file of {2} bytes";
    /// The extension is none. Numbers: what it begins with, what it should.
    EXTENSION_MAGIC = 0x0d10, "Wrong parallels Format Extension magic: 0x{0:x}, expected: 0x{1:x}";
    /// The extension is not what was written.
    EXTENSION_SUM = 0x0d11, "Wrong checksum in Format Extension header. Format extension is corrupted.";
    /// The features have no end. Numbers: bytes left, bytes of a feature.
    EXTENSION_SHORT = 0x0d12, "Can not read feature header, as remaining bytes ({0}) in Format Extension is less than Feature header size ({1})";
    /// Flags of a feature.
    EXTENSION_FLAGS = 0x0d13, "Flags for extension feature are unsupported";
    /// A feature is larger than what is left.
    FEATURE_LARGE = 0x0d14, "Feature data_size exceedes Format Extension cluster";
    /// A feature that nobody knows. Text: its number, hexadecimal.
    FEATURE_UNKNOWN = 0x0d15, "Unknown feature: 0x{text}";
    /// A bitmap that is none. Numbers: bytes, bytes at least.
    BITMAP_SHORT = 0x0d18, "Too small Bitmap Feature area in Parallels Format Extension: {0} bytes, expected at least {1} bytes";
    /// A bitmap of another disk. Numbers: its sectors, those of the disk.
    BITMAP_SIZE = 0x0d19, "Bitmap size (in sectors) {0} differs from disk size in sectors {1}";
    /// The table of a bitmap is larger than its feature.
    BITMAP_TABLE = 0x0d1a, "Bitmaps feature corrupted: l1 table exceeds extension data_size";
    /// The table of a bitmap has another number of entries. Numbers: it, the right one.
    BITMAP_ENTRIES = 0x0d1b, "Bitmap table size {0} does not correspond to bitmap size and cluster size. Expected {1}";
    /// An extension that is larger than any. Numbers: its bytes, the limit.
    EXTENSION_LARGE = 0x0d1e, "the format extension has {0} bytes; the limit is {1}";
    /// Two bitmaps of one name. Text: it.
    BITMAP_TWICE = 0x0d1d, "Bitmap already exists: {text}";
    /// A bit stands for no power of two. Number 0: sectors.
    BITMAP_GRANULARITY = 0x0d1c, "a bit of a bitmap stands for {0} sectors, which is no power of two";
    /// New images: no cluster has that size.
    CREATE_CLUSTER = 0x0d20, "Cluster size is too large";
    /// New images: there would be too many clusters.
    CREATE_SIZE = 0x0d21, "Image size is too large for this cluster size";
    /// Writing: clusters would be written to that belong to two places. Number 0: how many.
    SHARED = 0x0d22, "{0} clusters of the image are used more than once; repair it with 'check -r all' before writing to it";
    /// Writing: entries lead nowhere, or the header says something that cannot be. Number 0: how many entries.
    DAMAGED = 0x0d23, "the image is damaged ({0} entries lead nowhere); repair it with 'check -r all' before writing to it";
}
