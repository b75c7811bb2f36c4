//! Failures found in sparse images of Apple: 0x1b00 to 0x1bff.

super::faults! {
    /// Another magic.
    MAGIC = 0x1b00, "Image not in ASIF format";
    /// A version that nobody has seen. Numbers: it, bytes of the header.
    VERSION = 0x1b01, "ASIF of version {0} with a header of {1} bytes is not supported; supported is version 1 with 512 bytes";
    /// No sector has that size. Number 0: bytes.
    SECTOR_SIZE = 0x1b02, "ASIF sectors of {0} bytes are not supported";
    /// No chunk has that size. Number 0: bytes.
    CHUNK_SIZE = 0x1b03, "ASIF chunks of {0} bytes are not supported";
    /// The disk is larger than it may grow, or than any. Numbers: sectors, sectors at most.
    SIZE = 0x1b04, "the image claims a disk of {0} sectors, which may grow to {1}";
    /// Something that is not in the file, or in the header. Numbers: where, bytes, bytes of the file.
    OUTSIDE = 0x1b05, "{1} bytes at byte {0} are needed, in the header or outside the file of {2} bytes";
    /// An entry that nobody has seen. Numbers: chunk of the disk, entry.
    ENTRY = 0x1b06, "chunk {0} of the disk has the entry {1}, whose meaning is unknown";
    /// Bits that nobody has seen. Numbers: chunk of the disk, bits.
    BITS = 0x1b07, "a sector of chunk {0} of the disk has the state {1}, whose meaning is unknown";
}
