//! Failures found in vhd images: 0x0400 to 0x04ff. The wording is that of qemu-img where it has one.

super::faults! {
    /// A version that this driver does not know. Numbers: major, minor.
    VERSION = 1024, "unsupported VHD version {0}.{1}; only version 1 is supported";
    /// No footer at the start or the end, or the footer of a fixed disk where it must not be.
    NOT_VHD = 1025, "invalid VPC image";
    /// The file is too small for a footer.
    TOO_SMALL = 1026, "File too small for a VHD header";
    /// The footer is damaged.
    CHECKSUM = 1027, "Incorrect header checksum";
    /// The dynamic header is not where the footer says.
    DYNAMIC_MAGIC = 1028, "Invalid header magic";
    /// Number 0: block size.
    BLOCK_SIZE = 1029, "Invalid block size {0}";
    /// The block allocation table has too few entries for the disk.
    TABLE_TOO_SMALL = 1030, "Page table too small";
    /// Number 0: entries.
    TABLE_TOO_LARGE = 1031, "Max Table Entries too large ({0})";
    /// A table or a block lies past the end of the file.
    TRUNCATED = 1032, "block-vpc: free_data_block_offset points after the end of file. The image has been truncated.";
    /// Number 0: sectors.
    DISK_TOO_LARGE = 1033, "the VHD has {0} sectors of 512 bytes; the limit is 4278190080 (2040 GiB)";
    /// An unknown disk type. Number 0: type.
    DISK_TYPE = 1034, "unsupported VHD disk type {0}; the types are 2 (fixed), 3 (dynamic) and 4 (differencing)";
    /// A block overlaps the header or the block allocation table. Numbers: block, offset.
    OVERLAP = 1035, "block {0} of the VHD claims to start at byte {1}, inside the image's own header or tables";
    /// A differencing disk without a usable parent name.
    NO_PARENT = 1036, "the VHD is a differencing disk, but none of its parent locators holds a usable file name";
    /// New images: the disk is too large.
    SIZE = 1037, "Disk size is too large, max size is 2040 GiB";
    /// The footer puts the dynamic header beyond the largest file offset.
    DYNAMIC_OFFSET = 1038, "Error reading dynamic VHD header";
    /// The dynamic header puts the block allocation table beyond the largest file offset.
    TABLE_OFFSET = 1039, "Error reading pagetable";
    /// The layer below is another disk. Text: its identifier and the one wanted.
    PARENT_IDENTITY = 1040, "the parent is not the disk that this image was based on: its identifier is {text}";
}
