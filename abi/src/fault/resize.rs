//! What speaks against another size of the disk: 0x0b00 to 0x0b3f.

super::faults! {
    /// Nothing or less would be left.
    NOT_POSITIVE = 0x0b00, "New image size must be positive";
    /// Space is to be reserved, and nothing is added.
    PREALLOCATION_ALONE = 0x0b01, "Preallocation can only be used for growing images";
    /// The disk would become smaller, and the user has not said that it may.
    SHRINK = 0x0b02, "Use the --shrink option to perform a shrink operation.";
    /// No file can be that long. Numbers: size, limit.
    BEYOND = 0x0b03, "offset({0}) exceeds maximum({1})";
    /// Nothing in the format could be changed to that end.
    UNSUPPORTED = 0x0b04, "Image format driver does not support resize";
    /// The format cannot reserve space in that way. Text: its name.
    PREALLOCATION = 0x0b05, "Unsupported preallocation mode{text}";
    /// Devices have the size that they have.
    DEVICE = 0x0b06, "Cannot resize device files";
    /// Nothing can be reserved on a device. Text: what was being done, and the mode.
    DEVICE_PREALLOCATION = 0x0b07, "{text} unsupported for this non-regular file";
    /// The file itself would not take the size. Number 0: errno. Text: what was being done.
    FILE = 0x0b08, "{text}Could not resize file: {errno}";
    /// Space could not be reserved. As before.
    RESERVE = 0x0b09, "{text}Could not preallocate new data: {errno}";
    /// Zeros could not be written. As before.
    ZEROS = 0x0b0a, "{text}Could not write zeros for preallocation: {errno}";
    /// The same place for two blocks, or a place that is none. Numbers: block, place.
    BLOCK_PLACE = 0x0b0b, "the image's tables are damaged (block {0} has the place {1}, which is not its own)";
    /// A layout in which this build changes no size. Text: which.
    LAYOUT = 0x0b0c, "resizing {text} is not supported";

    // qcow2.
    /// Not whole sectors.
    SECTORS = 0x0b10, "The new size must be a multiple of 512";
    /// Snapshots of version 2 do not say how large their disk is.
    V2_SNAPSHOTS = 0x0b11, "Can't resize a v2 image which has snapshots";
    /// The L1 table would exceed its limit.
    L1 = 0x0b12, "Failed to grow the L1 table: File too large";
    /// What is added would show the layer below, which version 2 cannot hide without writing it.
    V2_ZEROING = 0x0b13, "Failed to zero out new clusters: Operation not supported";
    /// A bitmap that was not saved cleanly. Text: its name.
    BITMAP_INCONSISTENT = 0x0b14, "Bitmap '{text}' is inconsistent and cannot be used\nTry block-dirty-bitmap-remove to delete this bitmap from disk";
    /// A bitmap would exceed a limit. Text: its name.
    BITMAP_LARGE = 0x0b15, "the bitmap '{text}' would become too large; remove it, or make it anew with a coarser granularity";
}
