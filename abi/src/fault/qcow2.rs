//! Failures found in qcow2 images: 0x0200 to 0x02ff.

super::faults! {
    /// Version other than 2 and 3. Number 0: version.
    VERSION = 0x0200, "Unsupported qcow2 version {0}";
}
