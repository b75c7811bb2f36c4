//! Failures found in qed images: 0x1700 to 0x17ff. The wording is that of qemu-img where it has one.

super::faults! {
    /// Another magic.
    MAGIC = 0x1700, "Image not in QED format";
    /// Features that this driver does not know. Text: their bits, hexadecimal.
    FEATURES = 0x1701, "Unsupported QED features: {text}";
    /// No cluster has that size.
    CLUSTER_SIZE = 0x1702, "QED cluster size is invalid";
    /// No table has that size.
    TABLE_SIZE = 0x1703, "QED table size is invalid";
    /// The disk is no whole number of sectors, or larger than the tables can describe.
    IMAGE_SIZE = 0x1704, "QED image size is invalid";
    /// The L1 table is not where one can be.
    TABLE_OFFSET = 0x1705, "QED table offset is invalid";
    /// The header has more bytes than 32 bits can say.
    HEADER_SIZE = 0x1706, "QED header size is too large";
    /// The name of the layer below is not in the header.
    NAME_OFFSET = 0x1707, "QED backing filename offset is invalid";
    /// The name of the layer below is too long.
    NAME = 0x1708, "Failed to read backing filename";
    /// A table or a cluster that is not where one can be. Numbers: its number, its offset.
    ENTRY = 0x1709, "Invalid argument";
    /// The same, where the reference tool has no words. Numbers: as before.
    ENTRY_SAID = 0x170a, "table or cluster {0} claims to start at byte {1}, where none can be";
    /// New images: the disk is too large. Number 0: limit.
    CREATE_SIZE = 0x1710, "QED image size must be a non-zero multiple of cluster size and less than {0} bytes";
    /// Writing: clusters would be written to that belong to two places. Number 0: how many.
    SHARED = 0x1711, "{0} clusters of the image are used more than once; 'convert' makes a sound copy of it";
    /// Writing: entries lead nowhere. Number 0: how many.
    DAMAGED = 0x1712, "the image's tables are damaged ({0} entries lead nowhere); repair it with 'check -r all' before writing to it";
    /// Another size that no disk has.
    RESIZE_SIZE = 0x1713, "Invalid image size specified";
    /// Another size that is smaller.
    RESIZE_SMALLER = 0x1714, "Shrinking images is currently not supported";
    /// What is added would show the layer below.
    UNCOVERS = 0x1715, "Block driver does not support requested flags";
}
