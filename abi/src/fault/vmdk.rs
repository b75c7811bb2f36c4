//! Failures found in vmdk images: 0x0300 to 0x03ff.

super::faults! {
    /// A version that this driver does not know. Number 0: version.
    VERSION = 768, "unsupported vmdk version {0}";
}
