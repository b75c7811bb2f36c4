//! Failures found in qcow images of version 1: 0x0c00 to 0x0cff. The wording is that of qemu-img where it has one.

super::faults! {
    /// Another magic.
    MAGIC = 0x0c00, "Image not in qcow format";
    /// A version of which there is no driver. Number 0: it.
    VERSION = 0x0c01, "qcow (v1) does not support qcow version {0}";
    /// A version that another driver reads. Number 0: it.
    VERSION_2 = 0x0c02, "qcow (v1) does not support qcow version {0}\nTry the 'qcow2' driver instead.";
    /// A disk of one byte or none.
    SIZE_SMALL = 0x0c03, "Image size is too small (must be at least 2 bytes)";
    /// No cluster has that size.
    CLUSTER_SIZE = 0x0c04, "Cluster size must be between 512 and 64k";
    /// No L2 table has that size.
    TABLE_SIZE = 0x0c05, "L2 table size must be between 512 and 64k";
    /// A method of encryption that does not exist.
    CRYPT_METHOD = 0x0c06, "invalid encryption method in qcow header";
    /// The disk is larger than tables can describe.
    SIZE_LARGE = 0x0c07, "Image too large";
    /// The name of the layer below is too long.
    NAME = 0x0c08, "Backing file name too long";
    /// A cluster that cannot be read. Numbers: its number, its entry.
    ENTRY = 0x0c09, "Input/output error";
    /// The same, where the reference tool has no words. Numbers: as before.
    ENTRY_SAID = 0x0c0a, "cluster {0} has the entry {1}, which leads to no cluster";
    /// A table that is not in the file, or in the header. Numbers: its offset, its bytes, bytes of the file.
    TABLE_OUTSIDE = 0x0c0b, "a table of {1} bytes claims to start at byte {0}, in the header or outside the file of {2} bytes";
    /// A cluster that is not in the file, or in the header. Numbers: its number, its offset, bytes of the file.
    CLUSTER_OUTSIDE = 0x0c0c, "cluster {0} claims to start at byte {1}, in the header or outside the file of {2} bytes";
    /// New images: there is no disk.
    CREATE_EMPTY = 0x0c10, "Image size is too small, cannot be zero length";
    /// Writing: parts of the file would be written to that belong to two places. Number 0: how many.
    SHARED = 0x0c11, "{0} clusters of the image are used more than once; 'convert' makes a sound copy of it";
}
