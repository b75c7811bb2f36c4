//! What speaks against an action on bitmaps: 0x0900 to 0x09ff.

super::faults! {
    /// `--add` without a name.
    NO_NAME = 0x0900, "Bitmap name cannot be empty";
    /// `--add` with a granularity that is none. Number 0: bytes.
    GRANULARITY = 0x0901, "Granularity must be power of 2 and at least 512";
    /// `--add` of a name that is taken. Text: the name.
    EXISTS = 0x0902, "Bitmap already exists: {text}";
    /// `--add` in an image of a format without bitmaps.
    NO_BITMAPS = 0x0903, "Operation not supported";
    /// `--add` in a version 2 image.
    VERSION = 0x0904, "Cannot store dirty bitmaps in qcow2 v2 files";
    /// A name too long. Number 0: limit.
    NAME_LONG = 0x0905, "Name length exceeds maximum ({0} characters)";
    /// Too many bits. Number 0: bytes of them.
    TOO_LARGE = 0x0906, "Too much space will be occupied by the bitmap. Use larger granularity";
    /// Too many bitmaps.
    TOO_MANY = 0x0907, "Maximum number of persistent bitmaps is already reached";
    /// Their directory is full.
    DIRECTORY_FULL = 0x0908, "Not enough space in the bitmap directory";
    /// There is no such bitmap. Text: the name.
    MISSING = 0x0909, "Dirty bitmap '{text}' not found";
    /// It was not saved cleanly. Text: the name.
    INCONSISTENT = 0x090a, "Bitmap '{text}' is inconsistent and cannot be used\nTry block-dirty-bitmap-remove to delete this bitmap from disk";
    /// `--merge` of a bitmap of another disk. Numbers: bytes of this disk, of that one.
    SIZES = 0x090b, "Bitmaps are of different sizes (destination size is {0}, source size is {1}) and can't be merged";
    /// `--add` for a disk without a byte.
    NO_DISK = 0x090c, "A disk of no size has nothing that a bitmap could record";
}
