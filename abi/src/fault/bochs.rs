//! Failures found in bochs images: 0x1400 to 0x14ff. The wording is that of qemu-img where it has one.

super::faults! {
    /// No header of a growing redolog.
    MAGIC = 0x1400, "Image not in Bochs format";
    /// The catalog has too many entries.
    CATALOG_SIZE = 0x1401, "Catalog size is too large";
    /// Extents have less than a sector.
    EXTENT_SMALL = 0x1402, "Extent size must be at least 512";
    /// The size of extents is not a power of two. Number 0: it.
    EXTENT_POWER = 0x1403, "Extent size {0} is not a power of two";
    /// Extents are too large. Number 0: their size.
    EXTENT_LARGE = 0x1404, "Extent size {0} is too large";
    /// The catalog has too few entries.
    CATALOG_SHORT = 0x1405, "Catalog size is too small for this disk size";
    /// A bitmap has too few bits. Numbers: its bytes, sectors of an extent.
    BITMAP = 0x1406, "the bitmap of {0} bytes in front of each extent has no bit for each of its {1} sectors";
}
