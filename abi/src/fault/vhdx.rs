//! Failures found in vhdx images: 0x0500 to 0x05ff.

super::faults! {
    /// A version that this driver does not know. Number 0: version.
    VERSION = 1280, "unsupported vhdx version {0}";
}
