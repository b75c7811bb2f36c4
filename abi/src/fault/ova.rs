//! Failures found in virtual machines packed by OVF: 0x1e00 to 0x1eff.

use super::FaultCode;

super::faults! {
    /// No sound tar header. Number: where.
    HEADER = 0x1e00, "byte {0} of the archive is no tar header";
    /// A size that is no number, or that is one of what has no data. Number: where the header is.
    SIZE = 0x1e01, "the tar header at byte {0} has a size that cannot be";
    /// Records that do not add up. Number: where.
    RECORDS = 0x1e02, "the pax records at byte {0} of the archive are damaged, or say of all members what can only be true of one";
    /// Numbers: where, bytes, the limit.
    RECORDS_SIZE = 0x1e03, "the archive has {1} bytes of records about one member at byte {0}; at most {2} are read";
    /// A member ends behind the file. Text: its name. Numbers: where it ends, bytes of the file.
    CUT_OFF = 0x1e04, "the member '{text}' ends at byte {0}, but the file has {1} bytes: it was not copied as a whole";
    /// Number: the limit.
    MEMBERS = 0x1e05, "the archive has more than {0} members";
    /// Number: the limit.
    NAMES = 0x1e06, "the names of the members take more than {0} bytes";
    /// Text: the member.
    SPARSE = 0x1e07, "the member '{text}' is stored without its holes, which is not supported: unpack the archive and pack it again without --sparse";
    /// None of the members is a descriptor.
    NO_DESCRIPTOR = 0x1e20, "Image not in ova format: the archive has no .ovf member";
    /// Text: the second.
    DESCRIPTORS = 0x1e21, "the archive has a second descriptor, '{text}', and no rule says which one counts";
    /// Text: the member. Numbers: bytes, the limit.
    TEXT_SIZE = 0x1e22, "'{text}' has {0} bytes; at most {1} are read";
    /// Number: where in the descriptor.
    XML = 0x1e23, "byte {0} of the descriptor is not well-formed XML";
    /// Number: where in the descriptor.
    XML_DOCTYPE = 0x1e24, "the descriptor has a DOCTYPE or another declaration at byte {0}, which OVF does not have";
    /// Number: where in the descriptor. Text: the entity.
    XML_ENTITY = 0x1e25, "the descriptor uses the entity '{text}' at byte {0}, which XML does not have by itself";
    /// Numbers: where in the descriptor, the limit.
    XML_DEPTH = 0x1e26, "byte {0} of the descriptor is within more than {1} elements";
    /// Text: the element in its place.
    NO_ENVELOPE = 0x1e27, "the descriptor is no OVF: it begins with the element '{text}' instead of an Envelope";
    /// Number: the limit.
    ITEMS = 0x1e28, "the descriptor lists more than {0} files or disks";
    /// Text: the attribute.
    AMBIGUOUS = 0x1e29, "the descriptor has two attributes '{text}' in one element";
    /// Text: the name.
    DUPLICATE = 0x1e2a, "the name '{text}' stands for two things, and readers differ in which one counts";
    /// No disk has a file.
    NO_DISK = 0x1e2b, "the descriptor lists no disk with a file";
    /// Number: how many. Text: all of them.
    DISKS = 0x1e2c, "it holds {0} disks: {text}; choose one with --disk";
    /// Text: those that are there.
    NOT_A_DISK = 0x1e2d, "--disk names none of its disks: {text}";
    /// A disk was chosen, and there is nothing to choose from. Text: the format.
    NO_CHOICE = 0x1e2e, "--disk chooses among the disks of an ova, but this image is {text}";
    /// Text: the disk.
    BLANK = 0x1e2f, "the disk '{text}' has no file: it is blank";
    /// Text: the file.
    DELTA = 0x1e30, "the disk '{text}' holds only what differs from another disk, which is not supported";
    /// Text: the file, and how it is compressed.
    COMPRESSED = 0x1e31, "the disk '{text}', which is not supported inside an ova: unpack the archive and the disk first";
    /// Text: the file.
    MISSING = 0x1e32, "the disk '{text}' is not among the members of the archive";
    /// Text: the name.
    NESTED = 0x1e34, "what is inside an ova names the file '{text}', and nothing but the ova itself is read";
    /// The disk within is an archive.
    WITHIN = 0x1e35, "the disk inside the ova is an ova itself, which is not supported";
    /// One file was named twice in one run.
    TWICE = 0x1e36, "an ova can be read once in a run, and it was named twice";
    /// Number: the line.
    MANIFEST_LINE = 0x1e40, "line {0} of the manifest is none of HASH(name)= digest";
    /// Number: the line. Text: the word.
    MANIFEST_HASH = 0x1e41, "line {0} of the manifest has the hash '{text}'; SHA1, SHA224, SHA256, SHA384 and SHA512 are supported";
    /// The content has another digest. Text: the member, and both digests.
    DIGEST = 0x1e42, "{text}: the archive is damaged, or was changed after it was packed";
}

/// Whether a failure is one of the archive, so that a file with it may be anything else.
#[must_use]
pub const fn is_of_archive(code: FaultCode) -> bool {
    code.0 >= HEADER.0 && code.0 < NO_DESCRIPTOR.0
}
