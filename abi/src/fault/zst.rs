//! Failures found in disks in seekable zstd: 0x1c00 to 0x1cff.

super::faults! {
    /// Another magic.
    MAGIC = 0x1c00, "Image not in zst format";
    /// There are frames, and no table.
    NOT_SEEKABLE = 0x1c01, "the file has no seek table at its end, so that it can only be unpacked from its start: leave out -f zst, or compress the disk again into the seekable format";
    /// The end of the file is no seek table. Numbers: entries, descriptor.
    FOOTER = 0x1c02, "the seek table at the end of the file is damaged: {0} frames, descriptor {1}";
    /// Frames are larger than that, or smaller. Numbers: where the frame is, its bytes, bytes that it decodes to.
    SIZES = 0x1c03, "the frame at byte {0} has {1} bytes for {2} of the disk; supported are at most 134217728 for 67108864";
    /// A frame without content that decoders do not skip. Number: where it is.
    SKIPPED = 0x1c04, "by the seek table the frame at byte {0} decodes to nothing, but decoders would not skip it";
    /// There are bytes that no entry tells of, or too few. Numbers: where the last frame ends, where the table starts.
    END = 0x1c05, "by the seek table frames end at byte {0}, but they must end at byte {1}, where the table starts";
}
