//! Failures found in dmg images: 0x1600 to 0x16ff. The wording is that of qemu-img where it has one.

super::faults! {
    /// Less than a sector.
    SMALL = 0x1600, "dmg file must be at least 512 bytes long";
    /// No trailer.
    NO_TRAILER = 0x1601, "Could not locate UDIF trailer in dmg file";
    /// Something is not in front of the trailer. Numbers: its offset, its length, where the trailer starts. Text: its name.
    RANGE = 0x1602, "the trailer at byte {2} places the {text} at byte {0}, with {1} bytes, which is not in front of it";
    /// No property list and no resource fork.
    NO_TABLES = 0x1603, "the trailer names neither a property list nor a resource fork, so the image has no block tables";
    /// The property list or resource fork is too long. Numbers: bytes, limit.
    TABLES_SIZE = 0x1604, "the block tables have {0} bytes; the limit is {1}";
    /// The disk is too large. Numbers: sectors, limit.
    SIZE = 0x1605, "the disk has {0} sectors; the limit is {1}";
    /// The property list ends inside a block table.
    LIST_END = 0x1606, "the property list has a <data> without a </data>";
    /// The resource fork is damaged.
    FORK = 0x1607, "the lengths of the pieces in the resource fork do not add up to its own";
    /// No chunks.
    NO_CHUNKS = 0x1608, "the block tables have no chunks";
    /// A block table has another number of entries than it says. Numbers: what it says, what it has.
    COUNT = 0x1609, "a block table says that it has {0} entries, but it has {1}";
    /// A chunk has too many sectors. Numbers: how many, which chunk.
    SECTORS = 0x160a, "sector count {0} for chunk {1} is larger than max (131072)";
    /// A chunk has too many bytes in the file. Numbers: how many, which chunk.
    LENGTH = 0x160b, "length {0} for chunk {1} is larger than max (67108864)";
    /// A raw chunk has not as many bytes as sectors. Numbers: bytes, which chunk, sectors.
    RAW_LENGTH = 0x160c, "length {0} for chunk {1} is inconsistent with sector count {2}";
    /// A chunk's sectors have no numbers. Number 0: which chunk.
    SECTOR = 0x160d, "the sectors of chunk {0} are out of range";
    /// A chunk's bytes stand where no file has any. Numbers: which chunk, offset.
    OFFSET = 0x1611, "chunk {0} starts at byte {1}, which no file can have";
    /// Chunks overlap, or are out of order. Numbers: which chunk, its first sector, where the one before it ends.
    ORDER = 0x160e, "chunk {0} starts at sector {1}, before the end of the chunk in front of it at sector {2}";
    /// Nothing says what a sector holds. Number 0: which.
    GAP = 0x160f, "no chunk of the image has sector {0}";
    /// A chunk is stored in a way that is not known. Text: its kind.
    KIND = 0x1610, "the image has a chunk of type {text}, which is not known";
}
