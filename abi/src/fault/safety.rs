//! What `info --safety` finds: 1792 to 1855. They are no failures.

super::faults! {
    /// Two formats at once. Text: both names.
    POLYGLOT = 1792, "the file is {text} at once: what it is depends on who reads it";
    /// Said to be raw. Text: the format whose mark it bears.
    MARKED = 1793, "said to be raw, the file bears the mark of {text}: whoever does not know takes it for that";
    /// A format that is not ours. Text: its name.
    FOREIGN = 1794, "the file bears the mark of {text}, which instar does not read";
    /// Looks raw, but ends like a fixed VHD.
    FOOTER = 1795, "taken for raw, the file ends like a fixed VHD: name the format with -f";
    /// A layer below. Text: its name.
    BACKING_FILE = 1796, "it reads what it does not have from '{text}'";
    /// An external data file. Text: its name.
    DATA_FILE = 1797, "its data is in another file, '{text}'";
    /// An external data file without a name.
    DATA_FILE_UNNAMED = 1798, "its data is in another file that it does not name";
    /// Extents in other files. Text: the first name.
    EXTENT_FILES = 1799, "pieces of its disk are in other files, the first of them '{text}'";
    /// A table that does not fit. Numbers: offset, bytes, file size.
    TABLE_OUTSIDE = 1800, "a table of {1} bytes at byte {0} does not fit into the file of {2} bytes";
    /// Tables point at the same bytes again. Numbers: bytes referred to, bytes there.
    AMPLIFIED = 1801, "it refers to {0} bytes of a file that has {1}: to some of them more than once";
    /// Compressed data is used twice.
    SHARED_STREAMS = 1802, "it uses the same compressed data for more than one part of the disk";
    /// Encrypted.
    ENCRYPTED = 1803, "it is encrypted; what its tables refer to was not looked at";
    /// Not closed cleanly.
    DIRTY = 1804, "it was not closed cleanly; it may be in use, or its writer has crashed";
    /// Marked corrupt.
    CORRUPT = 1805, "it is marked as corrupt";
    /// Data past the file's end. Numbers: offset, file size.
    CUT_SHORT = 1806, "it refers to byte {0} of a file of {1} bytes: the file was cut short";
    /// A table is used twice.
    SHARED_TABLES = 1807, "it uses the same table for more than one part of the disk";
    /// A fixed VHD, named as such.
    FIXED_VHD = 1808, "a fixed VHD is a disk and a footer behind it: readers that are not told so take it for a raw disk";
}
