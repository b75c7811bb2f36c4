//! Findings of `info --safety`: 1792 to 1855. They are not failures.

super::faults! {
    /// Two formats at once. Text: both names.
    POLYGLOT = 1792, "the file is {text} at once; which of them a program sees depends on the program";
    /// Declared raw. Text: the format whose signature the file carries.
    MARKED = 1793, "declared raw, but carries the signature of {text}; a tool that guesses formats would open it as that";
    /// A format that instar does not read. Text: its name.
    FOREIGN = 1794, "the file carries the signature of {text}, a format that instar does not read";
    /// Looks raw, but ends like a fixed VHD.
    FOOTER = 1795, "taken for raw, but ends like a fixed VHD; name the format with -f";
    /// A layer below. Text: its name.
    BACKING_FILE = 1796, "the image has a backing file, '{text}'";
    /// An external data file. Text: its name.
    DATA_FILE = 1797, "the image keeps its data in another file, '{text}'";
    /// An external data file without a name.
    DATA_FILE_UNNAMED = 1798, "the image keeps its data in another file and does not name it";
    /// Extents in other files. Text: the first name.
    EXTENT_FILES = 1799, "parts of the disk are in other files, the first of which is '{text}'";
    /// A table that does not fit. Numbers: offset, bytes, file size.
    TABLE_OUTSIDE = 1800, "a table of {1} bytes at byte {0} does not fit in the file, which has {2} bytes";
    /// Tables refer to the same bytes twice. Numbers: bytes referred to, bytes present.
    AMPLIFIED = 1801, "the image refers to {0} bytes in a file of {1} bytes, to some of them more than once";
    /// Compressed data is used twice.
    SHARED_STREAMS = 1802, "the image uses the same compressed data for more than one part of the disk";
    /// Encrypted.
    ENCRYPTED = 1803, "the image is encrypted; the data that its tables refer to was not checked";
    /// Not closed cleanly.
    DIRTY = 1804, "the image was not closed cleanly; it may be in use, or its writer may have crashed";
    /// Marked corrupt.
    CORRUPT = 1805, "the image is marked as corrupt";
    /// Data past the end of the file. Numbers: offset, file size.
    CUT_SHORT = 1806, "the image refers to byte {0}, but its file has only {1} bytes: it was cut short";
    /// A table is used twice.
    SHARED_TABLES = 1807, "the image uses the same table for more than one part of the disk";
    /// A fixed VHD, named as such.
    FIXED_VHD = 1808, "a fixed VHD is a raw disk followed by a footer; programs that are not told the format take it for a raw disk";
}
