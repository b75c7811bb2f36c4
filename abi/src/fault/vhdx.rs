//! Failures found in vhdx images: 0x0500 to 0x05ff. The wording is that of qemu-img where it has one.

super::faults! {
    /// A version that this driver does not know. Number 0: version.
    VERSION = 1280, "unsupported VHDX log version {0}; only version 0 is supported";
    /// No file identifier.
    NOT_VHDX = 1281, "Image is not in vhdx format: the file does not start with 'vhdxfile'";
    /// Neither header is valid, or both claim to be the newer one.
    NO_HEADER = 1282, "No valid VHDX header found";
    /// The log is not where a log may be. Numbers: offset, length.
    LOG_PLACE = 1283, "the VHDX log of {1} bytes at byte {0} is not aligned to 1 MiB, or overlaps the header section";
    /// The log must be replayed and is too large. Numbers: length, limit.
    LOG_TOO_LARGE = 1284, "the VHDX log of {0} bytes must be replayed, but the limit is {1} bytes; replay it with 'qemu-img check -r all' on a copy";
    /// A log crafted to be read over and over. Number 0: bytes of the log.
    LOG_LOOP = 1285, "the VHDX log of {0} bytes has overlapping entries, which would be read without end";
    /// The log makes more changes than are kept. Numbers: changes, limit.
    LOG_CHANGES = 1286, "the VHDX log holds more than {1} changes; replay it with 'qemu-img check -r all' on a copy";
    /// The log cannot be replayed into the file. Numbers: start and end of a change.
    LOG_OVERLAP = 1310, "the VHDX log changes bytes {0} to {1} of the file, where a header or the log itself is";
    /// The file is shorter than its log claims. Numbers: file size, size claimed.
    LOG_TRUNCATED = 1287, "the VHDX file has {0} bytes, but had {1} when its log was written; it has been truncated";
    /// Neither region table is valid.
    NO_REGIONS = 1288, "no valid VHDX region table found";
    /// An unknown region is marked as required. Text: its GUID.
    UNKNOWN_REGION = 1289, "the VHDX image requires an unknown region: {text}";
    /// Two regions overlap, or one is misplaced. Numbers: offset, length.
    REGION_PLACE = 1290, "the VHDX region of {1} bytes at byte {0} is misaligned, lies in the header section, or overlaps another region";
    /// The BAT or metadata region is missing or duplicated.
    REGIONS_MISSING = 1291, "the VHDX image must have exactly one block allocation table and one metadata region";
    /// The metadata table is damaged.
    METADATA = 1292, "the VHDX metadata table is damaged";
    /// An unknown metadata item is marked as required. Text: its GUID.
    UNKNOWN_METADATA = 1293, "the VHDX image requires an unknown metadata item: {text}";
    /// A required metadata item is missing, misplaced or duplicated. Number 0: which, in the order of the specification.
    METADATA_ITEM = 1294, "VHDX metadata item {0} of 6 is missing, misplaced or duplicated (1 file parameters, 2 size, 3 page 83, 4 and 5 sector sizes, 6 parent locator)";
    /// Number 0: block size.
    BLOCK_SIZE_READ = 1295, "the VHDX block size of {0} bytes is not a power of two from 1 MiB to 256 MiB";
    /// Number 0: logical sector size.
    SECTOR_SIZE = 1296, "the VHDX logical sector size of {0} bytes is neither 512 nor 4096";
    /// Numbers: size, limit.
    DISK_TOO_LARGE = 1297, "the VHDX disk of {0} bytes exceeds the limit of {1} (64 TiB)";
    /// The BAT region is too short for the disk. Numbers: entries needed, entries there.
    TABLE_TOO_SMALL = 1298, "the VHDX block allocation table has room for {1} entries; the disk needs {0}";
    /// A block starts past the end. Numbers: BAT entry, offset, file size.
    BLOCK_START = 1299, "VHDX BAT entry {0} start offset {1} points after end of file ({2}). Image has probably been truncated.";
    /// A block ends past the end. Numbers: BAT entry, end, file size.
    BLOCK_END = 1300, "VHDX BAT entry {0} end offset {1} points after end of file ({2}). Image has probably been truncated.";
    /// A block overlaps a region. Numbers: BAT entry, offset.
    BLOCK_OVERLAP = 1301, "VHDX BAT entry {0} puts a block at byte {1}, inside the image's own header, log or tables";
    /// An invalid state. Numbers: BAT entry, state.
    BLOCK_STATE = 1302, "VHDX BAT entry {0} has state {1}, which is not valid here";
    /// A differencing disk whose sector bitmap is missing. Number 0: BAT entry.
    NO_BITMAP = 1303, "VHDX BAT entry {0} is partially present, but its chunk has no sector bitmap";
    /// A differencing disk without a usable parent name.
    NO_PARENT = 1304, "the VHDX is a differencing disk, but its parent locator does not hold a usable file name";
    /// New images: block size.
    BLOCK_SIZE = 1305, "Block size must be a power of two";
    /// New images: log size 0.
    LOG_SIZE = 1306, "Log size must be a multiple of 1 MB";
    /// New images: log size.
    LOG_SIZE_MAX = 1307, "Log size must be smaller than 4 GB";
    /// New images: disk size.
    SIZE = 1308, "Image size too large; max of 64TB";
    /// The layer below is another disk, or was changed. Text: its identifier and the one wanted.
    PARENT_IDENTITY = 1309, "the parent is not the disk that this image was based on, or has changed since: its identifier is {text}";
}
