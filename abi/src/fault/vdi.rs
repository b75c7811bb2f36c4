//! Failures found in vdi images: 0x0600 to 0x06ff. The wording is that of qemu-img where it has one.

super::faults! {
    /// A version that this driver does not know. Numbers: major, minor.
    VERSION = 1536, "unsupported VDI image (version {0}.{1})";
    /// No signature. Text: the value found, hexadecimal.
    SIGNATURE = 1537, "Image not in VDI format (bad signature {text})";
    /// The disk is too large, to read or to make. Text: its size in bytes, hexadecimal.
    SIZE = 1538, "Unsupported VDI image size (size is 0x{text}, max supported is 0x1fffff8000000)";
    /// The block map does not start on a sector. Text: offset, hexadecimal.
    BLOCK_MAP_OFFSET = 1539, "unsupported VDI image (unaligned block map offset 0x{text})";
    /// The data does not start on a sector. Text: offset, hexadecimal.
    DATA_OFFSET = 1540, "unsupported VDI image (unaligned data offset 0x{text})";
    /// Sectors are not of 512 bytes. Number 0: their size.
    SECTOR_SIZE = 1541, "unsupported VDI image (sector size {0} is not 512)";
    /// Blocks are not of 1 MiB. Number 0: their size.
    BLOCK_SIZE = 1542, "unsupported VDI image (block size {0} is not 1048576)";
    /// The block map is too short for the disk. Numbers: disk size, bytes that the map has room for.
    ROOM = 1543, "unsupported VDI image (disk size {0}, image bitmap has room for {1})";
    /// The image is linked to another.
    LINK = 1544, "unsupported VDI image (non-NULL link UUID)";
    /// The image has a parent.
    PARENT = 1545, "unsupported VDI image (non-NULL parent UUID)";
    /// The block map is too long. Number 0: blocks.
    BLOCKS = 1546, "unsupported VDI image (too many blocks {0}, max is 536870784)";
    /// Blocks carry data of their own, so that they are not where this driver would look. Number 0: bytes of it.
    BLOCK_EXTRA = 1547, "unsupported VDI image ({0} extra bytes before each block)";
    /// Blocks overlap the header or the block map. Number 0: offset of the data.
    OVERLAP = 1548, "the VDI image claims that its data starts at byte {0}, inside its own header or block map";
}
