//! Failures that no format owns: 1 to 255.

super::faults! {
    /// A host operation failed. Number 0: errno.
    IO = 1, "{errno}";
    /// A read met the end of a file. Numbers: offset, bytes wanted, file size.
    SHORT_READ = 2, "the file ends at byte {2}, before the {1} bytes at offset {0} that the image refers to";
    /// Gate: names in images are not followed under this policy.
    REFUSED_UNTRUSTED = 3, "the image names another file, '{text}', which --untrusted or untrusted-dir does not allow it to open";
    /// Gate: outside.
    REFUSED_OUTSIDE = 4, "the image names another file, '{text}', which no rule lets it open; if you trust the image, say so with 'instar trust IMAGE', or allow the directory of the file with --allow-dir DIR or with allow-dir in /etc/instar.toml";
    /// Gate: not a plain file name.
    REFUSED_NAME = 5, "the image names '{text}', which is not a plain file name; URLs and block-layer trees in images are never followed";
    /// Gate: not a regular file, nor a block device that a rule lets in.
    REFUSED_KIND = 6, "the image names '{text}', which is not a regular file; block devices are opened only in directories allowed with --allow-dir";
    /// Gate: too many.
    REFUSED_COUNT = 7, "the image refers to too many files";
    /// A lock is in the way.
    REFUSED_LOCK = 8, "Failed to get shared \"write\" lock";
    /// Gate: what the run writes to.
    REFUSED_TARGET = 60, "the image names '{text}', which this run writes to: it would be overwritten while it is being read";
    /// The output limit of this run.
    REFUSED_OUTPUT = 9, "the output would exceed the limit set by --max-output";
    /// A chain of backing files is too deep. Number 0: limit.
    CHAIN_TOO_DEEP = 10, "the backing chain has more than {0} layers; raise the limit with --max-chain if you trust the image";
    /// A backing chain returns to a file already in it.
    CHAIN_LOOP = 11, "Backing file '{text}' creates an infinite loop.";
    /// The image matches two formats. Numbers: none; text: both names.
    AMBIGUOUS_FORMAT = 12, "the file looks like more than one format ({text}); name the right one with -f FORMAT";
    /// The format is unknown. Text: its name.
    UNKNOWN_FORMAT = 13, "Unknown driver '{text}'";
    /// The image is not in the format asked for. Text: format.
    NOT_THIS_FORMAT = 14, "Image is not in {text} format";
    /// Guest memory is used up. Number 0: bytes wanted.
    OUT_OF_MEMORY = 15, "the sandbox has no memory left for another {0} bytes; raise the limit with --memory";
    /// More stored bytes are referred to than are stored. Numbers: referred to, stored, limit.
    WORK_LIMIT = 16, "the image's tables refer to {0} bytes of data, but it stores only {1}; the limit is {2}, because a sound image does not use the same data over and over; if you trust the image, lift the limit with --max-output";
    /// Compressed data is used more than once. Numbers: bytes decoded again, limit.
    STREAM_LIMIT = 50, "{0} bytes would be decoded from compressed data that was already decoded; the limit is {1}, because a sound image does not use the same data over and over; if you trust the image, lift the limit with --max-output";
    /// A table describes several parts of the disk. Numbers: bytes of such tables, limit.
    SHARED_TABLES = 51, "{0} bytes of the image's tables describe more than one part of the disk; the limit is {1}, because a sound image has no such tables; if you trust the image, lift the limit with --max-output, without --untrusted";
    /// Virtual size over the cap. Numbers: size, cap.
    VIRTUAL_SIZE_LIMIT = 17, "the virtual size of {0} bytes exceeds the limit of {1} bytes; raise --max-size if you trust the image";
    /// The part of a raw image that the user asked for begins past its end. Numbers: offset, size of the file.
    WINDOW_OFFSET = 45, "Offset ({0}) cannot be greater than size of the containing file ({1})";
    /// The part of a raw image that the user asked for ends past its end. Numbers: offset, length, size of the file.
    WINDOW_LENGTH = 46, "The sum of offset ({0}) and size ({1}) has to be smaller or equal to the  actual size of the containing file ({2})";
    /// The part of a raw image that the user asked for is not a whole number of sectors. Number: length.
    WINDOW_SECTORS = 47, "Specified size is not multiple of 512";
    /// The target has a bitmap of that name already. Text: the name.
    BITMAP_EXISTS = 48, "Failed to create bitmap {text}: Bitmap already exists: {text}";
    /// Source and target differ in size, and so do their bitmaps. Numbers: the target's size, the source's. Text: a bitmap's name.
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
    /// A device is smaller than the image to be made on it.
    GROW_DEVICE = 61, "Cannot grow device files";
    /// The format cannot be written compressed.
    NO_COMPRESSION = 23, "Compression not supported for this file format";
    /// An image of a format that never has another layer below is to be given one.
    NO_INFO = 63, "could not get block driver info";
    /// The format does not support backing files. Text: format.
    NO_BACKING = 24, "Backing file not supported for file format '{text}'";
    /// A feature that is not supported yet. Text: its name.
    UNSUPPORTED = 25, "{text} is not supported";
    /// A mistake in this program, never in the image. Number: the line that noticed it.
    INTERNAL = 26, "internal error {0}; please report it";
    /// A result did not fit its field. Number 0: the value.
    OVERFLOW = 27, "the image holds the value {0}, which is out of range";
    /// The image is encrypted.
    ENCRYPTED = 28, "instar does not change encrypted images of this format";
    /// The guest ran out of a bounded table. Number 0: bound.
    TABLE_LIMIT = 29, "a table in the image has {0} entries; the limit is {1}";
    /// Writing to a file that is not a target.
    READ_ONLY = 30, "the file is open only for reading";
    /// An image of a format that is never written, opened to be written to.
    READ_ONLY_FORMAT = 62, "Image is read-only";
    /// `create` without a size and without a backing file.
    NO_SIZE = 31, "Image creation needs a size parameter";
    /// Tables are read over and over. Numbers: bytes of tables read, bytes stored, limit.
    TABLES_LIMIT = 34, "{0} bytes of the image's tables were read, but it stores only {1}; the limit is {2}, because the tables of a sound image are read once or twice; if you trust the image, lift the limit with --max-output, without --untrusted";
    /// `map --output=human`: data that no file holds as it is.
    NOT_PLACED = 32, "File contains external, encrypted or compressed clusters.";
    /// `--range` with a target that is new or not raw.
    RANGE_TARGET = 64, "a range is copied only into a raw image that exists";
    /// A new target that does not read as zeros, and whose size would be rounded up.
    ROUNDED_DEVICE = 66, "the size of a disk is rounded up in a new file only, and not on a device";
    /// The size of a new target was rounded up. Numbers: from, to.
    ROUNDED = 67, "the disk has {0} bytes; zeros at its end make it {1}, as the target has to be";
    /// `--range` that the disk does not have. Numbers: first byte, length, size of the disk.
    RANGE_END = 65, "the disk has {2} bytes, and not {1} from byte {0} on";
    /// The target has no room for bitmaps. Text: its format.
    NO_BITMAPS = 41, "Format driver '{text}' does not support bitmaps";
    /// The source's format has no bitmaps.
    SOURCE_BITMAPS = 42, "Source lacks bitmap support";
    /// A bitmap was not saved cleanly. Text: its name.
    BITMAP_INCONSISTENT = 43, "Cannot copy inconsistent bitmap '{text}'\nTry --skip-broken-bitmaps, or use 'qemu-img bitmap --remove' to delete it";
    /// The same, with `--skip-broken-bitmaps`. Text: its name.
    BITMAP_SKIPPED = 44, "Skipping inconsistent bitmap '{text}'";
    /// The tables describe more than the file has room for. Numbers: pieces described, bytes stored, limit.
    LOOK_LIMIT = 33, "the image's tables describe {0} pieces of the disk, but it stores only {1} bytes; the limit is {2}, because a sound image has no room for more; if you trust the image, lift the limit with --max-output, without --untrusted";
    /// `create` with a backing file whose format was not given. Text: the format found.
    NO_BACKING_FORMAT = 40, "Backing file specified without backing format\nDetected format of {text}.";
}
