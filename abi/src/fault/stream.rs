//! Failures of sources that are read from the front to the back: 0x2400 to 0x24ff.

super::faults! {
    /// The stream around an image cannot be decoded. Number: the byte of the file up to which it was read. Text: what packed it.
    DAMAGED = 0x2400, "the {text} stream is damaged somewhere before byte {0} of the file, or something follows it that is not {text}; with -f raw the file is read as it is";
    /// The file ends inside the stream around an image. Number: bytes of the file. Text: what packed it.
    CUT_SHORT = 0x2401, "the file of {0} bytes ends inside the {text} stream: it is incomplete";
    /// The stream looks back farther than there is memory. Text: what packed it.
    WINDOW = 0x2402, "the sandbox has no memory for how far the {text} stream looks back; raise the limit with --memory, for example to 512M";
    /// The temporary file cannot be written. Number: errno.
    SPOOL = 0x2403, "it can only be read from its start, and the temporary file for the rest of the run cannot be written: {errno}; choose another directory for it with TMPDIR";
    /// Told, not a failure: it was put into a temporary file.
    SPOOLED = 0x2404, "can only be read from its start, so it was put into a temporary file first";
}
