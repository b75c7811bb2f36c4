//! Failures that no format owns: 1 to 255.

super::faults! {
    /// A host operation failed. Number 0: errno.
    IO = 1, "{errno}";
    /// A read met the end of a file. Numbers: offset, bytes wanted, file size.
    SHORT_READ = 2, "the file ends at byte {2}, before the {1} bytes at offset {0} that the image refers to";
    /// Gate: names in images are not followed under this policy.
    REFUSED_UNTRUSTED = 3, "the image names another file, '{text}', and it is not trusted to (--untrusted or untrusted-dir)";
    /// Gate: outside.
    REFUSED_OUTSIDE = 4, "the image names a file elsewhere, '{text}'; if you trust the image, record that with 'instar trust', or allow the directory with --allow-dir DIR or allow-dir in /etc/instar.toml";
    /// Gate: no plain file name.
    REFUSED_NAME = 5, "the image names '{text}', which is no plain file name; URLs and block-layer trees in images are never followed";
    /// Gate: not a regular file, nor a block device that a rule lets in.
    REFUSED_KIND = 6, "the image names '{text}', which is not a regular file; block devices are opened in directories allowed with --allow-dir";
    /// Gate: too many.
    REFUSED_COUNT = 7, "the image refers to too many files";
    /// A lock is in the way.
    REFUSED_LOCK = 8, "Failed to get shared \"write\" lock";
    /// Gate: what the run writes to.
    REFUSED_TARGET = 60, "the image names '{text}', which this run writes to: it would be overwritten while it is read";
    /// The output limit of this run.
    REFUSED_OUTPUT = 9, "the output would grow past the limit that --max-output sets";
    /// A chain of backing files is too deep. Number 0: limit.
    CHAIN_TOO_DEEP = 10, "the backing chain has more than {0} layers; raise the limit with --max-chain if you trust the image";
    /// A chain comes back to a file already in it.
    CHAIN_LOOP = 11, "Backing file '{text}' creates an infinite loop.";
    /// The image matches two formats. Numbers: none; text: both names.
    AMBIGUOUS_FORMAT = 12, "the file looks like more than one format ({text}); name the right one with -f";
    /// A format that this build does not know.
    UNKNOWN_FORMAT = 13, "Unknown driver '{text}'";
    /// The image is not of the format asked for. Text: format.
    NOT_THIS_FORMAT = 14, "Image is not in {text} format";
    /// Guest memory is used up. Number 0: bytes wanted.
    OUT_OF_MEMORY = 15, "the sandbox has no memory left for {0} more bytes; raise it with --memory";
    /// More stored bytes are referred to than are stored. Numbers: referred to, stored, limit.
    WORK_LIMIT = 16, "its tables refer to {0} bytes of data, and it stores {1}: the limit is {2}, since no sound image uses the same data again and again; --max-output lifts it if you trust the image";
    /// Compressed data is used again. Numbers: bytes decoded again, limit.
    STREAM_LIMIT = 50, "{0} bytes would be decoded from compressed data that was decoded before: the limit is {1}, since no sound image uses the same data again and again; --max-output lifts it if you trust the image";
    /// A table stands for several parts of the disk. Numbers: bytes of such tables, limit.
    SHARED_TABLES = 51, "{0} bytes of its tables stand for more than one part of the disk: the limit is {1}, since no sound image has such tables; --max-output without --untrusted lifts it if you trust the image";
    /// Virtual size over the cap. Numbers: size, cap.
    VIRTUAL_SIZE_LIMIT = 17, "the virtual size of {0} bytes exceeds the limit of {1} bytes; raise --max-size if you trust the image";
    /// The part of a raw image that the user asked for begins past its end. Numbers: offset, size of the file.
    WINDOW_OFFSET = 45, "Offset ({0}) cannot be greater than size of the containing file ({1})";
    /// Likewise, ends past its end. Numbers: offset, length, size of the file.
    WINDOW_LENGTH = 46, "The sum of offset ({0}) and size ({1}) has to be smaller or equal to the  actual size of the containing file ({2})";
    /// Likewise, is no whole sectors long. Number: length.
    WINDOW_SECTORS = 47, "Specified size is not multiple of 512";
    /// The target has a bitmap of that name already. Text: the name.
    BITMAP_EXISTS = 48, "Failed to create bitmap {text}: Bitmap already exists: {text}";
    /// Source and target have other sizes, which are those of their bitmaps. Numbers: target's, source's. Text: a bitmap's name.
    BITMAP_SIZES = 49, "Failed to populate bitmap {text}: Bitmaps are of different sizes (destination size is {0}, source size is {1}) and can't be merged";
    /// No such snapshot.
    NO_SNAPSHOT = 18, "Can't find snapshot";
    /// The format has no internal snapshots. Text: format.
    SNAPSHOTS_UNSUPPORTED = 19, "Block format '{text}' used by device '' does not support temporarily loading internal snapshots";
    /// Compressed data is damaged. Numbers: file offset.
    BAD_COMPRESSED_DATA = 20, "the compressed data at byte {0} is damaged";
    /// The target cannot hold this size. Numbers: size, limit.
    TARGET_TOO_LARGE = 21, "an image of {0} bytes is larger than the format's limit of {1} bytes";
    /// The output file is smaller than the input (convert -n).
    TARGET_TOO_SMALL = 22, "output file is smaller than input file";
    /// A device is smaller than the image that is to be made on it.
    GROW_DEVICE = 61, "Cannot grow device files";
    /// The format cannot be written compressed.
    NO_COMPRESSION = 23, "Compression not supported for this file format";
    /// The format takes no backing file. Text: format.
    NO_BACKING = 24, "Backing file not supported for file format '{text}'";
    /// Something the code cannot do yet. Text: what.
    UNSUPPORTED = 25, "{text} is not supported";
    /// Our own mistake, never the image's. Number: a line.
    INTERNAL = 26, "internal error {0}; please report it";
    /// A result did not fit its field. Number 0: the value.
    OVERFLOW = 27, "a value of {0} found in the image is out of range";
    /// The image is encrypted.
    ENCRYPTED = 28, "the image is encrypted, which this version cannot read";
    /// The guest ran out of a bounded table. Number 0: bound.
    TABLE_LIMIT = 29, "a table in the image has {0} entries; the limit is {1}";
    /// Writing to a file that is not a target.
    READ_ONLY = 30, "the file is open for reading only";
    /// `create` without a size and without a backing file.
    NO_SIZE = 31, "Image creation needs a size parameter";
    /// Tables are read over and over. Numbers: bytes of tables read, bytes stored, limit.
    TABLES_LIMIT = 34, "{0} bytes of its tables were read, and it stores {1}: the limit is {2}, since tables of a sound image are read once or twice; --max-output without --untrusted lifts it if you trust the image";
    /// `map` for people: data that stands nowhere as it is.
    NOT_PLACED = 32, "File contains external, encrypted or compressed clusters.";
    /// The target has no room for bitmaps. Text: its format.
    NO_BITMAPS = 41, "Format driver '{text}' does not support bitmaps";
    /// The source has no bitmaps, nor could it.
    SOURCE_BITMAPS = 42, "Source lacks bitmap support";
    /// A bitmap was not saved cleanly. Text: its name.
    BITMAP_INCONSISTENT = 43, "Cannot copy inconsistent bitmap '{text}'\nTry --skip-broken-bitmaps, or use 'qemu-img bitmap --remove' to delete it";
    /// The same, with `--skip-broken-bitmaps`. Text: its name.
    BITMAP_SKIPPED = 44, "Skipping inconsistent bitmap '{text}'";
    /// The tables say more than the file has room for. Numbers: answers, bytes stored, limit.
    LOOK_LIMIT = 33, "its tables describe {0} pieces of the disk, and it stores {1} bytes: the limit is {2}, since the tables of a sound image have no room for more; --max-output without --untrusted lifts it if you trust the image";
    /// `create` with a backing file whose format was not said. Text: the format found.
    NO_BACKING_FORMAT = 40, "Backing file specified without backing format\nDetected format of {text}.";
}
