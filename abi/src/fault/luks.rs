//! Failures of sealed disks: 0x1a00 to 0x1aff. The wording is that of qemu-img where it has one.

super::faults! {
    /// Another magic.
    MAGIC = 0x1a00, "Volume is not in LUKS format";
    /// Another version. Number: the version.
    VERSION = 0x1a01, "LUKS version {0} is not supported";
    /// A name fills its field.
    CIPHER_NAME_END = 0x1a02, "LUKS header cipher name is not NUL terminated";
    /// A name fills its field.
    CIPHER_MODE_END = 0x1a03, "LUKS header cipher mode is not NUL terminated";
    /// A name fills its field.
    HASH_END = 0x1a04, "LUKS header hash spec is not NUL terminated";
    /// The data begins in the header.
    PAYLOAD = 0x1a05, "LUKS payload is overlapping with the header";
    /// The digest of the key takes no iterations.
    DIGEST_ITERATIONS = 0x1a06, "LUKS key iteration count is zero";
    /// Number: the slot. Text: its stripes, with a sign.
    SLOT_STRIPES = 0x1a07, "Keyslot {0} is corrupted (stripes {text} != 4000)";
    /// Number: the slot.
    SLOT_STATE = 0x1a08, "Keyslot {0} state (active/disable) is corrupted";
    /// Number: the slot.
    SLOT_ITERATIONS = 0x1a09, "Keyslot {0} iteration count is zero";
    /// Number: the slot.
    SLOT_IN_HEADER = 0x1a0a, "Keyslot {0} is overlapping with the LUKS header";
    /// Number: the slot.
    SLOT_IN_PAYLOAD = 0x1a0b, "Keyslot {0} is overlapping with the encrypted payload";
    /// Numbers: both slots.
    SLOTS_OVERLAP = 0x1a0c, "Keyslots {0} and {1} are overlapping in the header";
    /// Text: the mode.
    MODE_FORMAT = 0x1a0d, "Unexpected cipher mode string format '{text}'";
    /// Text: the hash.
    HASH = 0x1a0e, "Hash algorithm '{text}' not supported";
    /// Text: the mode.
    MODE = 0x1a0f, "Cipher mode '{text}' not supported";
    /// Text: the cipher. Number: bytes of a key.
    ALGORITHM_KEY = 0x1a10, "Algorithm '{text}' with key size {0} bytes not supported";
    /// Text: the generator.
    IVGEN = 0x1a11, "IV generator '{text}' not supported";
    /// The generator essiv without a hash.
    IVGEN_HASH = 0x1a12, "Missing IV generator hash specification";
    /// No such cipher takes the digest as its key. Number: bytes.
    ESSIV_AES = 0x1a13, "No AES cipher with key size {0} available";
    /// The same for Serpent.
    ESSIV_SERPENT = 0x1a14, "No Serpent cipher with key size {0} available";
    /// The same for Twofish.
    ESSIV_TWOFISH = 0x1a15, "No Twofish cipher with key size {0} available";
    /// Text: the cipher.
    ESSIV_CIPHER = 0x1a16, "Cipher {text} not supported with essiv";
    /// Text: the mode. The cipher's blocks are too short for it.
    MODE_CIPHER = 0x1a17, "Unsupported cipher mode {text}";
    /// Numbers: bytes of the key, bytes that it must have.
    KEY_BYTES = 0x1a18, "Cipher key length {0} should be {1}";
    /// The two keys of XTS differ in length.
    KEY_ODD = 0x1a19, "XTS cipher key length should be a multiple of 2";
    /// No slot opens with the passphrase.
    PASSWORD = 0x1a1a, "Invalid password, cannot unlock any keyslot";
    /// A slot costs more than a run may spend. Numbers: iterations, limit.
    ITERATIONS_LIMIT = 0x1a20, "unlocking the image takes {0} iterations of PBKDF2; the limit is {1}";
    /// A slot costs more memory than a run may spend. Numbers: KiB, limit.
    MEMORY_LIMIT = 0x1a21, "unlocking the image takes {0} KiB of memory for Argon2; the limit is {1} KiB";
    /// Argon2 goes through more than a run may spend. Numbers: KiB, limit.
    PASSES_LIMIT = 0x1a24, "unlocking the image makes Argon2 go through {0} KiB of memory; the limit is {1} KiB";
    /// Data that is not whole blocks. Numbers: bytes, bytes of a block.
    BLOCKS = 0x1a22, "{0} bytes cannot be encrypted in blocks of {1} bytes";
    /// Parameters that no derivation has. Text: what.
    DERIVATION = 0x1a23, "the key slot's {text} cannot be used";
    /// The file ends before the data begins.
    TOO_SHORT = 0x1a40, "Could not refresh total sector count: Input/output error";
    /// A key is needed, and none was named.
    NO_KEY = 0x1a41, "Parameter 'key-secret' is required for cipher";
    /// No secret has that name. Text: it.
    NO_SECRET = 0x1a42, "No secret with id '{text}'";
    /// A passphrase is not text. Text: the secret's name.
    NOT_TEXT = 0x1a43, "Data from secret {text} is not valid UTF-8";
    /// A key is named for an image that takes none. Text: its format.
    KEY_UNEXPECTED = 0x1a44, "Block format '{text}' does not support the option 'key-secret'";
    /// A time in which more iterations are done than can be counted. Number: those of a second.
    TIME_OVERFLOW = 0x1a45, "PBKDF iterations {0} too large to scale: Numerical result out of range";
    /// A time in which more are done than a header can say. Numbers: iterations, limit.
    TIME_LIMIT = 0x1a46, "PBKDF iterations {0} larger than {1}";
    /// Key slots: a new one needs a passphrase.
    NEW_SECRET_MISSING = 0x1a47, "'new-secret' is required to activate a keyslot";
    /// Key slots: a new one replaces no passphrase.
    OLD_SECRET_UNEXPECTED = 0x1a48, "'old-secret' must not be given when activating keyslots";
    /// Key slots: none gets a passphrase while others lose theirs.
    NEW_SECRET_UNEXPECTED = 0x1a49, "'new-secret' must not be given when erasing keyslots";
    /// Key slots: nothing is derived then.
    ITER_TIME_UNEXPECTED = 0x1a4a, "'iter-time' must not be given when erasing keyslots";
    /// Key slots: which ones?
    ERASE_WHICH = 0x1a4b, "To erase keyslot(s), either explicit keyslot index or the password currently contained in them must be given";
    /// Key slots. Number: the slot.
    OLD_SECRET_WRONG = 0x1a4c, "Given keyslot {0} doesn't contain the given old password for erase operation";
    /// Key slots: no slot opens.
    ERASE_NONE = 0x1a4d, "No keyslots match given (old) password for erase operation";
    /// Key slots: every slot opens.
    ERASE_ALL = 0x1a4e, "All the active keyslots match the (old) password that was given and erasing them will erase all the data in the image irreversibly - refusing operation";
    /// A key is named for the encryption inside an image that has no such thing. Text: its format.
    ENCRYPTION_UNEXPECTED = 0x1a4f, "Block format '{text}' does not support the option 'encrypt.key-secret'";
    /// Key slots. Number: the slot.
    SLOT_NUMBER = 0x1a30, "Invalid keyslot {0} specified, must be between 0 and 7";
    /// Key slots: none is free.
    SLOTS_FULL = 0x1a31, "Can't add a keyslot - all keyslots are in use";
    /// Key slots. Number: the slot.
    SLOT_IN_USE = 0x1a32, "Refusing to overwrite active keyslot {0} - please erase it first";
    /// Key slots. Number: the slot.
    SLOT_FREE = 0x1a33, "Given keyslot {0} is already erased (inactive) ";
    /// Key slots. Number: the slot.
    SLOT_LAST = 0x1a34, "Attempt to erase the only active keyslot {0} which will erase all the data in the image irreversibly - refusing operation";
    /// `state` was not given.
    STATE_MISSING = 0x1a35, "Parameter 'state' is missing";
    /// A `state` that is none. Text: the word.
    STATE = 0x1a36, "Parameter 'state' does not accept value '{text}'";
    /// LUKS2: neither copy has a right checksum.
    HEADER_CHECKSUM = 0x1a50, "neither copy of the LUKS2 header has a right checksum";
    /// LUKS2. Text: what.
    HEADER_CONTENT = 0x1a51, "the LUKS2 header's {text} cannot be used";
    /// LUKS2. Text: the requirement.
    REQUIREMENT = 0x1a52, "the LUKS2 header requires '{text}', which is not supported";
    /// LUKS2. Text: the segment's type.
    SEGMENT = 0x1a53, "LUKS2 segments of type '{text}' are not supported";
    /// LUKS2. Text: the integrity's type.
    INTEGRITY = 0x1a54, "LUKS2 integrity '{text}' is not supported";
    /// LUKS2. Number: bytes.
    SECTOR_SIZE = 0x1a55, "LUKS2 sectors of {0} bytes are not supported";
}
