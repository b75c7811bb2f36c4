//! Failures found in vmdk images: 0x0300 to 0x03ff.

super::faults! {
    /// A version that this driver does not know. Number 0: version.
    VERSION = 768, "Unsupported VMDK version {0}";
    /// Neither magic nor descriptor.
    NOT_VMDK = 769, "invalid VMDK image descriptor";
    /// The footer is damaged or missing.
    FOOTER = 770, "Invalid footer";
    /// Header and footer disagree. Number 0: byte within them.
    FOOTER_DIFFERS = 771, "the footer contradicts the header at byte {0}; different programs would see different disks";
    /// A file is shorter than its header claims. Numbers: bytes expected, bytes present.
    TRUNCATED = 772, "File truncated, expecting at least {0} bytes";
    /// Grain table entries. Numbers: entries, limit.
    TABLE_ENTRIES = 773, "a grain table has {0} entries; it must have 1 to {1}";
    /// Grain size. Numbers: sectors, limit.
    GRAIN_SIZE = 774, "Invalid granularity, image may be corrupt: {0} sectors, at most {1}";
    /// Number of grain tables. Numbers: tables, limit.
    DIRECTORY_SIZE = 775, "L1 size too big: {0} grain tables, at most {1}";
    /// A table leaves the file. Numbers: its offset, its bytes, the file's size.
    TABLE_PAST_END = 776, "a grain table of {1} bytes at byte {0} lies outside its file, which has {2} bytes; the image is truncated or damaged";
    /// A grain leaves the file. Numbers: its offset, the file's size, disk offset within the extent.
    GRAIN_PAST_END = 777, "the grain for byte {2} would be at byte {0}, past the end of its file, which has {1} bytes; the image is truncated";
    /// A grain overlaps the header or the descriptor. Numbers: its offset, first possible offset.
    GRAIN_IN_METADATA = 778, "a grain at byte {0} lies inside the metadata, which ends at byte {1}";
    /// A table overlaps the header or the descriptor. Numbers: its offset, first possible offset.
    TABLE_IN_METADATA = 779, "a grain table at byte {0} overlaps the header or the descriptor, which end at byte {1}";
    /// A compressed grain's length. Numbers: length, limit, offset of the marker.
    GRAIN_LENGTH = 780, "the compressed grain at byte {2} claims {0} bytes; it must have 1 to {1}";
    /// A transfer translated the line ends.
    TEXT_TRANSFER = 781, "the image was damaged by a text-mode transfer that translated line ends";
    /// Unknown incompatible feature bits. Number 0: the bits.
    FLAGS = 782, "unsupported VMDK feature flags {0}";
    /// Compression field. Numbers: algorithm, flags.
    COMPRESSION = 783, "compression algorithm {0} is unknown or contradicts the feature flags {1}";
    /// No descriptor where it must be.
    NO_DESCRIPTOR = 784, "the file has no VMDK descriptor; if it is one piece of a split image, open the descriptor file instead";
    /// Descriptor place. Number 0: sector, number 1: sectors.
    DESCRIPTOR_PLACE = 785, "the descriptor takes {1} sectors from sector {0} on; it must start at sector 1 and end before sector {2}";
    /// Descriptor too long. Numbers: bytes, limit.
    DESCRIPTOR_SIZE = 786, "the descriptor has {0} bytes; the limit is {1}";
    /// A required descriptor entry is missing or malformed. Text: the entry.
    DESCRIPTOR = 787, "invalid VMDK image descriptor: '{text}' is missing or malformed";
    /// A line that some readers end earlier than others. Text: the line.
    LINE = 788, "invalid VMDK image descriptor: some programs would find an extent in the line '{text}'";
    /// A malformed extent line.
    EXTENT_LINE = 789, "Invalid extent line: {text}";
    /// A keyword with two values or in a second spelling.
    AMBIGUOUS = 790, "the descriptor is ambiguous: '{text}' appears with two values, in another spelling or outside its own line";
    /// An unsupported layout. Text: createType.
    CREATE_TYPE = 791, "Unsupported image type '{text}'";
    /// An unsupported extent type. Text: the line.
    EXTENT_TYPE = 792, "unsupported extent type or access: {text}";
    /// The name of an extent is not a plain name.
    EXTENT_NAME = 793, "the extent '{text}' does not have a valid file name";
    /// The descriptor names itself, or an extent leads to another descriptor.
    EXTENT_LOOP = 794, "the extent '{text}' is itself a descriptor; an extent must hold data";
    /// No extents.
    NO_EXTENTS = 795, "the descriptor lists no extents";
    /// Too many extents. Numbers: found, limit.
    EXTENT_COUNT = 796, "the descriptor lists {0} extents or more; the limit is {1}";
    /// An extent has another size than the descriptor says. Numbers: sectors in the descriptor, sectors found.
    EXTENT_SIZE = 797, "the descriptor gives the extent '{text}' {0} sectors, but the extent itself claims {1}";
    /// One of the extents, or their sum, exceeds the largest disk. Number 0: sectors.
    CAPACITY = 798, "a size of {0} sectors is out of range";
    /// Content identifiers. Text: the one found in the parent, and the one that the child expects, hexadecimal as in descriptors.
    PARENT_CID = 799, "the parent image was changed after this image was made: its content ID is {text}";
    /// The layer below is not a VMDK.
    PARENT_FORMAT = 800, "the parent of a VMDK must be a VMDK too";
    /// seSparse header. Numbers: byte, value found, value expected.
    SE_SPARSE = 801, "the seSparse header has the value {1} at byte {0}; only {2} is supported";
    /// An entry of a seSparse table. Numbers: the entry, its offset.
    SE_SPARSE_ENTRY = 802, "the seSparse table entry {0} at byte {1} is not valid";
    /// An empty file, in the words of qemu-img.
    EMPTY = 803, "Unsupported image type '{text}'";
    /// Options that exclude each other.
    FLAT_BACKING = 804, "Flat image can't have backing file";
    /// Options that exclude each other.
    FLAT_ZEROED = 805, "Flat image can't enable zeroed grain";
    /// A name or version text that would break the descriptor.
    TEXT = 806, "'{text}' cannot be written to a VMDK descriptor, which cannot hold quotes or control characters";
    /// The parent has no content identifier.
    NO_PARENT_CID = 807, "Failed to read parent CID";
    /// The number of extent files in the job is wrong. Numbers: given, needed.
    EXTENT_FILES = 808, "{0} extent files were opened, but {1} are needed";
    /// A sparse file is full. Numbers: bytes it would have, limit.
    FILE_FULL = 809, "an extent file would grow to {0} bytes, but VMDK addresses at most {1}; use another subformat";
    /// An extent must not be read. Text: its name.
    EXTENT_CLOSED = 810, "the extent '{text}' is not named after its image, so it is not read to describe the image; if it belongs to the image, allow its directory with --allow-dir DIR";
    /// An embedded descriptor that refers to other files. Text: the line.
    EMBEDDED_EXTENT = 811, "the descriptor inside the sparse file claims that the disk is elsewhere: {text}; programs that follow this line see a different disk from programs that follow the header";
    /// A descriptor file with text after its terminating zero byte. Text: the line found there.
    AFTER_TEXT = 812, "the descriptor ends with a zero byte, but some programs would find '{text}' after it";
    /// A disk above a parent that it does not name. Text: the identifier of the parent.
    NO_PARENT = 813, "the VMDK is a snapshot of another disk ({text}) but does not name its file; give that disk as 'backing' in a json: name, or merge the two with the program that made them, for example with VBoxManage clonemedium";
    /// The layer below is another disk. Text: its identifier and the one wanted.
    PARENT_IDENTITY = 814, "the parent is not the disk that this image was based on: its ddb.uuid.image is {text}";
}
