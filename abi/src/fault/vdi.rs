//! Failures found in vdi images: 0x0600 to 0x06ff.

super::faults! {
    /// A version that this driver does not know. Number 0: version.
    VERSION = 1536, "unsupported vdi version {0}";
}
