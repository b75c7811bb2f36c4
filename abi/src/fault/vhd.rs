//! Failures found in vhd images: 0x0400 to 0x04ff.

super::faults! {
    /// A version that this driver does not know. Number 0: version.
    VERSION = 1024, "unsupported vhd version {0}";
}
